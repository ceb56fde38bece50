//! The protocols offered to a backend by ALPN.

/// The protocols offered by ALPN; without TLS the protocol is known in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlpnOffer {
    Http1,
    Http2,
    /// HTTP/2, with HTTP/1.1 as fallback.
    Both,
}
