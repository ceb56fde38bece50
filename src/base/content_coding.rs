//! Content codings that the gateway can apply to a response (RFC 9110 8.4.1, RFC 1952, RFC 7932, RFC 8878).

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    Zstd,
    Brotli,
    Gzip,
}

impl ContentCoding {
    /// All content codings, in the order of their discriminants.
    pub const ALL: [ContentCoding; 3] = [ContentCoding::Zstd, ContentCoding::Brotli, ContentCoding::Gzip];

    /// The name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            ContentCoding::Zstd => "zstd",
            ContentCoding::Brotli => "br",
            ContentCoding::Gzip => "gzip",
        }
    }

    /// The coding with this name, case-insensitive; `x-gzip` is gzip (RFC 9110 8.4.1.3).
    pub fn from_name(name: &[u8]) -> Option<ContentCoding> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(ContentCoding::Gzip);
        }
        ContentCoding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// The result of negotiating `Accept-Encoding` (RFC 9110 12.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedCoding {
    /// The preferred coding; `None` for an unencoded response.
    pub best: Option<ContentCoding>,
    /// The client does not accept an unencoded response.
    pub identity_forbidden: bool,
    /// A HEAD request: the response has no body.
    pub head_only: bool,
}
