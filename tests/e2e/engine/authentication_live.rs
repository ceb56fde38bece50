//! Authentication on a socket: key rotation, an identity provider that becomes unreachable, API keys from a file.

use super::{document, over, to};
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{becomes_true, ports};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn private(key: u8) -> EncodingKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([key; 32]);
    EncodingKey::from_ed_der(&der)
}

fn public(keys: &[u8]) -> String {
    let one = |key: &u8| {
        let mut jwk = json!(Jwk::from_encoding_key(&private(*key), Algorithm::EdDSA).expect("a key"));
        jwk["kid"] = json!(key.to_string());
        jwk
    };
    json!({ "keys": keys.iter().map(one).collect::<Vec<_>>() }).to_string()
}

fn token(key: u8, sub: &str) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.to_string());
    jsonwebtoken::encode(&header, &claims(sub), &private(key)).expect("a token")
}

fn claims(sub: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    json!({ "sub": sub, "aud": "api", "exp": now + 600 })
}

fn with(gateway: &Gateway, target: &str, header: &str, value: &str) -> Response {
    gateway.ask(&Request::get(target).header(header, value))
}

fn bearer(gateway: &Gateway, token: &str) -> Response {
    with(gateway, "/", "Authorization", &format!("Bearer {token}"))
}

/// A document whose only route requires the scheme "S".
fn authenticated_route(port: u16, scheme: &Value) -> Value {
    let route = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] } });
    document(port, &route, &json!({ "AuthenticationSchemes": { "S": scheme } }))
}

fn remote(port: u16) -> Value {
    json!({ "Type": "JwtBearer", "JwksUri": format!("http://127.0.0.1:{port}/jwks"), "Audience": "api",
        "MinimumRefreshInterval": "1s" })
}

/// An identity provider whose keys a test replaces.
fn provider(keys: &[u8]) -> (Origin, Arc<Mutex<Vec<u8>>>) {
    let keys = Arc::new(Mutex::new(keys.to_vec()));
    let published = keys.clone();
    (Origin::with(move |_| StubResponse::new(200, public(&published.lock().expect("keys")))), keys)
}

#[test]
fn a_401_has_a_challenge_and_a_problem_body() {
    let origin = Origin::hello();
    let scheme = json!({ "Type": "JwtBearer", "SigningKey": SECRET });
    let gateway = Gateway::with(&authenticated_route(origin.port(), &scheme));
    let nothing = gateway.get("/");
    assert_eq!((nothing.status, nothing.json()["code"].as_str()), (401, Some("identity.missing")));
    assert_eq!(nothing.header("www-authenticate"), Some("Bearer realm=\"S\""));
    let bad = bearer(&gateway, "a.b.c");
    assert_eq!((bad.status, bad.json()["code"].as_str()), (401, Some("identity.malformed")));
    let challenge = bad.header("www-authenticate").expect("a challenge").to_owned();
    assert!(
        challenge.starts_with("Bearer realm=\"S\", error=\"invalid_token\", error_description=\""),
        "{challenge}"
    );
    assert_eq!(origin.calls(), 0);
}

#[test]
fn a_query_token_is_removed_and_the_authorization_header_is_forwarded() {
    let origin = Origin::hello();
    let scheme = json!({ "Type": "JwtBearer", "SigningKey": SECRET, "QueryParameter": "access_token" });
    let gateway = Gateway::with(&authenticated_route(origin.port(), &scheme));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims("u"), &key).expect("a token");
    assert_eq!(gateway.get(&format!("/a?x=1&access_token={token}&y=2")).status, 200);
    assert_eq!(origin.last().target, "/a?x=1&y=2");
    assert_eq!(bearer(&gateway, &token).status, 200);
    assert_eq!(origin.last().header("authorization"), Some(format!("Bearer {token}").as_str()));
}

#[test]
fn a_query_token_and_a_cookie_are_forwarded_if_configured() {
    let origin = Origin::hello();
    let scheme = json!({ "Type": "JwtBearer", "SigningKey": SECRET, "QueryParameter": "access_token",
        "KeepQueryParameter": true, "Cookie": "session" });
    let gateway = Gateway::with(&authenticated_route(origin.port(), &scheme));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims("u"), &key).expect("a token");
    let target = format!("/a?x=1&access_token={token}&y=%32");
    assert_eq!(gateway.get(&target).status, 200);
    assert_eq!(origin.last().target, target);
    let cookies = format!("a=b; session={token}");
    assert_eq!(with(&gateway, "/a", "Cookie", &cookies).status, 200);
    assert_eq!(origin.last().header("cookie"), Some(cookies.as_str()));
}

#[test]
fn a_discovery_document_with_another_issuer_requires_issuer_in_the_scheme() {
    let port = Arc::new(Mutex::new(0));
    let own_port = port.clone();
    let provider = Origin::with(move |seen| {
        let keys = format!("http://127.0.0.1:{}/keys", own_port.lock().expect("a port"));
        let document = json!({ "issuer": "https://login.example/real", "jwks_uri": keys });
        StubResponse::new(200, if seen.path == "/keys" { public(&[1]) } else { document.to_string() })
    });
    *port.lock().expect("a port") = provider.port();
    let authority =
        json!({ "Type": "JwtBearer", "Authority": format!("http://127.0.0.1:{}/tenant", provider.port()) });
    let origin = Origin::hello();
    let issued_by = |issuer: &str| {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("1".to_owned());
        let claims = over(claims("u"), &json!({ "iss": issuer }));
        jsonwebtoken::encode(&header, &claims, &private(1)).expect("a token")
    };
    let status = |gateway: &Gateway, issuer: &str| bearer(gateway, &issued_by(issuer)).status;
    let strict = Gateway::with(&authenticated_route(origin.port(), &authority));
    assert_eq!(status(&strict, "https://login.example/real"), 503);
    let issuer = json!({ "Issuer": ["https://login.example/real", "https://old.example"] });
    let gateway = Gateway::with(&authenticated_route(origin.port(), &over(authority, &issuer)));
    assert_eq!(status(&gateway, "https://login.example/real"), 200);
    assert_eq!(status(&gateway, "https://old.example"), 200);
    assert_eq!(status(&gateway, "https://login.example"), 401);
}

#[test]
fn keys_rotated_under_load_reject_no_valid_token() {
    let (origin, (provider, keys)) = (Origin::hello(), provider(&[1]));
    let gateway = Gateway::with(&authenticated_route(origin.port(), &remote(provider.port())));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (keys, gateway) = (keys.clone(), &gateway);
                scope.spawn(move || {
                    for n in 0..60 {
                        let key = *keys.lock().expect("keys").last().expect("a key");
                        let answer = bearer(gateway, &token(key, &format!("{caller}-{n}")));
                        assert_eq!(answer.status, 200, "key {key}: {}", answer.text());
                    }
                })
            })
            .collect();
        for key in 2..6 {
            std::thread::sleep(Duration::from_millis(300));
            // Old keys stay valid for requests in flight, as identity providers do it.
            keys.lock().expect("keys").push(key);
        }
        callers.into_iter().for_each(|caller| caller.join().expect("no caller is rejected"));
    });
    assert!(provider.calls() < 20, "{} fetches", provider.calls());
}

#[test]
fn the_gateway_starts_and_runs_without_its_identity_provider() {
    let origin = Origin::hello();
    let place = ports::Closed::reserve();
    let gateway = Gateway::with(&authenticated_route(origin.port(), &remote(place.port)));
    let early = bearer(&gateway, &token(1, "early"));
    assert_eq!((early.status, early.json()["code"].as_str()), (503, Some("identity.provider_unavailable")));
    assert_eq!(early.header("retry-after"), Some("2"));
    let (provider, _) = provider(&[1]);
    gateway.write(&authenticated_route(origin.port(), &remote(provider.port())).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || bearer(&gateway, &token(1, "here")).status == 200));
    drop(provider);
    for n in 0..5 {
        assert_eq!(bearer(&gateway, &token(1, &n.to_string())).status, 200, "it is away");
    }
}

#[test]
fn a_reload_keeps_the_keys_of_an_unreachable_provider() {
    let (origin, (provider, _)) = (Origin::hello(), provider(&[1]));
    let scheme = remote(provider.port());
    let gateway = Gateway::with(&authenticated_route(origin.port(), &scheme));
    assert_eq!(bearer(&gateway, &token(1, "before")).status, 200);
    drop(provider);
    let other = over(scheme, &json!({ "Audience": ["api", "other"] }));
    let route = over(
        to(origin.port()),
        &json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] },
        "UpstreamPathTemplate": "/new/{everything}" }),
    );
    gateway.write(&json!({ "Routes": [route], "AuthenticationSchemes": { "S": other } }).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").status == 404));
    let answer = with(&gateway, "/new/x", "Authorization", &format!("Bearer {}", token(1, "after")));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn an_edited_file_of_keys_rotates_them() {
    let origin = Origin::hello();
    let hash = |key: &str| {
        let bytes: [u8; 32] = Sha256::digest(key).into();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (old, new) = (&*hash("old"), &*hash("new"));
    let file = |hashes: &[&str]| {
        let key = |hash: &&str| json!({ "Sha256": hash, "Owner": "anna" });
        json!({ "Keys": hashes.iter().map(key).collect::<Vec<_>>() }).to_string()
    };
    let scheme = json!({ "Type": "ApiKey", "KeysFile": "keys.json" });
    let setup = Setup::json(&authenticated_route(origin.port(), &scheme)).file("keys.json", &file(&[old]));
    let gateway = Gateway::start(&setup);
    let status = |key: &str| with(&gateway, "/", "X-Api-Key", key).status;
    assert_eq!(status("new"), 401);
    gateway.write_file("keys.json", &file(&[old, new]));
    assert!(becomes_true(WAIT_TIMEOUT, || status("new") == 200));
    gateway.write_file("keys.json", &file(&[new]));
    assert!(becomes_true(WAIT_TIMEOUT, || status("old") == 401));
    assert_eq!(status("new"), 200);
}

#[test]
fn slow_password_hashes_do_not_delay_other_requests() {
    let origin = Origin::hello();
    let users = format!("ann:{}\n", bcrypt::hash("secret", 12).expect("a hash"));
    let mut document = authenticated_route(origin.port(), &json!({ "Type": "Basic", "UsersFile": "users" }));
    let open =
        over(to(origin.port()), &json!({ "UpstreamPathTemplate": "/open", "DownstreamPathTemplate": "/" }));
    document["Routes"].as_array_mut().expect("routes").insert(0, open);
    let gateway = Gateway::start(&Setup::json(&document).threads(1).file("users", &users));
    std::thread::scope(|scope| {
        let wrong = scope.spawn(|| with(&gateway, "/", "Authorization", "Basic YW5uOndyb25n"));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(gateway.get("/open").status, 200);
        assert!(!wrong.is_finished(), "the only worker was busy with a password");
        let refused = wrong.join().expect("a response");
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (401, Some("identity.invalid_credentials"))
        );
    });
    assert_eq!(with(&gateway, "/", "Authorization", "Basic YW5uOnNlY3JldA==").status, 200);
}

#[test]
fn a_one_mebibyte_token_is_431_by_default_and_401_with_a_higher_limit() {
    let origin = Origin::hello();
    let huge = "x".repeat(1 << 20);
    let document = authenticated_route(
        origin.port(),
        &json!({ "Type": "JwtBearer", "SigningKey": SECRET, "Audience": "api" }),
    );
    let gateway = Gateway::with(&document);
    assert_eq!(bearer(&gateway, &huge).status, 431);
    let raised = json!({ "Limits": { "MaxRequestHeadersTotalSize": "2MiB" } });
    let gateway = Gateway::with(&over(document, &raised));
    let answer = bearer(&gateway, &huge);
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("\"code\":\"identity.malformed\""), "{}", answer.text());
    assert!(origin.seen().is_empty(), "nothing of it reached the service");
}
