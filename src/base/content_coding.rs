//! Content codings that the gateway itself can apply to an answer (RFC 9110 8.4.1, RFC 1952, RFC 7932, RFC 8878).

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    Zstd,
    Brotli,
    Gzip,
}

impl ContentCoding {
    /// All of them, in the order of their numbers.
    pub const ALL: [ContentCoding; 3] = [ContentCoding::Zstd, ContentCoding::Brotli, ContentCoding::Gzip];

    /// As it stands in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            ContentCoding::Zstd => "zstd",
            ContentCoding::Brotli => "br",
            ContentCoding::Gzip => "gzip",
        }
    }

    /// The coding of that name, in any case; `x-gzip` is gzip (RFC 9110 8.4.1.3).
    pub fn from_name(name: &[u8]) -> Option<ContentCoding> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(ContentCoding::Gzip);
        }
        ContentCoding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// What a client takes, of what it is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedCoding {
    /// The coding it likes best; none: the content as it is.
    pub best: Option<ContentCoding>,
    /// It does not take the content as it is.
    pub identity_forbidden: bool,
    /// It asked with HEAD: the head alone goes to it.
    pub head_only: bool,
}
