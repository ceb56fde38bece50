//! The sample identity service: it issues a token to every client, and signs in browsers (`sign_in.rs`). For the tour only;
//! its key lives as long as the process.

use super::services::reply;
use crate::{base::percent::percent_decoded, pipeline::internal::Response};
use axum::{Router, extract::State, response::IntoResponse, routing::any};
use http::{StatusCode, Uri, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Issuer and audience of the tokens, as `gateway.json` requires them.
const ISSUER: &str = "margay-demo";
const AUDIENCE: &str = "orders";
/// Seconds for which a token is valid.
const TOKEN_LIFETIME_SECS: u64 = 3600;

/// The prefix of the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410 section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// `/token?sub=&scope=` and `/jwks.json`.
pub fn routes(identity: Arc<Identity>) -> Router {
    Router::new().route("/jwks.json", any(keys)).route("/token", any(token)).with_state(identity)
}

async fn keys(State(identity): State<Arc<Identity>>) -> Response {
    reply(StatusCode::OK, json!({ "keys": [identity.public] }))
}

async fn token(State(identity): State<Arc<Identity>>, uri: Uri) -> Response {
    let (status, text) = match identity.token(uri.query().unwrap_or_default()) {
        Ok(token) => (StatusCode::OK, token),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// A signer with its own key.
pub struct Identity {
    key: EncodingKey,
    id: String,
    public: Value,
}

impl Identity {
    /// A new random key.
    pub fn new() -> io::Result<Identity> {
        let mut random = [0; 40];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let key = EncodingKey::from_ed_der(&[&PKCS8[..], &random[..32]].concat());
        let id: String = random[32..].iter().map(|byte| format!("{byte:02x}")).collect();
        let public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).map_err(io::Error::other)?;
        let mut public = serde_json::to_value(public)?;
        (public["kid"], public["use"]) = (json!(id), json!("sig"));
        Ok(Identity { key, id, public })
    }

    fn token(&self, query: &str) -> jsonwebtoken::errors::Result<String> {
        let now = Identity::unix_now();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": query_value(query, "sub").unwrap_or_else(|| "ann".into()),
            "iat": now, "exp": now + TOKEN_LIFETIME_SECS,
        });
        if let Some(scope) = query_value(query, "scope") {
            claims["scope"] = json!(scope);
        }
        self.sign(&claims)
    }

    /// A token with these claims.
    ///
    /// # Errors
    ///
    /// The claims cannot be encoded.
    pub fn sign(&self, claims: &Value) -> jsonwebtoken::errors::Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.key)
    }

    /// The time as tokens contain it.
    pub fn unix_now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// A parameter of a query or a form, decoded; empty ones are absent.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let encoded = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
    let decoded = String::from_utf8(percent_decoded(encoded.as_bytes(), true).into_owned()).ok()?;
    Some(decoded).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::services::not_found;
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};

    fn get(identity: &Router, target: &str) -> String {
        super::super::services::tests::request(identity, "GET", target, &[], "").1
    }

    #[test]
    fn a_token_is_signed_with_the_key_that_is_published() {
        let identity = routes(Arc::new(Identity::new().unwrap())).fallback(not_found);
        let token = get(&identity, "/token?sub=ben&scope=orders+x");
        let keys: JwkSet = serde_json::from_str(&get(&identity, "/jwks.json")).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
        let claims = jsonwebtoken::decode::<Value>(token.trim(), &key, &validation).unwrap().claims;
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("ben"), &json!("orders x")));
        assert!(get(&identity, "/").contains("nothing at /"));
    }

    #[test]
    fn every_start_has_a_new_key() {
        let (first, second) = (Identity::new().unwrap(), Identity::new().unwrap());
        assert_ne!(first.public["x"], second.public["x"]);
    }
}
