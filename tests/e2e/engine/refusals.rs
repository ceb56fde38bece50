//! Refusals of bound tokens and of signed requests: each has an error code in the response, in the metrics and in `explain`.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup, binary};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const SECRET: &str = "a secret of the tests with 40 characters";
const BODY: &str = r#"{"event":"paid"}"#;

/// A request, and the code of its refusal.
#[derive(Clone)]
struct Refusal {
    what: String,
    path: &'static str,
    fields: Vec<(&'static str, String)>,
    code: &'static str,
}

fn refusal(
    what: &str,
    path: &'static str,
    fields: Vec<(&'static str, String)>,
    code: &'static str,
) -> Refusal {
    Refusal { what: what.to_owned(), path, fields, code }
}

fn document() -> Value {
    let jwt = |more: Value| {
        let mut scheme =
            json!({ "Type": "JwtBearer", "SigningKey": SECRET, "Issuer": "issuer", "Audience": "api" });
        for (name, value) in more.as_object().expect("an object") {
            scheme[name] = value.clone();
        }
        scheme
    };
    let hooks = |sender: &str| json!({ "Type": "HmacSignature", "Sender": sender, "Secrets": [SECRET] });
    let route = |path: &str, scheme: &str| {
        json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path, "DownstreamScheme": "http",
            "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": 9 }],
            "AuthenticationOptions": { "AuthenticationProviderKeys": [scheme] } })
    };
    json!({
        "AuthenticationSchemes": {
            "bound": jwt(json!({})),
            "nonce": jwt(json!({ "DPoP": { "RequireNonce": true } })),
            "keys-only": jwt(json!({ "DPoP": { "Mode": "Required" } })),
            "certificates-only": jwt(json!({ "CertificateBound": "Required" })),
            "github": hooks("GitHub"), "stripe": hooks("Stripe"), "slack": hooks("Slack"), "shopify": hooks("Shopify"),
        },
        "Routes": [
            route("/bound", "bound"), route("/nonce", "nonce"), route("/keys-only", "keys-only"),
            route("/certificates-only", "certificates-only"),
            route("/github", "github"), route("/stripe", "stripe"), route("/slack", "slack"), route("/shopify", "shopify"),
        ],
    })
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes")
}

fn public(seed: u8) -> Value {
    json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(key(seed).public_key()) })
}

/// An access token with this confirmation (RFC 7800).
fn token(confirmation: Value) -> String {
    let claims =
        json!({ "iss": "issuer", "aud": "api", "sub": "ann", "exp": unix_now() + 600, "cnf": confirmation });
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token that is bound to the key 7.
fn bound_token() -> String {
    let thumbprint = digest(&SHA256, public(7).to_string().as_bytes());
    token(json!({ "jkt": URL_SAFE_NO_PAD.encode(thumbprint) }))
}

/// A member with another value; null removes it.
fn over(mut value: Value, name: &str, member: Value) -> Value {
    match member {
        Value::Null => drop(value.as_object_mut().expect("an object").remove(name)),
        member => value[name] = member,
    }
    value
}

/// The beginning of the URLs of requests.
fn origin(gateway: &Gateway) -> String {
    format!("http://localhost:{}", gateway.address.port())
}

/// The parts of a proof (RFC 9449 4.2).
struct Proof<'p> {
    gateway: &'p Gateway,
    token: String,
}

impl Proof<'_> {
    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(7) })
    }

    fn claims(&self, path: &str, id: &str) -> Value {
        let hash = digest(&SHA256, self.token.as_bytes());
        json!({ "jti": id, "htm": "GET", "htu": format!("{}{path}", origin(self.gateway)),
            "iat": unix_now(), "ath": URL_SAFE_NO_PAD.encode(hash) })
    }

    fn signed(&self, header: &Value, claims: &Value, seed: u8) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(key(seed).sign(message.as_bytes())))
    }

    fn fields(&self, scheme: &str, proofs: &[String]) -> Vec<(&'static str, String)> {
        let credentials = ("Authorization", format!("{scheme} {}", self.token));
        std::iter::once(credentials).chain(proofs.iter().map(|proof| ("DPoP", proof.clone()))).collect()
    }
}

/// The claims of a proof that are refused.
fn wrong_claims(proof: &Proof<'_>) -> Vec<(&'static str, &'static str, Value)> {
    let now = unix_now();
    vec![
        ("another method", "htm", json!("POST")),
        ("a method in lower case", "htm", json!("get")),
        ("no method", "htm", Value::Null),
        ("another path", "htu", json!(format!("{}/other", origin(proof.gateway)))),
        ("another host", "htu", json!("http://evil.example/bound")),
        ("another scheme", "htu", json!(format!("{}/bound", origin(proof.gateway).replace("http", "https")))),
        ("no URL", "htu", Value::Null),
        ("another token", "ath", json!("AAAA")),
        ("no token", "ath", Value::Null),
        ("an old proof", "iat", json!(now - 120)),
        ("a proof of the future", "iat", json!(now + 120)),
        ("no time", "iat", Value::Null),
        ("a time as text", "iat", json!(now.to_string())),
        ("no ID", "jti", Value::Null),
        ("an empty ID", "jti", json!("")),
    ]
}

/// Proofs with one wrong member.
fn wrong_members(proof: &Proof<'_>) -> Vec<Refusal> {
    let private = over(public(7), "d", json!("AAAA"));
    let headers = [
        ("another type", "typ", json!("JWT")),
        ("no type", "typ", Value::Null),
        ("the algorithm none", "alg", json!("none")),
        ("a symmetric algorithm", "alg", json!("HS256")),
        ("the algorithm of another key", "alg", json!("ES256")),
        ("no key", "jwk", Value::Null),
        ("another key", "jwk", public(8)),
        ("a private key", "jwk", private),
        ("a critical extension", "crit", json!(["b64"])),
    ];
    let own = |id: &str| proof.claims("/bound", id);
    let claims = wrong_claims(proof)
        .into_iter()
        .map(|(what, name, value)| (what, proof.header(), over(own(what), name, value)));
    let headers =
        headers.into_iter().map(|(what, name, value)| (what, over(proof.header(), name, value), own(what)));
    claims
        .chain(headers)
        .map(|(what, header, claims)| {
            let sent = proof.signed(&header, &claims, 7);
            refusal(what, "/bound", proof.fields("DPoP", &[sent]), "identity.proof")
        })
        .collect()
}

/// Tokens without the proof that they need, and proofs that are none.
fn wrong_proofs(proof: &Proof<'_>) -> Vec<Refusal> {
    let good = |path: &str, id: &str| proof.signed(&proof.header(), &proof.claims(path, id), 7);
    let other_key = proof.signed(&proof.header(), &proof.claims("/bound", "by another key"), 8);
    let forged_nonce = over(proof.claims("/nonce", "forged"), "nonce", json!("forged"));
    let forged_nonce = proof.signed(&proof.header(), &forged_nonce, 7);
    let mut truncated = good("/bound", "truncated");
    truncated.truncate(truncated.len() - 2);
    [
        ("no proof", "/bound", vec![], "identity.proof"),
        ("two proofs", "/bound", vec![good("/bound", "1"), good("/bound", "2")], "identity.proof"),
        ("a proof that is no JWT", "/bound", vec!["a.b.c".to_owned()], "identity.proof"),
        ("a truncated proof", "/bound", vec![truncated], "identity.proof"),
        ("a proof of another key", "/bound", vec![other_key], "identity.proof"),
        ("a proof without a nonce", "/nonce", vec![good("/nonce", "4")], "identity.nonce"),
        ("a forged nonce", "/nonce", vec![forged_nonce], "identity.nonce"),
    ]
    .into_iter()
    .map(|(what, path, proofs, code)| refusal(what, path, proof.fields("DPoP", &proofs), code))
    .collect()
}

/// Tokens that are bound to nothing, or to something else.
fn wrong_bindings(proof: &Proof<'_>) -> Vec<Refusal> {
    let good = proof.signed(&proof.header(), &proof.claims("/bound", "3"), 7);
    let unbound = vec![("Authorization", format!("Bearer {}", token(Value::Null)))];
    let by_certificate = vec![("Authorization", format!("Bearer {}", token(json!({ "x5t#S256": "own" }))))];
    [
        ("a bound token as a bearer token", "/bound", proof.fields("Bearer", &[good])),
        ("an unbound token", "/keys-only", unbound.clone()),
        ("a token without a certificate", "/certificates-only", unbound),
        ("a token of another connection", "/certificates-only", by_certificate.clone()),
        ("the same where it is optional", "/bound", by_certificate),
    ]
    .into_iter()
    .map(|(what, path, fields)| refusal(what, path, fields, "identity.binding"))
    .collect()
}

fn hmac_hex(content: &str) -> String {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), content.as_bytes());
    signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of a delivery with this time and signature.
fn delivery(sender: &str, time: &str, signature: &str) -> Vec<(&'static str, String)> {
    match sender {
        "/github" => vec![("X-Hub-Signature-256", format!("sha256={signature}"))],
        "/stripe" => vec![("Stripe-Signature", format!("t={time},v1={signature}"))],
        "/slack" => vec![
            ("X-Slack-Signature", format!("v0={signature}")),
            ("X-Slack-Request-Timestamp", time.to_owned()),
        ],
        _ => vec![("X-Shopify-Hmac-Sha256", signature.to_owned())],
    }
}

/// What the senders with a time sign.
fn signed_at(sender: &str, time: &str) -> String {
    hmac_hex(&match sender {
        "/stripe" => format!("{time}.{BODY}"),
        _ => format!("v0:{time}:{BODY}"),
    })
}

fn wrong_deliveries() -> Vec<Refusal> {
    let (mut all, now) = (Vec::new(), unix_now());
    for path in ["/github", "/stripe", "/slack", "/shopify"] {
        let (time, other) = (now.to_string(), hmac_hex("another body"));
        let other = if path == "/shopify" { "A".repeat(43) + "=" } else { other };
        let mut twice = delivery(path, &time, &other);
        twice.push((twice[0].0, twice[0].1.clone()));
        all.extend([
            refusal("an unsigned delivery", path, Vec::new(), "identity.missing"),
            refusal("another body", path, delivery(path, &time, &other), "identity.signature"),
            refusal(
                "a signature that is not encoded",
                path,
                delivery(path, &time, "!"),
                "identity.malformed",
            ),
            refusal("two signatures", path, twice, "identity.malformed"),
        ]);
    }
    for path in ["/stripe", "/slack"] {
        let at = |time: String| delivery(path, &time, &signed_at(path, &time));
        all.extend([
            refusal("an old delivery", path, at((now - 400).to_string()), "identity.expired"),
            refusal("a delivery of the future", path, at((now + 400).to_string()), "identity.not_yet_valid"),
            refusal("a time that is none", path, at("soon".to_owned()), "identity.malformed"),
        ]);
    }
    all
}

fn method(path: &str) -> &'static str {
    if ["/github", "/stripe", "/slack", "/shopify"].contains(&path) { "POST" } else { "GET" }
}

/// The code of the response, and its status.
fn asked(gateway: &Gateway, refusal: &Refusal) -> (u16, String) {
    let mut request = Request::new(method(refusal.path), refusal.path);
    for (name, value) in &refusal.fields {
        request = request.header(name, value);
    }
    let request = if method(refusal.path) == "POST" { request.body(BODY) } else { request };
    let response = gateway.ask(&request);
    (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
}

/// The code that `margay explain` prints for the same request.
fn explained(gateway: &Gateway, refusal: &Refusal) -> String {
    let mut command = Command::new(binary());
    command.args(["explain", "--json", "--config"]).arg(gateway.config());
    command.args([method(refusal.path), &format!("{}{}", origin(gateway), refusal.path)]);
    for (name, value) in &refusal.fields {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    if method(refusal.path) == "POST" {
        command.args(["-d", BODY]);
    }
    let output = command.output().expect("margay runs");
    let explanation: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let code = explanation["response"]["code"].as_str().unwrap_or_default();
    if code.is_empty() { String::from_utf8_lossy(&output.stderr).into_owned() } else { code.to_owned() }
}

fn errors(gateway: &Gateway, code: &str) -> u64 {
    let metrics = gateway.admin("/metrics").text();
    let lines = metrics.lines().filter(|line| line.starts_with("margay_errors_total{"));
    let counts =
        lines.filter(|line| line.contains(&format!("\"{code}\""))).filter_map(|line| line.rsplit(' ').next());
    counts.filter_map(|count| count.parse::<u64>().ok()).sum()
}

#[test]
fn every_refusal_of_a_proof_has_its_code_in_the_response_the_metrics_and_explain() {
    let gateway = Gateway::start(&Setup::json(&document()));
    let proof = Proof { gateway: &gateway, token: bound_token() };
    let accepted = |path: &str| proof.signed(&proof.header(), &proof.claims(path, "good"), 7);
    let good =
        refusal("a good proof", "/bound", proof.fields("DPoP", &[accepted("/bound")]), "backend.connect");
    assert_eq!(asked(&gateway, &good), (502, "backend.connect".to_owned()), "no backend listens");
    let refusals =
        [wrong_members(&proof), wrong_proofs(&proof), wrong_bindings(&proof), wrong_deliveries()].concat();
    assert!(refusals.len() >= 40, "{}", refusals.len());
    let mut counts = BTreeMap::<&str, u64>::new();
    for refusal in &refusals {
        assert_eq!(
            asked(&gateway, refusal),
            (401, refusal.code.to_owned()),
            "{} {}",
            refusal.path,
            refusal.what
        );
        assert_eq!(explained(&gateway, refusal), refusal.code, "explain: {} {}", refusal.path, refusal.what);
        *counts.entry(refusal.code).or_default() += 1;
    }
    assert_eq!(asked(&gateway, &good), (401, "identity.replayed".to_owned()));
    *counts.entry("identity.replayed").or_default() += 1;
    for (code, count) in counts {
        assert_eq!(errors(&gateway, code), count, "{code}");
    }
}
