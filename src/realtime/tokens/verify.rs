//! Verification of tokens.

use super::audience;
use crate::{
    base::compact_jws::{JsonObject, TokenParts},
    realtime::{config::ServiceConfig, names::is_user_id},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The request that a token must permit. Paths are undecoded.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'r> {
    /// The value of `Authorization`, which wins over the token of the query.
    pub authorization: Option<&'r str>,
    /// The decoded parameter `access_token`; the data plane ignores it.
    pub query_token: Option<&'r str>,
    /// The path that the client requested, the mount path of the service included.
    pub path: &'r str,
    /// The path within the service.
    pub service_path: &'r str,
    /// The hub of the request.
    pub hub: &'r str,
}

/// What the token of a client contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientToken {
    pub user_id: Option<String>,
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    /// All claims, as lists of texts; values that are not text are JSON.
    pub claims: Vec<(Box<str>, Vec<String>)>,
}

/// Why a token is rejected; without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The request has no token.
    Missing,
    /// The rule that the token violates.
    Invalid(&'static str),
}

/// The token of an `Authorization` field with the scheme `Bearer`.
pub fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The contents of the token of a client, if it permits the handshake.
pub fn verify_client(
    config: &ServiceConfig,
    request: &TokenRequest<'_>,
    now: SystemTime,
) -> Result<ClientToken, TokenError> {
    let token = request.authorization.and_then(bearer_token).or(request.query_token);
    let claims = verify(config, token.ok_or(TokenError::Missing)?, request, now)?;
    let user_id = match claims.get("sub") {
        None => None,
        Some(Value::String(user)) if user.is_empty() => None,
        Some(Value::String(user)) if is_user_id(user) => Some(user.clone()),
        Some(_) => return Err(TokenError::Invalid("the claim `sub` is not a text of at most 1024 bytes")),
    };
    let texts = |name| texts(claims.get(name)).ok_or("the claims for roles and groups are not texts");
    Ok(ClientToken {
        user_id,
        roles: texts("role").map_err(TokenError::Invalid)?,
        groups: texts("webpubsub.group").map_err(TokenError::Invalid)?,
        claims: claims.0.iter().map(|(name, value)| (name.as_str().into(), as_texts(value))).collect(),
    })
}

/// The claims of the token of a SignalR client, one entry for each value, if it permits the request.
pub fn verify_claims(
    config: &ServiceConfig,
    request: &TokenRequest<'_>,
    now: SystemTime,
) -> Result<Vec<(Box<str>, String)>, TokenError> {
    let token = request.authorization.and_then(bearer_token).or(request.query_token);
    let claims = verify(config, token.ok_or(TokenError::Missing)?, request, now)?;
    let values = |(name, value): &(String, Value)| -> Vec<(Box<str>, String)> {
        as_texts(value).into_iter().map(|value| (name.as_str().into(), value)).collect()
    };
    Ok(claims.0.iter().flat_map(values).collect())
}

/// Whether the token of a server permits the request.
pub fn verify_server(
    config: &ServiceConfig,
    request: &TokenRequest<'_>,
    now: SystemTime,
) -> Result<(), TokenError> {
    let token = request.authorization.and_then(bearer_token).ok_or(TokenError::Missing)?;
    verify(config, token, request, now).map(drop)
}

/// The claims of a token whose signature, times and audience are valid.
fn verify(
    config: &ServiceConfig,
    token: &str,
    request: &TokenRequest<'_>,
    now: SystemTime,
) -> Result<JsonObject, TokenError> {
    let parts = TokenParts::split(token.as_bytes()).map_err(TokenError::Invalid)?;
    if parts.header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(TokenError::Invalid("the algorithm of the token is not HS256"));
    }
    if parts.header.get("crit").is_some() {
        return Err(TokenError::Invalid("the token has critical header parameters"));
    }
    if !is_signed(config, parts.message, parts.signature) {
        return Err(TokenError::Invalid("the signature of the token is invalid"));
    }
    let claims = parts.claims().map_err(TokenError::Invalid)?;
    check_times(&claims, config.clock_skew.as_secs_f64(), now)?;
    let audiences = claims.get("aud").and_then(|audience| texts(Some(audience)));
    let Some(audiences) = audiences else {
        return Err(TokenError::Invalid("the token has no audience"));
    };
    let is_permitted = |audience: &String| {
        audience::is_match(config, audience, request.path, request.service_path, request.hub)
    };
    match audiences.iter().any(is_permitted) {
        true => Ok(claims),
        false => Err(TokenError::Invalid("the audience of the token is another URL")),
    }
}

/// Whether one of the keys signed the message; every key is compared in constant time.
fn is_signed(config: &ServiceConfig, message: &[u8], signature: &str) -> bool {
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    config.keys.iter().fold(false, |is_signed, key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
        hmac::verify(&key, message, &signature).is_ok() | is_signed
    })
}

fn check_times(claims: &JsonObject, skew: f64, now: SystemTime) -> Result<(), TokenError> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let Some(expiry) = claims.get("exp").and_then(Value::as_f64) else {
        return Err(TokenError::Invalid("the token has no expiry"));
    };
    if now >= expiry + skew {
        return Err(TokenError::Invalid("the token has expired"));
    }
    match claims.get("nbf").map(Value::as_f64) {
        None => Ok(()),
        Some(Some(start)) if start <= now + skew => Ok(()),
        Some(Some(_)) => Err(TokenError::Invalid("the token is not valid yet")),
        Some(None) => Err(TokenError::Invalid("the claim `nbf` is not a number")),
    }
}

/// A text, or a list of texts; none if there is no such claim.
fn texts(claim: Option<&Value>) -> Option<Vec<String>> {
    match claim {
        None => Some(Vec::new()),
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}

fn as_texts(claim: &Value) -> Vec<String> {
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match claim {
        Value::Array(items) => items.iter().map(as_text).collect(),
        other => vec![as_text(other)],
    }
}
