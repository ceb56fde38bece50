//! Times in tokens.

use crate::base::compact_jws::JsonObject;

/// The last second of the year 9999: later times are invalid.
pub const MAX_TIMESTAMP: f64 = 253_402_300_799.0;

/// A NumericDate (RFC 7519, section 2): seconds since 1970, fractions allowed.
///
/// # Errors
///
/// The claim is not a time.
pub fn numeric_date(claims: &JsonObject, name: &str) -> Result<Option<f64>, &'static str> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|n| n.abs() <= MAX_TIMESTAMP);
    seconds.map(Some).ok_or("`exp` and `nbf` must be seconds since 1970")
}
