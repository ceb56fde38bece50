//! Tokens that an endpoint checks, and the refusals.

use super::*;
use crate::{
    base::secret::Secret,
    net::tls::client::ClientTls,
    stages::authentication::{
        credential_location::CredentialLocations,
        issuer::IssuerPattern,
        keys::{KeyData, KeySet},
        oauth::client::{ClientAuthentication, OauthClient},
        possession::settings::PossessionSettings,
        testing::{exchange, why},
        verification_pool::{PoolLimits, VerificationPool},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An endpoint that responds with this status and body, and counts its requests.
struct Endpoint {
    url: HttpUrl,
    calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn endpoint(status: u16, body: &str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/introspect", listener.local_addr().unwrap())).unwrap();
    let (calls, body) = (Arc::<AtomicUsize>::default(), body.to_owned());
    let counted = calls.clone();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..n]).into_owned();
            assert!(
                text.contains("Authorization: Basic Z3c6c2VjcmV0") && text.contains("token=opaque"),
                "{text}"
            );
            counted.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    Endpoint { url, calls, task }
}

fn scheme(url: &HttpUrl, clock: &Clock) -> Arc<Introspection> {
    let settings = IntrospectionSettings {
        locations: CredentialLocations { header: "Authorization".into(), ..CredentialLocations::default() },
        endpoint: IntrospectionEndpoint::Url(url.clone()),
        tls: ClientTls::default(),
        client: OauthClient {
            id: "gw".into(),
            authentication: ClientAuthentication::Basic(Secret::new("secret")),
        },
        timeout: Duration::from_millis(500),
        cache_ttl: Duration::from_secs(60),
        issuers: vec![IssuerPattern::exact("https://issuer")],
        audiences: vec!["api".into()],
        clock_skew: Duration::ZERO,
        response_keys: None,
        possession: PossessionSettings::default(),
    };
    let background = BackgroundRuntime::default();
    background.attach(tokio::runtime::Handle::current());
    let limits = PoolLimits { max_parallel: 1, max_queued: 9, max_queued_bytes: 1 << 20 };
    let pool = VerificationPool::new(limits, background.clone());
    let possession = Possession::new(PossessionSettings::default(), clock.clone(), pool);
    let runtime = (clock.clone(), background);
    Arc::new(Introspection::new("opaque", settings, Arc::new(possession), None, runtime))
}

async fn outcome(scheme: &Arc<Introspection>, clock: &Clock) -> &'static str {
    let mut request = exchange("/", &[("Authorization", "Bearer opaque")]);
    request.now = clock.now();
    match scheme.authenticate(&request, None) {
        AuthOutcome::Pending(wait) => wait.await.map_or_else(|cause| cause.code.name(), |_| "authenticated"),
        outcome => why(outcome),
    }
}

fn active(exp_in: i64) -> Value {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    json!({ "active": true, "sub": "ann", "iss": "https://issuer", "aud": ["api"], "exp": now + exp_in })
}

fn over(mut value: Value, name: &str, member: Value) -> String {
    value[name] = member;
    value.to_string()
}

#[tokio::test]
async fn a_result_is_used_until_the_token_expires() {
    let clock = Clock::mock();
    let endpoint = endpoint(200, &active(30).to_string()).await;
    let scheme = scheme(&endpoint.url, &clock);
    for _ in 0..3 {
        assert_eq!(outcome(&scheme, &clock).await, "authenticated");
    }
    assert_eq!(endpoint.calls.load(SeqCst), 1);
    clock.advance(Duration::from_secs(31));
    assert_eq!(outcome(&scheme, &clock).await, "identity.expired", "beyond `exp`, although it is active");
    assert_eq!(endpoint.calls.load(SeqCst), 2);
}

#[tokio::test]
async fn a_result_is_used_for_the_cache_ttl_at_most() {
    let clock = Clock::mock();
    let endpoint = endpoint(200, &active(3600).to_string()).await;
    let scheme = scheme(&endpoint.url, &clock);
    assert_eq!(outcome(&scheme, &clock).await, "authenticated");
    clock.advance(Duration::from_secs(61));
    assert_eq!(outcome(&scheme, &clock).await, "authenticated");
    assert_eq!(endpoint.calls.load(SeqCst), 2);
}

#[tokio::test]
async fn requests_with_one_token_wait_for_one_call() {
    let clock = Clock::default();
    let endpoint = endpoint(200, &active(60).to_string()).await;
    let scheme = scheme(&endpoint.url, &clock);
    let all = (0..20).map(|_| outcome(&scheme, &clock));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|outcome| *outcome == "authenticated"), "{all:?}");
    assert_eq!(endpoint.calls.load(SeqCst), 1);
}

#[tokio::test]
async fn every_unusable_response_is_refused() {
    let clock = Clock::default();
    let cases = [
        ("not active", 200, r#"{ "active": false }"#.to_owned(), "identity.inactive"),
        ("active as text", 200, over(active(60), "active", json!("true")), "identity.inactive"),
        ("no member active", 200, "{}".to_owned(), "identity.inactive"),
        ("expired", 200, active(-1).to_string(), "identity.expired"),
        ("expiry as text", 200, over(active(60), "exp", json!("soon")), "identity.malformed"),
        ("not valid yet", 200, over(active(60), "nbf", json!(4_000_000_000u64)), "identity.not_yet_valid"),
        ("another issuer", 200, over(active(60), "iss", json!("https://other")), "identity.issuer"),
        ("no issuer", 200, over(active(60), "iss", Value::Null), "identity.issuer"),
        ("another audience", 200, over(active(60), "aud", json!("other")), "identity.audience"),
        ("no audience", 200, over(active(60), "aud", Value::Null), "identity.audience"),
        (
            "duplicate members",
            200,
            r#"{ "active": false, "active": true }"#.to_owned(),
            "identity.provider_unavailable",
        ),
        ("not JSON", 200, "<html>".to_owned(), "identity.provider_unavailable"),
        ("a list", 200, "[]".to_owned(), "identity.provider_unavailable"),
        ("wrong client secret", 401, "{}".to_owned(), "identity.provider_unavailable"),
        ("an error", 500, active(60).to_string(), "identity.provider_unavailable"),
        ("a redirect", 302, active(60).to_string(), "identity.provider_unavailable"),
        (
            "too large",
            200,
            format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(300 << 10)),
            "identity.provider_unavailable",
        ),
    ];
    for (name, status, body, expected) in cases {
        let endpoint = endpoint(status, &body).await;
        let scheme = scheme(&endpoint.url, &clock);
        assert_eq!(outcome(&scheme, &clock).await, expected, "{name}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_hangs_is_a_503() {
    let clock = Clock::default();
    let away = HttpUrl::parse("http://127.0.0.1:9/").unwrap();
    assert_eq!(outcome(&scheme(&away, &clock), &clock).await, "identity.provider_unavailable");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    assert_eq!(outcome(&scheme(&silent, &clock), &clock).await, "identity.provider_unavailable");
}

#[tokio::test]
async fn a_dry_run_does_not_call_the_endpoint() {
    let clock = Clock::default();
    let endpoint = endpoint(200, &active(60).to_string()).await;
    let scheme = scheme(&endpoint.url, &clock);
    let mut request = exchange("/", &[("Authorization", "Bearer opaque")]);
    request.is_dry_run = true;
    assert_eq!(why(scheme.authenticate(&request, None)), "identity.provider_unavailable");
    assert_eq!(endpoint.calls.load(SeqCst), 0);
    assert_eq!(why(scheme.authenticate(&exchange("/", &[]), None)), "no_credentials");
}

fn private() -> EncodingKey {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([7; 32]);
    EncodingKey::from_ed_der(&der)
}

#[test]
fn a_signed_response_is_for_this_client_and_of_this_issuer() {
    let set = json!({ "keys": [Jwk::from_encoding_key(&private(), Algorithm::EdDSA).unwrap()] });
    let (keys, _) = KeyData::set(set.to_string().as_bytes(), false).unwrap();
    let set = KeySet::new(&keys, Some("https://issuer".to_owned()), 1);
    let read = |header: &Value, claims: &Value| {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &private(), Algorithm::EdDSA).unwrap();
        response::signed(format!("{message}.{signature}").as_bytes(), &set, "gw")
    };
    let header = json!({ "typ": "token-introspection+jwt", "alg": "EdDSA" });
    let claims = json!({ "iss": "https://issuer", "aud": "gw", "token_introspection": { "active": true } });
    assert_eq!(read(&header, &claims).unwrap().get("active"), Some(&json!(true)));
    let change = |value: &Value, name: &str, member: Value| {
        let mut value = value.clone();
        value[name] = member;
        value
    };
    for (header, claims) in [
        (change(&header, "typ", json!("JWT")), claims.clone()),
        (change(&header, "alg", json!("ES256")), claims.clone()),
        (change(&header, "jwk", json!({})), claims.clone()),
        (change(&header, "crit", json!(["a"])), claims.clone()),
        (change(&header, "kid", json!("other")), change(&claims, "aud", json!("other"))),
        (header.clone(), change(&claims, "iss", json!("https://other"))),
        (header.clone(), change(&claims, "aud", json!(["other"]))),
        (header.clone(), change(&claims, "token_introspection", json!("active"))),
    ] {
        assert!(read(&header, &claims).is_err(), "{header} {claims}");
    }
    assert!(response::signed(b"{\"active\":true}", &set, "gw").is_err(), "an unsigned response");
}
