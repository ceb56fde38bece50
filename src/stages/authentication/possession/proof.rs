//! A DPoP proof: a token that the client signs for one request (RFC 9449, section 4.3).

use crate::{
    base::{
        compact_jws::{JsonObject, TokenParts},
        url::HttpUrl,
    },
    stages::authentication::keys::{KeyData, KeySet},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Members of a private or a secret key.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The request for which a proof is made.
#[derive(Debug)]
pub struct ProvenRequest<'r> {
    pub method: &'r str,
    pub url: &'r str,
    pub token: &'r [u8],
    /// The thumbprint of the key to which the token is bound.
    pub thumbprint: &'r str,
    /// Unix time in seconds.
    pub now: u64,
    pub lifetime: u64,
}

/// A proof whose claims are right; its signature is not verified.
#[derive(Debug)]
pub struct DpopProof {
    key: KeySet,
    algorithm: Algorithm,
    message: Vec<u8>,
    signature: String,
    pub nonce: Option<String>,
    /// A digest of the key and the ID of the proof.
    pub digest: [u8; 16],
}

impl DpopProof {
    /// Parses a proof and checks everything but its signature and its nonce.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn read(text: &[u8], request: &ProvenRequest) -> Result<DpopProof, &'static str> {
        let parts = TokenParts::split(text)?;
        let text =
            |object: &JsonObject, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        if text(&parts.header, "typ").is_none_or(|kind| !kind.eq_ignore_ascii_case("dpop+jwt")) {
            return Err("the `typ` of the proof is not dpop+jwt");
        }
        if parts.header.get("crit").is_some() {
            return Err("the proof requires an unsupported extension (`crit`)");
        }
        let jwk = parts.header.get("jwk").ok_or("the proof has no `jwk`")?;
        if PRIVATE_MEMBERS.iter().any(|name| jwk.get(name).is_some()) {
            return Err("the `jwk` of the proof is not a public key");
        }
        let key = KeyData::public_jwk(jwk).map_err(|_| "the `jwk` of the proof is not usable")?;
        let algorithm = text(&parts.header, "alg").and_then(|name| name.parse::<Algorithm>().ok());
        let algorithm = algorithm.ok_or("the algorithm of the proof is not supported")?;
        if !key.material.algorithms().contains(&algorithm) {
            return Err("the algorithm of the proof does not match its key");
        }
        if thumbprint(jwk).is_none_or(|thumbprint| thumbprint != request.thumbprint) {
            return Err("the key of the proof is not that of the token");
        }
        let claims = parts.claims()?;
        let id = check_claims(&claims, request)?;
        let digest = Sha256::digest([request.thumbprint.as_bytes(), b"\0", id.as_bytes()].concat());
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Ok(DpopProof {
            key: KeySet::new(&[KeyData { kid: None, ..key }], None, 0),
            algorithm,
            message: parts.message.to_vec(),
            signature: parts.signature.to_owned(),
            nonce: text(&claims, "nonce"),
            digest: short,
        })
    }

    /// Whether the key of the proof has signed it.
    pub fn is_signed(&self) -> bool {
        let candidates = self.key.select(None, self.algorithm, 1);
        candidates.is_ok_and(|candidates| candidates.verify(&self.message, &self.signature))
    }

    /// Bytes that a pending verification holds.
    pub fn len(&self) -> usize {
        self.message.len() + self.signature.len()
    }
}

/// Checks the claims; returns the ID of the proof.
fn check_claims(claims: &JsonObject, request: &ProvenRequest) -> Result<String, &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let id = text("jti").filter(|id| !id.is_empty()).ok_or("the proof has no `jti`")?;
    if text("htm") != Some(request.method) {
        return Err("the `htm` of the proof is not the method of the request");
    }
    if !text("htu").is_some_and(|url| is_same_url(url, request.url)) {
        return Err("the `htu` of the proof is not the URL of the request");
    }
    let issued = claims.get("iat").and_then(Value::as_f64).ok_or("the proof has no `iat`")?;
    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
    let (now, lifetime) = (request.now as f64, request.lifetime as f64);
    if issued < now - lifetime {
        return Err("the proof is too old (`iat`)");
    }
    if issued > now + lifetime {
        return Err("the proof was made in the future (`iat`)");
    }
    if text("ath") != Some(&URL_SAFE_NO_PAD.encode(Sha256::digest(request.token))) {
        return Err("the `ath` of the proof is not the hash of the token");
    }
    Ok(id.to_owned())
}

/// Compares scheme, host, port and path; query and fragment do not count.
fn is_same_url(one: &str, other: &str) -> bool {
    let parse = |text: &str| HttpUrl::parse(text.split(['?', '#']).next().unwrap_or_default()).ok();
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => {
            one.tls == other.tls
                && one.host.eq_ignore_ascii_case(&other.host)
                && one.port == other.port
                && one.target == other.target
        }
        _ => false,
    }
}

/// The SHA-256 thumbprint of a key (RFC 7638).
pub fn thumbprint(jwk: &Value) -> Option<String> {
    let text = |name: &str| jwk[name].as_str();
    let members = match text("kty")? {
        "EC" => json!({ "crv": text("crv")?, "kty": "EC", "x": text("x")?, "y": text("y")? }),
        "RSA" => json!({ "e": text("e")?, "kty": "RSA", "n": text("n")? }),
        "OKP" => json!({ "crv": text("crv")?, "kty": "OKP", "x": text("x")? }),
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let jwk = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        });
        assert_eq!(thumbprint(&jwk).as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    }

    #[test]
    fn urls_are_compared_without_query_case_and_default_port() {
        for (one, other, is_same) in [
            ("https://API.example:443/a?b=c#d", "https://api.example/a", true),
            ("https://api.example", "https://api.example/", true),
            ("http://api.example/a", "https://api.example/a", false),
            ("https://api.example/A", "https://api.example/a", false),
            ("https://api.example:8443/a", "https://api.example/a", false),
            ("https://user@api.example/a", "https://api.example/a", false),
            ("/a", "https://api.example/a", false),
        ] {
            assert_eq!(is_same_url(one, other), is_same, "{one}");
        }
    }
}
