//! How the gateway authenticates at an authorization server (OpenID Connect Core 1.0, section 9).

use super::form::Form;
use crate::base::{percent::percent_encoded, secret::Secret};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

/// Validity of a signed assertion, in seconds.
const ASSERTION_TTL_SECONDS: u64 = 60;

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OauthClient {
    pub id: String,
    pub authentication: ClientAuthentication,
}

/// The method of authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuthentication {
    /// A public client.
    None,
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt`.
    PrivateKeyJwt(AssertionKey),
    /// `tls_client_auth`: the certificate of the connection.
    Certificate,
}

/// A key that signs assertions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssertionKey {
    pub pem: Secret,
    pub algorithm: Algorithm,
    pub kid: Option<String>,
}

impl AssertionKey {
    /// A key of a PEM text: RSA (RS256), EC on P-256 (ES256) or P-384 (ES384), or Ed25519.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(pem: &str, kid: Option<String>) -> Result<AssertionKey, &'static str> {
        const ALGORITHMS: [Algorithm; 4] =
            [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];
        for algorithm in ALGORITHMS {
            let key = AssertionKey { pem: Secret::new(pem), algorithm, kid: kid.clone() };
            if key.sign(&json!({})).is_ok() {
                return Ok(key);
            }
        }
        Err("expected a private key in PEM: RSA, EC on P-256 or P-384, or Ed25519")
    }

    /// Signs claims.
    ///
    /// # Errors
    ///
    /// The key cannot sign with its algorithm.
    pub fn sign(&self, claims: &serde_json::Value) -> Result<String, String> {
        let pem = self.pem.reveal().as_bytes();
        let key = match self.algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        let token = key.and_then(|key| jsonwebtoken::encode(&header, claims, &key));
        token.map_err(|error| format!("the private key cannot sign: {error}"))
    }
}

impl OauthClient {
    /// Adds the authentication to a request to this audience; returns the value of `Authorization`, if there is one. `now`
    /// is the Unix time in seconds.
    ///
    /// # Errors
    ///
    /// The private key cannot sign.
    pub fn authenticate(&self, audience: &str, now: u64, form: &mut Form) -> Result<Option<String>, String> {
        match &self.authentication {
            ClientAuthentication::Basic(secret) => {
                // RFC 6749 2.3.1: both parts are encoded as in a form.
                let pair = format!("{}:{}", percent_encoded(&self.id), percent_encoded(secret.reveal()));
                return Ok(Some(format!("Basic {}", STANDARD.encode(pair))));
            }
            ClientAuthentication::None | ClientAuthentication::Certificate => {}
            ClientAuthentication::Post(secret) => form.add("client_secret", secret.reveal()),
            ClientAuthentication::PrivateKeyJwt(key) => {
                let claims = json!({
                    "iss": self.id, "sub": self.id, "aud": audience, "jti": random_text(),
                    "iat": now, "exp": now + ASSERTION_TTL_SECONDS,
                });
                form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.add("client_assertion", &key.sign(&claims)?);
            }
        }
        form.add("client_id", &self.id);
        Ok(None)
    }
}

/// 256 random bits in base64url.
pub fn random_text() -> String {
    let mut bytes = [0; 32];
    // It fails only where the system has no random numbers, and then TLS does not work either.
    let filled = SystemRandom::new().fill(&mut bytes);
    assert!(filled.is_ok(), "the system has no random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::compact_jws::TokenParts;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";

    fn form(authentication: ClientAuthentication) -> (Option<String>, String) {
        let client = OauthClient { id: "a b".into(), authentication };
        let mut form = Form::default();
        let header = client.authenticate("https://id.example/token", 1000, &mut form).unwrap();
        (header, form.as_str().to_owned())
    }

    #[test]
    fn a_secret_is_in_the_header_or_in_the_form() {
        let (header, fields) = form(ClientAuthentication::Basic(Secret::new("c:d")));
        assert_eq!(header, Some(format!("Basic {}", STANDARD.encode("a%20b:c%3Ad"))));
        assert_eq!(fields, "");
        let posted = form(ClientAuthentication::Post(Secret::new("c")));
        assert_eq!(posted, (None, "client_secret=c&client_id=a%20b".to_owned()));
        assert_eq!(form(ClientAuthentication::None).1, "client_id=a%20b");
    }

    #[test]
    fn an_assertion_is_signed_for_the_audience() {
        let key = AssertionKey::parse(KEY, Some("k1".into())).unwrap();
        assert_eq!(key.algorithm, Algorithm::EdDSA);
        let (_, fields) = form(ClientAuthentication::PrivateKeyJwt(key));
        let assertion = fields.split('&').find_map(|field| field.strip_prefix("client_assertion=")).unwrap();
        let parts = TokenParts::split(assertion.as_bytes()).unwrap();
        let claims = parts.claims().unwrap();
        assert_eq!(parts.header.get("kid").unwrap(), "k1");
        assert_eq!(claims.get("aud").unwrap(), "https://id.example/token");
        assert_eq!(claims.get("exp").unwrap(), 1060);
        assert!(AssertionKey::parse("no key", None).is_err());
    }
}
