//! Tokens in their compact form (RFC 7515), taken apart strictly.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use std::{collections::HashSet, fmt};

/// A longer text is no token that anybody would issue.
pub const MAX_TOKEN_LEN: usize = 64 << 10;

/// The parts of a token whose signature is not checked yet: nothing in here is true.
#[derive(Debug)]
pub struct Parts<'t> {
    pub header: JsonObject,
    /// What is signed.
    pub message: &'t [u8],
    pub payload: &'t str,
    pub signature: &'t str,
}

/// Members of a JSON object, each name once: two parties that read different ones of a double is an old trick.
#[derive(Debug, Default)]
pub struct JsonObject(pub Vec<(String, Value)>);

impl JsonObject {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    fn decode(text: &str) -> Option<JsonObject> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

impl<'t> Parts<'t> {
    /// Takes a token apart; an error says what is malformed.
    pub fn split(token: &'t [u8]) -> Result<Parts<'t>, &'static str> {
        if token.len() > MAX_TOKEN_LEN {
            return Err("the token is longer than 64 KiB");
        }
        let text = std::str::from_utf8(token).map_err(|_| "the token is not text")?;
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the token does not have three parts");
        };
        let members = JsonObject::decode(header).ok_or("the header of the token cannot be read")?;
        let message = &token[..header.len() + 1 + payload.len()];
        Ok(Parts { header: members, message, payload, signature })
    }

    /// What the token claims.
    pub fn claims(&self) -> Result<JsonObject, &'static str> {
        JsonObject::decode(self.payload).ok_or("the claims of the token cannot be read")
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
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom("a name twice"));
            }
            all.push((name, value));
        }
        Ok(JsonObject(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_is_three_parts_of_which_two_are_objects() {
        let token = format!("{}.{}.sig", part(r#"{"alg":"HS256"}"#), part(r#"{"sub":"u"}"#));
        let parts = Parts::split(token.as_bytes()).unwrap();
        assert_eq!(parts.header.get("alg").unwrap(), "HS256");
        assert_eq!(parts.claims().unwrap().get("sub").unwrap(), "u");
        assert_eq!(format!("{}.sig", std::str::from_utf8(parts.message).unwrap()), token);
    }

    #[test]
    fn what_is_no_token_is_malformed() {
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
            &"a".repeat(MAX_TOKEN_LEN + 1),
        ] {
            assert!(Parts::split(text.as_bytes()).is_err(), "{text:.40}");
        }
        let token = format!("{object}.{}.", part(r#"{"a":1e999}"#));
        assert!(Parts::split(token.as_bytes()).unwrap().claims().is_err());
    }
}
