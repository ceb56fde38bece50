//! The boundary of a multipart body, from its `Content-Type`.

use super::disposition::parameters;

/// The bytes that a boundary may have (RFC 2046).
const MAX_BOUNDARY_BYTES: usize = 70;

/// The boundary, without the leading dashes.
pub fn from_content_type(content_type: &[u8]) -> Result<Vec<u8>, &'static str> {
    let start = memchr::memchr(b';', content_type).ok_or("multipart without a boundary")?;
    let parameters = parameters(&content_type[start..]).ok_or("invalid parameters of the multipart type")?;
    let mut boundaries = parameters.into_iter().filter(|(name, _)| name == b"boundary");
    let (_, boundary) = boundaries.next().ok_or("multipart without a boundary")?;
    if boundaries.next().is_some() {
        return Err("multipart with two boundaries");
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? &".contains(byte);
    if boundary.trim_ascii().is_empty() {
        return Err("multipart with a blank boundary");
    }
    if boundary.len() > MAX_BOUNDARY_BYTES || boundary.ends_with(b" ") || !boundary.iter().all(is_allowed) {
        return Err("multipart with an invalid boundary");
    }
    Ok(boundary)
}
