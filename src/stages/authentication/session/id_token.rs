//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7) and logout tokens (Back-Channel Logout 1.0, section 2.6).

use crate::{
    base::compact_jws::{JsonObject, TokenParts},
    stages::authentication::{
        jws::{self, JwsError},
        keys::KeySet,
        numeric_date::numeric_date,
    },
};
use serde_json::Value;

/// The event of a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, in seconds.
const MAX_LOGOUT_AGE: f64 = 600.0;

/// What a token must match.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedToken<'e> {
    pub client_id: &'e str,
    /// Unix time in seconds.
    pub now: f64,
    pub skew: f64,
}

/// Verifies an ID token; with a nonce it must contain this one.
///
/// # Errors
///
/// Why it is not accepted.
pub fn verify_id_token(
    text: &str,
    set: &KeySet,
    expected: ExpectedToken,
    nonce: Option<&str>,
) -> Result<JsonObject, JwsError> {
    let parts = TokenParts::split(text.as_bytes()).map_err(JwsError::Invalid)?;
    jws::verify(&parts, set)?;
    let claims = parts.claims().map_err(JwsError::Invalid)?;
    check_common(&claims, set, expected)?;
    let time = |name| numeric_date(&claims, name).map_err(JwsError::Invalid);
    let expires_at = time("exp")?.ok_or(JwsError::Invalid("it has no `exp`"))?;
    if expires_at + expected.skew <= expected.now {
        return Err(JwsError::Invalid("it has expired"));
    }
    if claims.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(JwsError::Invalid("it has no `sub`"));
    }
    let is_for_several = matches!(claims.get("aud"), Some(Value::Array(all)) if all.len() > 1);
    match claims.get("azp").and_then(Value::as_str) {
        Some(party) if party != expected.client_id => {
            return Err(JwsError::Invalid("it was issued to another client (`azp`)"));
        }
        None if is_for_several => return Err(JwsError::Invalid("it has several audiences and no `azp`")),
        _ => {}
    }
    if nonce.is_some() && claims.get("nonce").and_then(Value::as_str) != nonce {
        return Err(JwsError::Invalid("it has another `nonce`"));
    }
    Ok(claims)
}

/// A logout at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogout {
    pub sid: Option<String>,
    pub sub: Option<String>,
    /// The ID of the token, which is accepted once.
    pub jti: String,
}

/// Verifies a logout token.
///
/// # Errors
///
/// Why it is not accepted.
pub fn verify_logout_token(
    text: &str,
    set: &KeySet,
    expected: ExpectedToken,
) -> Result<ProviderLogout, JwsError> {
    let parts = TokenParts::split(text.as_bytes()).map_err(JwsError::Invalid)?;
    let kind = parts.header.get("typ").and_then(Value::as_str).unwrap_or("logout+jwt");
    let kind = kind.to_ascii_lowercase();
    if !matches!(kind.trim_start_matches("application/"), "logout+jwt" | "jwt") {
        return Err(JwsError::Invalid("its `typ` is not logout+jwt"));
    }
    jws::verify(&parts, set)?;
    let claims = parts.claims().map_err(JwsError::Invalid)?;
    check_common(&claims, set, expected)?;
    let time = |name| numeric_date(&claims, name).map_err(JwsError::Invalid);
    let issued_at = time("iat")?.ok_or(JwsError::Invalid("it has no `iat`"))?;
    if issued_at + MAX_LOGOUT_AGE + expected.skew < expected.now {
        return Err(JwsError::Invalid("it is too old"));
    }
    if time("exp")?.is_some_and(|expires_at| expires_at + expected.skew <= expected.now) {
        return Err(JwsError::Invalid("it has expired"));
    }
    if !claims.get("events").and_then(|events| events.get(LOGOUT_EVENT)).is_some_and(Value::is_object) {
        return Err(JwsError::Invalid("it is not a logout token (`events`)"));
    }
    if claims.get("nonce").is_some() {
        return Err(JwsError::Invalid("it has a `nonce`: it is an ID token"));
    }
    let text = |name: &str| {
        claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (sid, sub) = (text("sid"), text("sub"));
    if sid.is_none() && sub.is_none() {
        return Err(JwsError::Invalid("it has neither `sid` nor `sub`"));
    }
    let jti = text("jti").ok_or(JwsError::Invalid("it has no `jti`"))?;
    Ok(ProviderLogout { sid, sub, jti })
}

/// The checks of both kinds: issuer, audience, time of issue.
fn check_common(claims: &JsonObject, set: &KeySet, expected: ExpectedToken) -> Result<(), JwsError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if issuer.is_none() || issuer != set.issuer.as_deref() {
        return Err(JwsError::Invalid("it has another issuer (`iss`)"));
    }
    let is_for_client = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|audience| audience == expected.client_id),
        Some(audience) => audience == expected.client_id,
        None => false,
    };
    if !is_for_client {
        return Err(JwsError::Invalid("it is for another client (`aud`)"));
    }
    let issued_at = numeric_date(claims, "iat").map_err(JwsError::Invalid)?;
    if issued_at.is_some_and(|issued_at| issued_at > expected.now + expected.skew) {
        return Err(JwsError::Invalid("it was issued in the future (`iat`)"));
    }
    Ok(())
}
