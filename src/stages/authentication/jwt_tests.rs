//! Attacks on tokens and valid tokens; each rejection has the right error code.

use super::super::keys::KeyData;
use super::super::settings::CredentialLocations;
use super::super::testing::{exchange, why};
use super::super::verification_pool::PoolLimits;
use super::*;
use crate::net::background::BackgroundRuntime;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use p256::pkcs8::EncodePrivateKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::json;
use std::sync::LazyLock;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct Pair {
    private: EncodingKey,
    public: String,
}

static RSA: LazyLock<Pair> = LazyLock::new(|| {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    Pair {
        private: EncodingKey::from_rsa_der(
            rsa::pkcs1::EncodeRsaPrivateKey::to_pkcs1_der(&key).unwrap().as_bytes(),
        ),
        public: key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap(),
    }
});

static EC: LazyLock<Pair> = LazyLock::new(|| {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    Pair {
        private: EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes()),
        public: key.public_key().to_public_key_pem(LineEnding::LF).unwrap(),
    }
});

fn hmac() -> EncodingKey {
    EncodingKey::from_secret(SECRET)
}

/// The Ed25519 key of 32 sevens.
fn edwards() -> EncodingKey {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([7; 32]);
    EncodingKey::from_ed_der(&der)
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token with any header, signed with this key and algorithm.
fn signed(header: &Value, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", part(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Runs the verifications that exceed the budget of a worker.
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap());

struct Scene {
    jwt: Arc<Jwt>,
    clock: Clock,
}

fn settings(algorithms: &[Algorithm]) -> JwtSettings {
    JwtSettings {
        locations: CredentialLocations { header: "Authorization".into(), ..CredentialLocations::default() },
        keys: super::super::settings::KeySource::Fixed(Vec::new()),
        algorithms: algorithms.to_vec(),
        issuers: vec![IssuerPattern::exact("https://issuer")],
        max_keys_tried: 3,
        audiences: vec!["api".into()],
        clock_skew: Duration::from_secs(60),
        token_types: Vec::new(),
        possession: super::super::settings::PossessionSettings::default(),
        requires_expiry: true,
        verifies_signature_first: false,
    }
}

impl Scene {
    fn of(settings: JwtSettings, keys: &[KeyData]) -> Scene {
        let clock = Clock::mock();
        let keys = Keys::Fixed(Arc::new(KeySet::new(keys, None, 0)));
        let background = BackgroundRuntime::default();
        background.attach(RUNTIME.handle().clone());
        let limits = PoolLimits { max_parallel: 2, max_queued: 64, max_queued_bytes: 1 << 20 };
        let pool = VerificationPool::new(limits, background);
        Scene { jwt: Arc::new(Jwt::new("jwt", settings, keys, clock.clone(), pool)), clock }
    }

    fn hmac() -> Scene {
        Scene::of(settings(&[Algorithm::HS256]), &[KeyData::secret(SECRET).unwrap()])
    }

    fn pem(pem: &str, algorithms: &[Algorithm]) -> Scene {
        Scene::of(settings(algorithms), &KeyData::pem(pem.as_bytes()).unwrap())
    }

    fn authenticate(&self, token: &str) -> AuthOutcome {
        let mut request = exchange("/", &[("Authorization", &format!("Bearer {token}"))]);
        request.now = self.clock.now();
        match self.jwt.authenticate(&request, None) {
            AuthOutcome::Pending(wait) => {
                RUNTIME.block_on(wait).map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated)
            }
            outcome => outcome,
        }
    }

    fn why(&self, token: &str) -> &'static str {
        why(self.authenticate(token))
    }

    fn claims(&self) -> Value {
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({ "iss": "https://issuer", "aud": "api", "sub": "u", "exp": now + 3600 })
    }

    /// A valid token with changes to header and claims; `null` removes a member.
    fn token(&self, header: Value, claims: Value) -> String {
        let mut all = (json!({ "alg": "HS256", "typ": "JWT" }), self.claims());
        for (own, over) in [(&mut all.0, header), (&mut all.1, claims)] {
            for (name, value) in over.as_object().unwrap() {
                match value.is_null() {
                    true => drop(own.as_object_mut().unwrap().remove(name)),
                    false => own[name] = value.clone(),
                }
            }
        }
        signed(&all.0, &all.1.to_string(), &hmac(), Algorithm::HS256)
    }

    fn why_changed(&self, header: Value, claims: Value) -> &'static str {
        self.why(&self.token(header, claims))
    }
}

#[test]
fn valid_tokens_of_every_algorithm_are_accepted() {
    let hs = Scene::hmac();
    assert_eq!(hs.why_changed(json!({}), json!({})), "authenticated");
    for (scene, key, algorithm, name) in [
        (
            Scene::pem(&RSA.public, &[Algorithm::RS256, Algorithm::PS256]),
            &RSA.private,
            Algorithm::RS256,
            "RS256",
        ),
        (
            Scene::pem(&RSA.public, &[Algorithm::RS256, Algorithm::PS256]),
            &RSA.private,
            Algorithm::PS256,
            "PS256",
        ),
        (Scene::pem(&EC.public, &[Algorithm::ES256]), &EC.private, Algorithm::ES256, "ES256"),
    ] {
        let token = signed(&json!({ "alg": name }), &scene.claims().to_string(), key, algorithm);
        assert_eq!(scene.why(&token), "authenticated", "{name}");
    }
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&edwards(), Algorithm::EdDSA).unwrap();
    let (keys, bad) = KeyData::set(json!({ "keys": [jwk] }).to_string().as_bytes(), false).unwrap();
    assert!(bad.is_empty(), "{bad:?}");
    let scene = Scene::of(settings(&[Algorithm::EdDSA]), &keys);
    let token = signed(&json!({ "alg": "EdDSA" }), &scene.claims().to_string(), &edwards(), Algorithm::EdDSA);
    assert_eq!(scene.why(&token), "authenticated");
}

#[test]
fn algorithm_none_is_rejected_in_any_spelling() {
    let scene = Scene::hmac();
    for name in ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "HS1", "unknown"] {
        let unsigned = format!("{}.{}.", part(&json!({ "alg": name })), part(&scene.claims()));
        assert_eq!(scene.why(&unsigned), "identity.algorithm", "{name}");
        assert_eq!(scene.why_changed(json!({ "alg": name }), json!({})), "identity.algorithm", "{name}");
    }
    assert_eq!(scene.why_changed(json!({ "alg": null }), json!({})), "identity.malformed");
    assert_eq!(scene.why_changed(json!({ "alg": ["HS256"] }), json!({})), "identity.malformed");
    let stripped = scene.token(json!({}), json!({}));
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(scene.why(stripped), "identity.signature");
}

#[test]
fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let every = [Algorithm::RS256, Algorithm::HS256];
    for (scene, wanted) in [
        (Scene::pem(&RSA.public, &every[..1]), "identity.algorithm"),
        // Also if the scheme allows HS256: the key does not.
        (Scene::pem(&RSA.public, &every), "identity.algorithm"),
        (Scene::pem(&EC.public, &every), "identity.algorithm"),
    ] {
        for secret in [RSA.public.as_bytes(), RSA.public.trim().as_bytes(), EC.public.as_bytes()] {
            let key = EncodingKey::from_secret(secret);
            let token =
                signed(&json!({ "alg": "HS256" }), &scene.claims().to_string(), &key, Algorithm::HS256);
            assert_eq!(scene.why(&token), wanted);
        }
    }
    let scene = Scene::hmac();
    let token =
        signed(&json!({ "alg": "RS256" }), &scene.claims().to_string(), &RSA.private, Algorithm::RS256);
    assert_eq!(scene.why(&token), "identity.algorithm");
}

#[test]
fn a_key_within_the_token_is_rejected() {
    let scene = Scene::pem(&RSA.public, &[Algorithm::RS256]);
    let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    for own in [json!({ "jwk": jwk }), json!({ "jku": "http://evil/" }), json!({ "x5u": "http://evil/" })] {
        let mut header = json!({ "alg": "RS256" });
        header.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let token = signed(&header, &scene.claims().to_string(), &RSA.private, Algorithm::RS256);
        assert_eq!(scene.why(&token), "identity.key", "{own}");
    }
}

#[test]
fn a_key_id_is_only_compared() {
    let set = json!({ "keys": [{ "kty": "oct", "kid": "one", "k": URL_SAFE_NO_PAD.encode(SECRET) }] });
    let (keys, _) = KeyData::set(set.to_string().as_bytes(), true).unwrap();
    let scene = Scene::of(settings(&[Algorithm::HS256]), &keys);
    assert_eq!(scene.why_changed(json!({ "kid": "one" }), json!({})), "authenticated");
    assert_eq!(scene.why_changed(json!({}), json!({})), "authenticated");
    for id in ["../../etc/passwd", "one' OR '1'='1", "/dev/null", "", "ONE", "one\0", "http://evil/"] {
        assert_eq!(scene.why_changed(json!({ "kid": id }), json!({})), "identity.key", "{id}");
    }
    assert_eq!(scene.why_changed(json!({ "kid": 1 }), json!({})), "identity.malformed");
}

#[test]
fn only_default_or_configured_types_are_accepted() {
    let scene = Scene::hmac();
    for kind in [json!(null), json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/at+jwt")] {
        assert_eq!(scene.why_changed(json!({ "typ": kind }), json!({})), "authenticated", "{kind}");
    }
    for kind in ["", "JWE", "id+jwt", "dpop+jwt", "logout+jwt", "application/", "application/json"] {
        assert_eq!(scene.why_changed(json!({ "typ": kind }), json!({})), "identity.type", "{kind}");
    }
    let only = JwtSettings { token_types: vec!["at+jwt".into()], ..settings(&[Algorithm::HS256]) };
    let scene = Scene::of(only, &[KeyData::secret(SECRET).unwrap()]);
    assert_eq!(scene.why_changed(json!({ "typ": "AT+JWT" }), json!({})), "authenticated");
    assert_eq!(scene.why_changed(json!({ "typ": "JWT" }), json!({})), "identity.type");
    assert_eq!(scene.why_changed(json!({ "typ": null }), json!({})), "identity.type");
}

#[test]
fn critical_extensions_are_rejected() {
    let scene = Scene::hmac();
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("x")] {
        assert_eq!(
            scene.why_changed(json!({ "crit": crit, "b64": false }), json!({})),
            "identity.critical",
            "{crit}"
        );
    }
}

#[test]
fn times_must_be_numeric_dates() {
    let scene = Scene::hmac();
    let now = scene.claims()["exp"].as_u64().unwrap() - 3600;
    for (claims, wanted) in [
        (json!({ "exp": now - 30 }), "authenticated"),
        (json!({ "exp": now as f64 + 0.5 }), "authenticated"),
        (json!({ "exp": now - 61 }), "identity.expired"),
        (json!({ "exp": 1000 }), "identity.expired"),
        (json!({ "exp": -5 }), "identity.expired"),
        (json!({ "exp": null }), "identity.malformed"),
        (json!({ "exp": "never" }), "identity.malformed"),
        (json!({ "exp": (now + 60).to_string() }), "identity.malformed"),
        (json!({ "exp": [now + 60] }), "identity.malformed"),
        (json!({ "exp": u64::MAX }), "identity.malformed"),
        (json!({ "exp": 1e300 }), "identity.malformed"),
        (json!({ "nbf": now + 30 }), "authenticated"),
        (json!({ "nbf": now + 120 }), "identity.not_yet_valid"),
        (json!({ "nbf": "pending" }), "identity.malformed"),
    ] {
        assert_eq!(scene.why_changed(json!({}), claims.clone()), wanted, "{claims}");
    }
    let overflow = scene.claims().to_string().replace(&(now + 3600).to_string(), "1e999");
    assert_eq!(
        scene.why(&signed(&json!({ "alg": "HS256" }), &overflow, &hmac(), Algorithm::HS256)),
        "identity.malformed"
    );
}

#[test]
fn a_cached_token_expires() {
    let scene = Scene::hmac();
    let token = scene.token(json!({}), json!({}));
    assert_eq!(
        (scene.why(&token), scene.jwt.token_cache.get(token.as_bytes()).is_some()),
        ("authenticated", true)
    );
    scene.clock.advance(Duration::from_secs(3600 + 30));
    assert_eq!(scene.why(&token), "authenticated");
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(scene.why(&token), "identity.expired");
}

#[test]
fn tokens_with_another_issuer_or_audience_are_rejected() {
    let scene = Scene::hmac();
    for (claims, wanted) in [
        (json!({ "iss": "https://issuer/" }), "identity.issuer"),
        (json!({ "iss": null }), "identity.issuer"),
        (json!({ "iss": ["https://issuer"] }), "identity.issuer"),
        (json!({ "aud": ["other", "api"] }), "authenticated"),
        (json!({ "aud": "other" }), "identity.audience"),
        (json!({ "aud": "API" }), "identity.audience"),
        (json!({ "aud": [] }), "identity.audience"),
        (json!({ "aud": null }), "identity.audience"),
        (json!({ "aud": { "api": true } }), "identity.audience"),
    ] {
        assert_eq!(scene.why_changed(json!({}), claims.clone()), wanted, "{claims}");
    }
}

#[test]
fn truncated_oversized_and_duplicate_content_is_rejected() {
    let scene = Scene::hmac();
    let token = scene.token(json!({}), json!({}));
    for length in [1, 10, token.find('.').unwrap(), token.rfind('.').unwrap()] {
        assert_eq!(scene.why(&token[..length]), "identity.malformed", "{length}");
    }
    assert_eq!(scene.why(&token[..token.len() - 1]), "identity.signature");
    assert_eq!(scene.why(&format!("{token}.x")), "identity.malformed");
    assert_eq!(scene.why(&"a".repeat(1 << 20)), "identity.malformed");
    let mebibyte = scene.token(json!({}), json!({ "filler": "x".repeat(1 << 20) }));
    assert_eq!(scene.why(&mebibyte), "identity.malformed");
    let claims = scene.claims().to_string();
    for doubled in [claims.replacen('{', "{\"sub\":\"admin\",", 1), claims.replacen('{', "{\"exp\":1,", 1)] {
        let token = signed(&json!({ "alg": "HS256" }), &doubled, &hmac(), Algorithm::HS256);
        assert_eq!(scene.why(&token), "identity.malformed", "{doubled}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let token = signed(&json!({ "alg": "HS256" }), &deep, &hmac(), Algorithm::HS256);
    assert_eq!(scene.why(&token), "identity.malformed");
}

#[test]
fn changed_tokens_and_zero_signatures_are_rejected() {
    let scene = Scene::hmac();
    let token = scene.token(json!({}), json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let mut claims = scene.claims();
    claims["sub"] = json!("admin");
    assert_eq!(scene.why(&format!("{header}.{}.{signature}", part(&claims))), "identity.signature");
    assert_eq!(scene.why(&format!("{message}.{}", "A".repeat(43))), "identity.signature");
    let scene = Scene::pem(&EC.public, &[Algorithm::ES256]);
    for signature in [[0; 64].to_vec(), [[0; 32], [1; 32]].concat(), [255; 64].to_vec(), Vec::new()] {
        let message = format!("{}.{}", part(&json!({ "alg": "ES256" })), part(&scene.claims()));
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(scene.why(&token), "identity.signature");
    }
    let good = signed(&json!({ "alg": "ES256" }), &scene.claims().to_string(), &EC.private, Algorithm::ES256);
    assert_eq!(scene.why(&good), "authenticated");
}

#[test]
fn claims_keep_their_names_and_become_text() {
    let scene = Scene::hmac();
    let claims = json!({
        "role": ["a", "b"], "num": 7.5, "flag": true, "at": { "x": [1] }, "urn:x/y": "z", "big": 12345678901234567890u64, "list": []
    });
    let AuthOutcome::Authenticated(user) = scene.authenticate(&scene.token(json!({}), claims)) else {
        panic!("refused")
    };
    assert_eq!(user.claim_values("role").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (user.claim_value("num"), user.claim_value("flag"), user.claim_value("list")),
        (Some("7.5"), Some("true"), None)
    );
    assert_eq!((user.claim_value("at"), user.claim_value("urn:x/y")), (Some("{\"x\":[1]}"), Some("z")));
    assert_eq!((user.claim_value("big"), &*user.scheme), (Some("12345678901234567890"), "jwt"));
}

#[path = "jwt_key_tests.rs"]
mod key_tests;
