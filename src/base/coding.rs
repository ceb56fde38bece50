//! Content codings that the gateway itself can apply to an answer (RFC 9110 8.4.1, RFC 1952, RFC 7932, RFC 8878).

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// All of them, in the order of their numbers.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// As it stands in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// The coding of that name, in any case; `x-gzip` is gzip (RFC 9110 8.4.1.3).
    pub fn of(name: &[u8]) -> Option<Coding> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Coding::Gzip);
        }
        Coding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// What a client takes, of what it is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The coding it likes best; none: the content as it is.
    pub best: Option<Coding>,
    /// It does not take the content as it is.
    pub only_coded: bool,
    /// It asked with HEAD: the head alone goes to it.
    pub bodiless: bool,
}
