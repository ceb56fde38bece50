//! The response of an introspection endpoint: JSON (RFC 7662) or a signed token (RFC 9701).

use crate::{
    base::compact_jws::{JsonObject, TokenParts},
    stages::authentication::{
        jws::{self, JwsError},
        keys::KeySet,
    },
};
use serde_json::Value;

/// The media type of signed responses.
pub const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// The claims of a plain response.
///
/// # Errors
///
/// It is not a JSON object without duplicate names.
pub fn plain(body: &[u8]) -> Result<JsonObject, &'static str> {
    serde_json::from_slice(body).map_err(|_| "the response is not a JSON object")
}

/// The claims of a signed response for this client.
///
/// # Errors
///
/// Why it is not accepted.
pub fn signed(body: &[u8], set: &KeySet, client_id: &str) -> Result<JsonObject, JwsError> {
    let parts = TokenParts::split(body.trim_ascii()).map_err(JwsError::Invalid)?;
    let kind = parts.header.get("typ").and_then(Value::as_str).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("token-introspection+jwt") {
        return Err(JwsError::Invalid("its `typ` is not token-introspection+jwt"));
    }
    jws::verify(&parts, set)?;
    let claims = parts.claims().map_err(JwsError::Invalid)?;
    let issuer = claims.get("iss").and_then(Value::as_str);
    if set.issuer.is_some() && issuer != set.issuer.as_deref() {
        return Err(JwsError::Invalid("it has another issuer (`iss`)"));
    }
    let is_for_client = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|audience| audience == client_id),
        Some(audience) => audience == client_id,
        None => false,
    };
    if !is_for_client {
        return Err(JwsError::Invalid("it is for another client (`aud`)"));
    }
    match claims.get("token_introspection") {
        Some(Value::Object(members)) => {
            Ok(JsonObject(members.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        _ => Err(JwsError::Invalid("it has no `token_introspection`")),
    }
}
