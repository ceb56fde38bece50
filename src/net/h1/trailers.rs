//! Trailer sections of chunked bodies (RFC 9112 7.1.2).

use super::parse::{FieldError, parse_fields};
use crate::pipeline::head::{Head, KnownHeader};

/// Parses a trailer section, `bytes` ending with the empty line; fields forbidden in trailers are dropped.
pub fn trailers(bytes: &[u8], max_fields: usize) -> Result<Head, &'static str> {
    let mut head = Head::default();
    head.load(bytes);
    parse_fields(bytes, 0, &mut head, max_fields).map_err(|error| match error {
        FieldError::TooMany => "too many trailer fields",
        FieldError::Bad(detail) => detail,
    })?;
    head.remove_if(|known, name| known != KnownHeader::Other || !is_allowed_trailer(name));
    Ok(head)
}

/// RFC 9110 6.5.1: fields for framing, routing, authentication, request modifiers and content have no effect, or do harm, in trailers.
pub(in crate::net) fn is_allowed_trailer(name: &[u8]) -> bool {
    const FORBIDDEN_TRAILERS: [&[u8]; 16] = [
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"www-authenticate",
        b"proxy-authorization",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"range",
        b"age",
        b"expires",
        b"date",
        b"location",
        b"vary",
        b"retry-after",
    ];
    !FORBIDDEN_TRAILERS.iter().any(|never| name.eq_ignore_ascii_case(never))
}
