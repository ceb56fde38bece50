//! Parsing HTTP/1.1 heads: strict, in one pass (RFC 9112).

use super::host;
use crate::{
    base::bytes::{comma_list, decimal, is_field_value, is_target, is_token, trim_ows},
    pipeline::{
        body::Framing,
        error::{ErrorCode, GatewayError},
        head::{Head, KnownHeader, Version},
    },
};
use memchr::{memchr, memmem};
use std::sync::LazyLock;

/// Limits of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Maximum length of the request line, without its line end.
    pub max_line_bytes: usize,
    /// Maximum size of all field lines together.
    pub max_fields_bytes: usize,
    /// Maximum number of field lines.
    pub max_fields: usize,
}

/// Maximum size of empty lines before a request line (RFC 9112 2.2): two line ends.
const MAX_LEADING_EMPTY_BYTES: usize = 4;

/// The end of the head, its empty line included; `None` while it is incomplete. `scanned` is the progress of earlier calls,
/// so that a head received byte by byte costs no more than a whole one.
pub fn head_end(bytes: &[u8], scanned: &mut usize) -> Option<usize> {
    // Finding prepares its search at every call otherwise.
    static EMPTY_LINE: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    if bytes.len() <= *scanned {
        return None;
    }
    let from = scanned.saturating_sub(3);
    match EMPTY_LINE.find(&bytes[from..]) {
        Some(at) => Some(from + at + 4),
        None => {
            *scanned = bytes.len();
            None
        }
    }
}

/// Bytes of empty lines to skip before a request line.
pub fn leading_empty_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < MAX_LEADING_EMPTY_BYTES && bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

/// Parses a complete request head, `bytes` ending with the empty line, and returns the framing of the body; `is_tls` is
/// whether it was received over TLS.
pub fn request(
    bytes: &[u8],
    head: &mut Head,
    limits: &HeadLimits,
    is_tls: bool,
) -> Result<Framing, GatewayError> {
    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
    if end == 0 || bytes[end - 1] != b'\r' {
        return Err(GatewayError::malformed_request("the request line ends without CR LF"));
    }
    head.load(bytes);
    let line = parse_request_line(&bytes[..end - 1], limits)?;
    head.set_start_line(line.method, line.target);
    head.version = line.version;
    if bytes.len() - end - 1 > limits.max_fields_bytes + 2 {
        return Err(fields_too_large(limits));
    }
    let too_many = GatewayError::new(
        ErrorCode::RequestHeaders,
        format!("more than {} header fields", limits.max_fields),
    );
    parse_fields(bytes, end + 1, head, limits.max_fields).map_err(|error| match error {
        FieldError::TooMany => too_many,
        FieldError::Bad(detail) => GatewayError::malformed_request(detail),
    })?;
    let framing = request_framing(head)?;
    target_and_host(head, is_tls)?;
    Ok(framing)
}

pub(super) fn line_too_long(limits: &HeadLimits) -> GatewayError {
    GatewayError::new(
        ErrorCode::RequestLine,
        format!("the request line is longer than {} bytes", limits.max_line_bytes),
    )
}

pub(super) fn fields_too_large(limits: &HeadLimits) -> GatewayError {
    GatewayError::new(
        ErrorCode::RequestHeaders,
        format!("the header fields are larger than {} bytes", limits.max_fields_bytes),
    )
}

pub(super) struct RequestLine {
    method: (usize, usize),
    target: (usize, usize),
    version: Version,
}

/// RFC 9112 3: method SP request-target SP HTTP-version, with single spaces.
pub(super) fn parse_request_line(text: &[u8], limits: &HeadLimits) -> Result<RequestLine, GatewayError> {
    if text.len() > limits.max_line_bytes {
        return Err(line_too_long(limits));
    }
    let first =
        memchr(b' ', text).ok_or(GatewayError::malformed_request("the request line has no target"))?;
    let second = memchr(b' ', &text[first + 1..])
        .ok_or(GatewayError::malformed_request("the request line has no version"))?;
    let (target, rest) = ((first + 1, first + 1 + second), &text[first + 2 + second..]);
    if !is_token(&text[..first]) {
        return Err(GatewayError::malformed_request("the method is not a token"));
    }
    if !is_target(&text[target.0..target.1]) {
        return Err(GatewayError::malformed_request("the request target contains invalid characters"));
    }
    Ok(RequestLine { method: (0, first), target, version: version(rest)? })
}

/// RFC 9112 2.3; a higher minor version is treated as 1.1.
fn version(text: &[u8]) -> Result<Version, GatewayError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(GatewayError::new(
                ErrorCode::RequestVersion,
                "unsupported version: expected HTTP/1.0 or HTTP/1.1",
            ))
        }
        _ => Err(GatewayError::malformed_request("the protocol version is malformed")),
    }
}

/// Why field lines are invalid.
pub(super) enum FieldError {
    TooMany,
    Bad(&'static str),
}

/// The field lines from `at` up to the empty line.
pub(super) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    head: &mut Head,
    max_fields: usize,
) -> Result<(), FieldError> {
    let mut count = 0;
    loop {
        let rest = &bytes[at..];
        let end = memchr(b'\n', rest).ok_or(FieldError::Bad("a field line has no end"))?;
        if end == 0 || rest[end - 1] != b'\r' {
            return Err(FieldError::Bad("a field line ends without CR LF"));
        }
        let text = &rest[..end - 1];
        if text.is_empty() {
            return Ok(());
        }
        count += 1;
        if count > max_fields {
            return Err(FieldError::TooMany);
        }
        parse_field(text, at, head)?;
        at += end + 1;
    }
}

/// RFC 9112 5: name ":" OWS value OWS; no space before the colon, no folding.
fn parse_field(text: &[u8], at: usize, head: &mut Head) -> Result<(), FieldError> {
    let colon = memchr(b':', text).ok_or(FieldError::Bad("a field line has no colon"))?;
    let name = &text[..colon];
    if !is_token(name) {
        let folded = matches!(text.first(), Some(b' ' | b'\t'));
        return Err(FieldError::Bad(if folded {
            "a field line is folded"
        } else {
            "a field name is not a token"
        }));
    }
    let value = trim_ows(&text[colon + 1..]);
    if !is_field_value(value) {
        return Err(FieldError::Bad("a field value contains control characters"));
    }
    // `value` is a slice of `text`: compute its offset.
    let skipped = text[colon + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let start = if value.is_empty() { colon + 1 } else { colon + 1 + skipped };
    head.push_field((at, at + colon), (at + start, at + start + value.len()));
    Ok(())
}

/// RFC 9112 6.3 for requests; ambiguous framing is rejected.
fn request_framing(head: &Head) -> Result<Framing, GatewayError> {
    let coded = head.get_known(KnownHeader::TransferEncoding).is_some();
    let mut lengths = head.get_all_known(KnownHeader::ContentLength);
    match (coded, lengths.next()) {
        (false, None) => Ok(Framing::None),
        (true, Some(_)) => Err(GatewayError::malformed_request("both Content-Length and Transfer-Encoding")),
        (true, None) => request_coding(head),
        (false, Some(length)) if lengths.next().is_none() => decimal(length)
            .map(Framing::Length)
            .ok_or(GatewayError::malformed_request("Content-Length is not a number")),
        (false, Some(_)) => Err(GatewayError::malformed_request("more than one Content-Length")),
    }
}

fn request_coding(head: &Head) -> Result<Framing, GatewayError> {
    if head.version == Version::Http10 {
        return Err(GatewayError::malformed_request("Transfer-Encoding in an HTTP/1.0 request"));
    }
    match transfer_coding(head) {
        Coding::Chunked => Ok(Framing::Chunked),
        Coding::UnsupportedThenChunked => {
            Err(GatewayError::new(ErrorCode::RequestCoding, "unsupported transfer coding: expected chunked"))
        }
        Coding::Bad => {
            Err(GatewayError::malformed_request("Transfer-Encoding does not end with exactly one chunked"))
        }
    }
}

enum Coding {
    Chunked,
    UnsupportedThenChunked,
    Bad,
}

/// The transfer coding of all Transfer-Encoding lines together.
fn transfer_coding(head: &Head) -> Coding {
    let lines = || head.get_all_known(KnownHeader::TransferEncoding);
    if lines().count() == 1 && lines().all(|v| v.eq_ignore_ascii_case(b"chunked")) {
        return Coding::Chunked;
    }
    let last = lines().flat_map(comma_list).last().is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"));
    let chunked = lines().flat_map(comma_list).filter(|c| c.eq_ignore_ascii_case(b"chunked")).count();
    let tokens = lines().flat_map(comma_list).all(is_token);
    if last && chunked == 1 && tokens { Coding::UnsupportedThenChunked } else { Coding::Bad }
}

/// RFC 9112 3.2 and 3.3: one valid Host, and a target in a supported form.
fn target_and_host(head: &mut Head, is_tls: bool) -> Result<(), GatewayError> {
    if head.method() == b"CONNECT" {
        return Err(GatewayError::new(ErrorCode::RequestMethod, "CONNECT is not supported"));
    }
    let mut hosts = head.get_all_known(KnownHeader::Host);
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(GatewayError::malformed_request("more than one Host")),
        (None, None) if head.version == Version::Http11 => {
            return Err(GatewayError::malformed_request("no Host"));
        }
        (Some(value), None) if !host::is_authority(value) => {
            return Err(GatewayError::malformed_request("Host is malformed"));
        }
        _ => {}
    }
    drop(hosts);
    match head.target() {
        [b'/', ..] => Ok(()),
        b"*" if head.method() == b"OPTIONS" => Ok(()),
        _ => parse_absolute_form(head, is_tls),
    }
}

/// RFC 9112 3.2.2: the authority of an absolute-form target replaces Host. `https` is accepted over TLS only.
fn parse_absolute_form(head: &mut Head, is_tls: bool) -> Result<(), GatewayError> {
    let target = head.target();
    let bad = GatewayError::malformed_request("the request target is neither a path nor an http URL");
    let behind = |scheme: &[u8]| {
        let start = target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
        start.map(|start| &target[start.len()..])
    };
    let Some(rest) = behind(b"http://").or_else(|| behind(b"https://").filter(|_| is_tls)) else {
        return Err(bad);
    };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    if !host::is_authority(&rest[..end]) {
        return Err(bad);
    }
    let (authority, mut path) = (rest[..end].to_vec(), rest[end..].to_vec());
    if path.first() != Some(&b'/') {
        path.insert(0, b'/');
    }
    head.set_target(&path);
    head.set(b"Host", &authority);
    Ok(())
}

/// Parses a complete response head; `for_head` is whether the request was HEAD.
pub fn response(
    bytes: &[u8],
    head: &mut Head,
    limits: &HeadLimits,
    for_head: bool,
) -> Result<Framing, GatewayError> {
    let end = memchr(b'\n', bytes).unwrap_or(0);
    if end == 0 || bytes[end - 1] != b'\r' {
        return Err(GatewayError::malformed_response("the status line ends without CR LF"));
    }
    head.load(bytes);
    parse_status_line(&bytes[..end - 1], head)?;
    parse_fields(bytes, end + 1, head, limits.max_fields).map_err(|error| match error {
        FieldError::TooMany => GatewayError::malformed_response("too many header fields"),
        FieldError::Bad(detail) => GatewayError::malformed_response(detail),
    })?;
    response_framing(head, for_head)
}

/// RFC 9112 4: HTTP-version SP 3DIGIT SP reason; a missing reason with its space is accepted.
pub(super) fn parse_status_line(text: &[u8], head: &mut Head) -> Result<(), GatewayError> {
    let bad = || GatewayError::malformed_response("the status line is malformed");
    let version = match text.get(..9).ok_or_else(bad)? {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return Err(bad()),
    };
    let code = text.get(9..12).ok_or_else(bad)?;
    if !matches!(text.get(12), None | Some(b' ')) {
        return Err(bad());
    }
    let status = decimal(code).filter(|s| (100..=999).contains(s)).ok_or_else(bad)?;
    let reason = (text.len().min(13), text.len());
    if !is_field_value(&text[reason.0..]) {
        return Err(bad());
    }
    head.set_start_line(reason, (0, 0));
    (head.version, head.status) = (version, status as u16);
    Ok(())
}

/// RFC 9112 6.3 for responses.
fn response_framing(head: &mut Head, for_head: bool) -> Result<Framing, GatewayError> {
    let coded = head.get_known(KnownHeader::TransferEncoding).is_some();
    if coded {
        // RFC 9112 6.3 (3): Transfer-Encoding overrides Content-Length, which must not be forwarded.
        head.remove_known(KnownHeader::ContentLength);
    }
    let length = response_length(head)?;
    if for_head || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    if !coded {
        return Ok(length.map_or(Framing::UntilClose, Framing::Length));
    }
    match transfer_coding(head) {
        Coding::Chunked if head.version == Version::Http11 => Ok(Framing::Chunked),
        _ => Err(GatewayError::malformed_response("Transfer-Encoding is not chunked, or not HTTP/1.1")),
    }
}

fn response_length(head: &Head) -> Result<Option<u64>, GatewayError> {
    let mut lengths = head.get_all_known(KnownHeader::ContentLength);
    let Some(first) = lengths.next() else { return Ok(None) };
    let n = decimal(first).ok_or(GatewayError::malformed_response("Content-Length is not a number"))?;
    if lengths.next().is_some() {
        return Err(GatewayError::malformed_response("more than one Content-Length"));
    }
    Ok(Some(n))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
