//! Strict parser for tokens in compact serialization (RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use std::{collections::HashSet, fmt};

/// Largest accepted token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64 << 10;

/// The parts of a token. Its signature is not verified: nothing here is trusted.
#[derive(Debug)]
pub struct TokenParts<'t> {
    pub header: JsonObject,
    /// The signed bytes.
    pub message: &'t [u8],
    pub payload: &'t str,
    pub signature: &'t str,
}

/// Members of a JSON object. Duplicate names are rejected: parsers disagree about which one counts.
#[derive(Debug, Default)]
pub struct JsonObject(pub Vec<(String, Value)>);

impl JsonObject {
    /// The member with this name, case-sensitive.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn decode(text: &str) -> Option<JsonObject> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

impl<'t> TokenParts<'t> {
    /// Splits a token. The error describes what is malformed.
    pub fn split(token: &'t [u8]) -> Result<TokenParts<'t>, &'static str> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err("the token is longer than 64 KiB");
        }
        let text = std::str::from_utf8(token).map_err(|_| "the token is not UTF-8")?;
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the token does not have three parts");
        };
        let members =
            JsonObject::decode(header).ok_or("the token header is not a JSON object in base64url")?;
        let message = &token[..header.len() + 1 + payload.len()];
        Ok(TokenParts { header: members, message, payload, signature })
    }

    /// The claims of the token.
    pub fn claims(&self) -> Result<JsonObject, &'static str> {
        JsonObject::decode(self.payload).ok_or("the token claims are not a JSON object in base64url")
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NoDuplicateKeys)
    }
}

struct NoDuplicateKeys;

impl<'de> Visitor<'de> for NoDuplicateKeys {
    type Value = JsonObject;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom("duplicate name"));
            }
            members.push((name, value));
        }
        Ok(JsonObject(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_has_three_parts() {
        let token = format!("{}.{}.sig", part(r#"{"alg":"HS256"}"#), part(r#"{"sub":"u"}"#));
        let parts = TokenParts::split(token.as_bytes()).unwrap();
        assert_eq!(parts.header.get("alg").unwrap(), "HS256");
        assert_eq!(parts.claims().unwrap().get("sub").unwrap(), "u");
        assert_eq!(format!("{}.sig", std::str::from_utf8(parts.message).unwrap()), token);
    }

    #[test]
    fn malformed_tokens_are_rejected() {
        let object = part("{}");
        for text in [
            "",
            "..",
            "a.b",
            &format!("{object}.{object}"),
            &format!("{object}.{object}.a.b"),
            &format!("{}.{object}.", part("[]")),
            &format!("{}.{object}.", part(r#"{"alg":1,"alg":2}"#)),
            &format!("{}.{object}.", part("{} x")),
            &format!("{object}=.{object}."),
            &"a".repeat(MAX_TOKEN_BYTES + 1),
        ] {
            assert!(TokenParts::split(text.as_bytes()).is_err(), "{text:.40}");
        }
        let token = format!("{object}.{}.", part(r#"{"a":1e999}"#));
        assert!(TokenParts::split(token.as_bytes()).unwrap().claims().is_err());
    }
}
