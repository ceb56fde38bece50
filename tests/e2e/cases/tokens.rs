//! Tokens of the cases: port names, and the templates in headers.

use super::case::Case;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Port tokens and the ports they stand for.
#[derive(Default)]
pub struct Ports(pub BTreeMap<String, u16>);

impl Ports {
    /// Every token in a text, longest first so that `TLSPORT1` is not read as `PORT1`.
    pub fn tokens(text: &str) -> Vec<String> {
        let pattern = regex::Regex::new("(?:TLSPORT|PORT|CONSUL|KUBE|CLOSED)[1-9]").expect("a pattern");
        let mut found: Vec<String> = pattern.find_iter(text).map(|m| m.as_str().to_owned()).collect();
        found.sort_by_key(|t| std::cmp::Reverse(t.len()));
        found.dedup();
        found
    }

    /// Replaces tokens inside a text.
    pub fn text(&self, text: &str) -> String {
        let mut names: Vec<&String> = self.0.keys().collect();
        names.sort_by_key(|t| std::cmp::Reverse(t.len()));
        names.into_iter().fold(text.to_owned(), |t, name| t.replace(name, &self.0[name].to_string()))
    }

    /// Replaces tokens in the values of a document; a string that is a token becomes the number.
    pub fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match self.0.get(text) {
                Some(port) => json!(port),
                None => json!(self.text(text)),
            },
            Value::Array(list) => list.iter().map(|v| self.fill(v)).collect(),
            Value::Object(map) => {
                map.iter().map(|(k, v)| (k.clone(), self.fill(v))).collect::<serde_json::Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }
}

/// Fills `{{JWT:…}}` and `{{RANDOM_0_50}}` in a header value.
pub fn header_value(case: &Case, value: &str) -> String {
    let mut text = value.replace("{{RANDOM_0_50}}", &random_to_50().to_string());
    while let Some(start) = text.find("{{JWT:") {
        let rest = &text[start + 6..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let claims = values.next().expect("claims").expect("claims are JSON");
        let end = start + 6 + values.byte_offset() + 2;
        text.replace_range(start..end, &signed(case, claims));
    }
    text
}

fn random_to_50() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9);
    let x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    ((x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 51
}

fn signed(case: &Case, mut claims: Value) -> String {
    let scheme = &case.requires("auth_schemes")["Bearer"];
    let in_an_hour =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
            + 3600;
    for (claim, default) in
        [("iss", scheme["issuer"].clone()), ("aud", scheme["audience"].clone()), ("exp", json!(in_an_hour))]
    {
        if claims.get(claim).is_none() {
            claims[claim] = default;
        }
    }
    let key = EncodingKey::from_secret(scheme["key"].as_str().unwrap_or_default().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
}
