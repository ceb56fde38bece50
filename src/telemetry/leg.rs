//! The leg of an exchange on which it failed.

/// The party responsible for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    Client,
    Gateway,
    Backend,
}

impl Leg {
    /// The value of `leg`.
    pub fn name(self) -> &'static str {
        match self {
            Leg::Client => "client",
            Leg::Gateway => "gateway",
            Leg::Backend => "backend",
        }
    }
}
