//! Incomplete heads: rejected as soon as they can never become a message.

use super::parse::{HeadLimits, fields_too_large, line_too_long, parse_request_line, parse_status_line};
use crate::{
    base::bytes::is_tchar,
    pipeline::{
        error::{ErrorCode, GatewayError},
        head::Head,
    },
};
use memchr::{memchr, memchr2_iter};

/// Whether there is a CR without LF or a LF without CR; the first `from` bytes were checked before.
fn has_bare_line_end(bytes: &[u8], from: usize) -> bool {
    // A last CR was not complete before.
    let from = from - usize::from(bytes[..from].ends_with(b"\r"));
    memchr2_iter(b'\r', b'\n', &bytes[from..]).any(|at| match bytes[from + at] {
        b'\r' => bytes.get(from + at + 1).is_some_and(|next| *next != b'\n'),
        _ => !bytes[..from + at].ends_with(b"\r"),
    })
}

/// Rejects an incomplete head that is already too large or can never become a request; the first `from` bytes were checked
/// before, so that a head received byte by byte costs no more than a whole one.
pub fn check_incomplete(bytes: &[u8], from: usize, limits: &HeadLimits) -> Result<(), GatewayError> {
    if has_bare_line_end(bytes, from) {
        return Err(GatewayError::malformed_request("a line ends without CR LF"));
    }
    match memchr(b'\n', bytes) {
        Some(end) if end < from => check_fields_size(bytes.len() - end, limits),
        None if bytes.len() > limits.max_line_bytes + 1 => Err(line_too_long(limits)),
        None => is_method_prefix(bytes),
        Some(end) => {
            parse_request_line(&bytes[..end - 1], limits).map(drop)?;
            check_fields_size(bytes.len() - end, limits)
        }
    }
}

fn check_fields_size(size: usize, limits: &HeadLimits) -> Result<(), GatewayError> {
    if size > limits.max_fields_bytes { Err(fields_too_large(limits)) } else { Ok(()) }
}

/// Rejects an incomplete response head that can never become one, such as the greeting of another protocol; the first
/// `from` bytes were checked before.
pub fn check_incomplete_response(bytes: &[u8], from: usize) -> Result<(), GatewayError> {
    const PREFIX: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(PREFIX.len());
    if bytes[..known] != PREFIX[..known] {
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line[..line.len().min(80)].trim_ascii_end().escape_ascii();
        let detail = format!("the backend does not speak HTTP/1.1: its response begins with \"{line}\"");
        return Err(GatewayError::new(ErrorCode::BackendMalformed, detail));
    }
    if has_bare_line_end(bytes, from) {
        return Err(GatewayError::malformed_response("a line of the response head ends without CR LF"));
    }
    match memchr(b'\n', bytes) {
        Some(end) if end >= from => parse_status_line(&bytes[..end - 1], &mut Head::default()),
        _ => Ok(()),
    }
}

/// Bytes that cannot begin a method are not HTTP: do not wait for a line end.
fn is_method_prefix(bytes: &[u8]) -> Result<(), GatewayError> {
    let method = bytes.split(|&b| b == b' ' || b == b'\r').next().unwrap_or_default();
    if method.iter().all(|&b| is_tchar(b)) {
        Ok(())
    } else {
        Err(GatewayError::malformed_request("not an HTTP request"))
    }
}
