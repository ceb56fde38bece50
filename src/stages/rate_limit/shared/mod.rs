//! Rate limits that several gateways share (`"Scope": "Shared"`): one script call on Redis for the requests that wait for
//! the same counters, leases of tokens for counters that are used often, and refusals that need no call.
//!
//! A lease holds tokens that Redis has counted already, until the window ends or for [`leases::LEASE_TTL`]; tokens that are
//! not used are returned. So the limit of a window is never exceeded; a token bucket may admit the leases of all gateways
//! in addition to its burst. docs/shared-state.md has the bounds.

pub mod group;
pub mod leases;
pub mod limiter;
pub mod reply;

/// The tokens that a gateway may hold for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseSize {
    /// As many as the recent requests suggest, up to a part of the limit.
    Adaptive,
    /// At most this many; with 1 each request is counted on Redis.
    Fixed(u32),
}

/// Where a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// By each gateway.
    Node,
    /// On the shared state.
    Shared(LeaseSize),
}

impl Scope {
    /// For `explain`; nothing for a limit of each gateway.
    pub fn describe(self) -> String {
        match self {
            Scope::Node => String::new(),
            Scope::Shared(LeaseSize::Adaptive) => ", shared".to_owned(),
            Scope::Shared(LeaseSize::Fixed(tokens)) => format!(", shared with leases of {tokens}"),
        }
    }
}

#[cfg(test)]
mod tests;
