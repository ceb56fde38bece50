//! Bound tokens, and the refusals.

use super::*;
use crate::{
    net::background::BackgroundRuntime,
    pipeline::{client_certificate::CertificateInfo, exchange::Peer},
    stages::authentication::{testing::why, verification_pool::PoolLimits},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

const TOKEN: &[u8] = b"access.token.text";

fn private(seed: u8) -> EncodingKey {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([seed; 32]);
    EncodingKey::from_ed_der(&der)
}

fn public(seed: u8) -> Value {
    let jwk = json!(Jwk::from_encoding_key(&private(seed), Algorithm::EdDSA).unwrap());
    json!({ "kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"] })
}

fn settings() -> PossessionSettings {
    PossessionSettings {
        dpop: PossessionMode::IfBound,
        proof_lifetime: Duration::from_secs(60),
        certificate: PossessionMode::IfBound,
        ..PossessionSettings::default()
    }
}

fn possession(settings: PossessionSettings) -> Arc<Possession> {
    let background = BackgroundRuntime::default();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        background.attach(runtime);
    }
    let limits = PoolLimits { max_parallel: 1, max_queued: 9, max_queued_bytes: 1 << 20 };
    Arc::new(Possession::new(settings, Clock::default(), VerificationPool::new(limits, background)))
}

fn user(claims: &[(&str, &str)]) -> Arc<Identity> {
    let mut user = Identity::new("jwt".into());
    claims.iter().for_each(|(name, value)| user.add(name, value));
    Arc::new(user)
}

fn bound() -> Arc<Identity> {
    user(&[("cnf.jkt", &thumbprint(&public(7)).unwrap())])
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn ath() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN))
}

fn claims(id: &str) -> Value {
    json!({ "jti": id, "htm": "GET", "htu": "https://api.example/orders", "iat": unix_now(), "ath": ath() })
}

fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(7) })
}

fn signed(header: &Value, claims: &Value, seed: u8) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), &private(seed), Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn exchange(proofs: &[&str]) -> Exchange {
    let address = ([127, 0, 0, 1], 1).into();
    let mut exchange = Exchange::new(Peer::new(address, address, true), 0, Instant::now());
    exchange.request.begin(b"GET", b"/orders?page=2");
    exchange.request.append(b"Host", b"api.example");
    proofs.iter().for_each(|proof| exchange.request.append(b"DPoP", proof.as_bytes()));
    exchange
}

/// The error code of a request with these proofs, or `authenticated`.
async fn outcome(
    possession: &Arc<Possession>,
    user: Arc<Identity>,
    presentation: Presentation,
    proofs: &[&str],
) -> &'static str {
    match possession.check(user, TOKEN, presentation, &exchange(proofs), None) {
        AuthOutcome::Pending(wait) => wait.await.map_or_else(|cause| cause.code.name(), |_| "authenticated"),
        outcome => why(outcome),
    }
}

fn over(mut value: Value, name: &str, member: Value) -> Value {
    match member {
        Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
        member => value[name] = member,
    }
    value
}

#[tokio::test]
async fn a_proof_is_accepted_once() {
    let possession = possession(settings());
    let proof = signed(&header(), &claims("1"), 7);
    let check = async || outcome(&possession, bound(), Presentation::Dpop, &[&proof]).await;
    assert_eq!(check().await, "authenticated");
    assert_eq!(check().await, "identity.replayed");
    let other = signed(&header(), &claims("2"), 7);
    assert_eq!(outcome(&possession, bound(), Presentation::Elsewhere, &[&other]).await, "authenticated");
}

#[tokio::test]
async fn every_wrong_member_of_a_proof_is_refused() {
    let possession = possession(settings());
    let now = unix_now();
    let mut private_key = public(7);
    private_key["d"] = json!("AAAA");
    let cases: Vec<(&str, Value, Value)> = vec![
        ("another method", header(), over(claims("a"), "htm", json!("POST"))),
        ("a method in lower case", header(), over(claims("b"), "htm", json!("get"))),
        ("no method", header(), over(claims("c"), "htm", Value::Null)),
        ("another path", header(), over(claims("d"), "htu", json!("https://api.example/other"))),
        ("another host", header(), over(claims("e"), "htu", json!("https://evil.example/orders"))),
        ("plain http", header(), over(claims("f"), "htu", json!("http://api.example/orders"))),
        ("no URL", header(), over(claims("g"), "htu", Value::Null)),
        ("a URL that is not text", header(), over(claims("h"), "htu", json!(["https://api.example/orders"]))),
        ("another token", header(), over(claims("i"), "ath", json!("AAAA"))),
        ("no token", header(), over(claims("j"), "ath", Value::Null)),
        ("too old", header(), over(claims("k"), "iat", json!(now - 70))),
        ("in the future", header(), over(claims("l"), "iat", json!(now + 70))),
        ("no time", header(), over(claims("m"), "iat", Value::Null)),
        ("a time as text", header(), over(claims("n"), "iat", json!(now.to_string()))),
        ("no ID", header(), over(claims("o"), "jti", Value::Null)),
        ("an empty ID", header(), claims("")),
        ("another type", over(header(), "typ", json!("JWT")), claims("p")),
        ("no type", over(header(), "typ", Value::Null), claims("q")),
        ("no algorithm", over(header(), "alg", Value::Null), claims("r")),
        ("the algorithm none", over(header(), "alg", json!("none")), claims("s")),
        ("an algorithm of another key", over(header(), "alg", json!("ES256")), claims("t")),
        ("a symmetric algorithm", over(header(), "alg", json!("HS256")), claims("u")),
        ("no key", over(header(), "jwk", Value::Null), claims("v")),
        ("another key", over(header(), "jwk", public(8)), claims("w")),
        ("a private key", over(header(), "jwk", private_key), claims("x")),
        ("a symmetric key", over(header(), "jwk", json!({ "kty": "oct", "k": "AAAA" })), claims("y")),
        ("a critical extension", over(header(), "crit", json!(["b64"])), claims("z")),
    ];
    for (name, header, claims) in cases {
        let proof = signed(&header, &claims, 7);
        let code = outcome(&possession, bound(), Presentation::Dpop, &[&proof]).await;
        assert_eq!(code, "identity.proof", "{name}");
    }
}

#[tokio::test]
async fn missing_repeated_and_forged_proofs_are_refused() {
    let possession = possession(settings());
    let proof = signed(&header(), &claims("1"), 7);
    let check = async |proofs: &[&str]| outcome(&possession, bound(), Presentation::Dpop, proofs).await;
    assert_eq!(check(&[]).await, "identity.proof");
    assert_eq!(check(&[&proof, &proof]).await, "identity.proof");
    assert_eq!(check(&["a.b.c"]).await, "identity.proof");
    assert_eq!(check(&[&proof[..proof.len() - 2]]).await, "identity.proof");
    assert_eq!(
        check(&[&signed(&header(), &claims("1"), 8)]).await,
        "identity.proof",
        "signed by another key"
    );
    let sent_as_bearer = outcome(&possession, bound(), Presentation::Bearer, &[&proof]).await;
    assert_eq!(sent_as_bearer, "identity.binding", "downgrade to Bearer");
    let unbound = outcome(&possession, user(&[("sub", "u")]), Presentation::Dpop, &[&proof]).await;
    assert_eq!(unbound, "identity.binding", "the token is not bound");
    assert_eq!(check(&[&proof]).await, "authenticated", "refusals do not use up a proof");
}

#[tokio::test]
async fn a_required_binding_refuses_plain_tokens_and_off_accepts_all() {
    let plain = || user(&[("sub", "u")]);
    let required = possession(PossessionSettings { dpop: PossessionMode::Required, ..settings() });
    assert_eq!(outcome(&required, plain(), Presentation::Bearer, &[]).await, "identity.binding");
    let required = possession(PossessionSettings { certificate: PossessionMode::Required, ..settings() });
    assert_eq!(outcome(&required, plain(), Presentation::Bearer, &[]).await, "identity.binding");
    let off = possession(PossessionSettings::default());
    assert_eq!(outcome(&off, bound(), Presentation::Bearer, &[]).await, "authenticated");
}

#[tokio::test]
async fn a_nonce_of_the_gateway_is_required_if_configured() {
    let possession = possession(PossessionSettings { requires_nonce: true, ..settings() });
    let check = async |claims: &Value| {
        let proof = signed(&header(), claims, 7);
        match possession.check(bound(), TOKEN, Presentation::Dpop, &exchange(&[&proof]), None) {
            AuthOutcome::Rejected(cause) => {
                let fields = cause.extra.map(|extra| extra.headers).unwrap_or_default();
                (cause.code.name(), fields.into_iter().map(|(_, value)| value).next())
            }
            AuthOutcome::Pending(wait) => (wait.await.map_or("rejected", |_| "authenticated"), None),
            _ => ("unexpected", None),
        }
    };
    let (code, nonce) = check(&claims("1")).await;
    assert_eq!(code, "identity.nonce");
    let nonce = nonce.expect("a nonce");
    assert_eq!(check(&over(claims("2"), "nonce", json!("forged"))).await.0, "identity.nonce");
    assert_eq!(check(&over(claims("3"), "nonce", json!(nonce))).await.0, "authenticated");
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_requires_the_connection_with_it() {
    let possession = possession(settings());
    let own = user(&[("cnf.x5t#S256", "own")]);
    let with = |thumbprint: &str| {
        let mut exchange = exchange(&[]);
        let info = CertificateInfo::default();
        exchange.client.certificate =
            Some(Arc::new(ClientCertificate::new(info, thumbprint.to_owned(), String::new())));
        why(possession.check(own.clone(), TOKEN, Presentation::Bearer, &exchange, None))
    };
    assert_eq!(with("own"), "authenticated");
    assert_eq!(with("other"), "identity.binding");
    assert_eq!(outcome(&possession, own.clone(), Presentation::Bearer, &[]).await, "identity.binding");
}

#[test]
fn a_dry_run_uses_up_no_proof() {
    let possession = possession(settings());
    let mut exchange = exchange(&[&signed(&header(), &claims("1"), 7)]);
    exchange.is_dry_run = true;
    for _ in 0..2 {
        let outcome = possession.check(bound(), TOKEN, Presentation::Dpop, &exchange, None);
        assert_eq!(why(outcome), "authenticated");
    }
}
