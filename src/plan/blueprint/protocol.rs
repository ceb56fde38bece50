//! The protocol used with a backend.

/// The scheme used with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The scheme of the incoming request.
    SameAsClient,
    Http,
    Https,
}

/// The HTTP version used with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
    /// HTTP/2 over TLS if the backend negotiates it; otherwise 1.1.
    Http2OverTls,
    /// HTTP/2 only; without TLS by prior knowledge.
    Http2,
}

impl HttpVersion {
    /// The version as `explain` prints it.
    pub fn name(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
            HttpVersion::Http2OverTls => "2 over https if the backend negotiates it, otherwise 1.1",
            HttpVersion::Http2 => "2",
        }
    }
}
