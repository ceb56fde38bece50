//! Tokens of the cases: port names, and the templates in headers.

use super::case::Case;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
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
        let token = if case.is_api_management { own_token(case, claims) } else { signed(case, claims) };
        text.replace_range(start..end, &token);
    }
    text
}

fn random_to_50() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9);
    let x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    ((x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 51
}

/// A token signed with the key of the case; `exp` is an hour from now unless given, null for none.
fn own_token(case: &Case, mut claims: Value) -> String {
    let key = STANDARD.decode(case.all["jwt"]["key"].as_str().unwrap_or_default()).expect("base64");
    let mut head = json!({ "alg": "HS256", "typ": "JWT" });
    let object = claims.as_object_mut().expect("claims");
    for (name, value) in object.remove("$header").as_ref().and_then(Value::as_object).into_iter().flatten() {
        head[name] = value.clone();
    }
    match object.get("exp") {
        None => drop(object.insert("exp".into(), json!(in_an_hour()))),
        Some(Value::Null) => drop(object.remove("exp")),
        Some(_) => {}
    }
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encoded(&head), encoded(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

fn in_an_hour() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs() + 3600
}

fn signed(case: &Case, mut claims: Value) -> String {
    let scheme = &case.requires("auth_schemes")["Bearer"];
    for (claim, default) in
        [("iss", scheme["issuer"].clone()), ("aud", scheme["audience"].clone()), ("exp", json!(in_an_hour()))]
    {
        if claims.get(claim).is_none() {
            claims[claim] = default;
        }
    }
    let key = EncodingKey::from_secret(scheme["key"].as_str().unwrap_or_default().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
}
