//! Tokens and credentials, read without verification.

use super::{
    super::value::{Map, Value},
    function::{Function, member, text_of},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value as Json;
use std::sync::Arc;

/// Longest token.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    member("AsJwt", 0, 0, |_, a| match &a[0] {
        Value::Null => Ok(Value::Null),
        text => Ok(decode_jwt(text_of("AsJwt", text)?).unwrap_or_default()),
    }),
    member("AsBasic", 0, 0, |_, a| match &a[0] {
        Value::Null => Ok(Value::Null),
        text => Ok(basic(text_of("AsBasic", text)?).unwrap_or_default()),
    }),
];

/// The text behind the name of a scheme.
fn without_scheme<'t>(text: &'t str, scheme: &str) -> &'t str {
    let text = text.trim();
    match text.split_once(' ') {
        Some((name, rest)) if name.eq_ignore_ascii_case(scheme) => rest.trim(),
        _ => text,
    }
}

/// The content of a JWT; nothing of it is verified.
pub fn decode_jwt(text: &str) -> Option<Value> {
    let text = without_scheme(text, "Bearer");
    let mut parts = text.split('.');
    let (head, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || text.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let object = |part: &str| {
        let json: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
        json.is_object().then_some(json)
    };
    let (head, claims) = (object(head)?, object(claims)?);
    let text = |json: &Json| Value::text_or_null(json.as_str());
    let time = |json: &Json| match json.as_f64() {
        Some(seconds) => Value::Timestamp((seconds as i128) * 1_000_000_000),
        None => Value::Null,
    };
    Some(Value::map([
        ("Algorithm", text(&head["alg"])),
        ("Audiences", Value::list(texts(&claims["aud"]))),
        ("Claims", claim_map(&claims)),
        ("ExpirationTime", time(&claims["exp"])),
        ("NotBefore", time(&claims["nbf"])),
        ("IssuedAt", time(&claims["iat"])),
        ("Id", text(&claims["jti"])),
        ("Issuer", text(&claims["iss"])),
        ("Subject", text(&claims["sub"])),
        ("Type", text(&head["typ"])),
    ]))
}

/// Claim → its values as texts.
fn claim_map(claims: &Json) -> Value {
    let members = claims.as_object().into_iter().flatten();
    Value::Map(Arc::new(Map(members
        .map(|(name, value)| (Value::text(name.as_str()), Value::list(texts(value))))
        .collect())))
}

fn texts(json: &Json) -> Vec<Value> {
    match json {
        Json::Null => Vec::new(),
        Json::Array(items) => items.iter().map(|item| Value::text(text(item))).collect(),
        one => vec![Value::text(text(one))],
    }
}

fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// User and password of Basic authentication.
fn basic(text: &str) -> Option<Value> {
    let decoded = STANDARD.decode(without_scheme(text, "Basic")).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Value::map([("UserId", Value::text(user)), ("Password", Value::text(password))]))
}
