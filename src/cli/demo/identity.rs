//! The identity service: whoever asks for a token gets one. For the tour only; its key lives as long as the process.

use super::server::{Request, Response};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the tokens say of their issuer and audience; `gateway.json` says the same.
const ISSUER: &str = "margay-demo";
const AUDIENCE: &str = "orders";
/// Seconds for which a token is good.
const TOKEN_LIFETIME: u64 = 3600;

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410 section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A signer with a key of its own.
pub struct Identity {
    key: EncodingKey,
    id: String,
    public: Value,
}

impl Identity {
    /// A fresh key.
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

    /// `/token?sub=&scope=` and `/jwks.json`.
    pub fn handle(&self, request: &Request) -> Response {
        match request.path() {
            "/jwks.json" => reply(200, "application/json", format!("{}\n", json!({ "keys": [self.public] }))),
            "/token" => match self.token(request.query()) {
                Ok(token) => reply(200, "text/plain; charset=utf-8", format!("{token}\n")),
                Err(error) => reply(500, "text/plain; charset=utf-8", format!("{error}\n")),
            },
            path => reply(
                404,
                "application/json",
                format!("{}\n", json!({ "error": format!("nothing at {path}") })),
            ),
        }
    }

    fn token(&self, query: &str) -> jsonwebtoken::errors::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": query_value(query, "sub").unwrap_or_else(|| "ann".into()),
            "iat": now, "exp": now + TOKEN_LIFETIME,
        });
        if let Some(scope) = query_value(query, "scope") {
            claims["scope"] = json!(scope);
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

fn reply(status: u16, kind: &'static str, body: String) -> Response {
    Response { status, content_type: kind, fields: Vec::new(), body: body.into() }
}

/// A parameter of the query, `+` and `%20` read as blanks; nothing else needs escapes here.
fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.filter(|(own, _)| *own == name).map(|(_, value)| value).next()?;
    Some(found.replace('+', " ").replace("%20", " ")).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};

    fn ask(identity: &Identity, target: &str) -> String {
        let request = Request { method: "GET".into(), target: target.into(), ..Request::default() };
        identity.handle(&request).text().to_owned()
    }

    #[test]
    fn a_token_is_signed_with_the_key_that_is_published() {
        let identity = Identity::new().unwrap();
        let token = ask(&identity, "/token?sub=ben&scope=orders+x");
        let keys: JwkSet = serde_json::from_str(&ask(&identity, "/jwks.json")).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
        let claims = jsonwebtoken::decode::<Value>(token.trim(), &key, &validation).unwrap().claims;
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("ben"), &json!("orders x")));
        assert!(ask(&identity, "/").contains("nothing at /"));
    }

    #[test]
    fn every_start_has_a_key_of_its_own() {
        let (one, two) = (Identity::new().unwrap(), Identity::new().unwrap());
        assert_ne!(one.public["x"], two.public["x"]);
    }
}
