//! An authorizer over HTTP: what it gets, what it changes, and what happens when it is away.

use super::{testing::settings, *};
use crate::stages::authentication::testing::exchange;
use settings::DecisionCacheSettings;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An authorizer that responds with these bytes to every request, and what it received last.
struct Authorizer {
    url: String,
    calls: Arc<AtomicUsize>,
    received: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Authorizer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn authorizer(response: &'static str) -> Authorizer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/auth", listener.local_addr().unwrap());
    let (calls, received) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<String>>::default());
    let (counted, seen) = (calls.clone(), received.clone());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let n = stream.read(&mut request).await.unwrap_or(0);
            *seen.lock().unwrap() = String::from_utf8_lossy(&request[..n]).into_owned();
            counted.fetch_add(1, SeqCst);
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    Authorizer { url, calls, received, task }
}

fn external(url: &str, change: impl FnOnce(&mut ExternalSettings)) -> Arc<External> {
    let mut settings = settings(url);
    change(&mut settings);
    Arc::new(External::new("policy", settings, &BackgroundRuntime::default()))
}

/// The error of a request, if it is denied.
async fn check(external: &Arc<External>, exchange: &mut Exchange) -> Option<GatewayError> {
    let mut step = external.check(exchange);
    loop {
        step = match step {
            Step::Next => return None,
            Step::Suspend(wait) => wait.await,
            Step::ResumeAt(resume) => resume(exchange),
            Step::Fail(cause) => return Some(cause),
            Step::Respond(_) | Step::ReadBody(_) | Step::InspectBody(_) => panic!("unexpected step"),
        };
    }
}

#[tokio::test]
async fn an_allowing_response_sets_fields_and_claims() {
    let authorizer = authorizer(
        "HTTP/1.1 204 No Content\r\nX-User: ann\r\nX-Seen: 1\r\nX-Other: 2\r\nConnection: close\r\n\r\n",
    )
    .await;
    let external = external(&authorizer.url, |_| {});
    let fields = [("Cookie", "a=b"), ("X-User", "root"), ("Content-Length", "5"), ("If-None-Match", "x")];
    let mut exchange = exchange("/orders?page=2", &fields);
    exchange.request.append(b"Host", b"shop.example");
    assert!(check(&external, &mut exchange).await.is_none());
    assert_eq!(exchange.request.get_all(b"x-user").collect::<Vec<_>>(), [b"ann"]);
    assert_eq!(exchange.response.fields, [("x-seen".into(), b"1".to_vec())]);
    assert_eq!(exchange.client.user.unwrap().claim_value("sub"), Some("ann"));
    let received = authorizer.received.lock().unwrap().clone();
    for line in [
        "GET /auth HTTP/1.1\r\n",
        "X-Original-URI: /orders?page=2\r\n",
        "X-Forwarded-Host: shop.example\r\n",
        "X-Forwarded-Method: GET\r\n",
        "cookie: a=b\r\n",
    ] {
        assert!(received.contains(line), "{line} in {received}");
    }
    assert!(!received.contains("content-length") && !received.contains("if-none-match"), "{received}");
}

#[tokio::test]
async fn every_other_response_goes_to_the_client() {
    for (response, status) in [
        ("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", 401),
        ("HTTP/1.1 302 Found\r\nLocation: https://id.example/\r\nContent-Length: 0\r\n\r\n", 302),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403),
        ("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", 500),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 304),
    ] {
        let authorizer = authorizer(response).await;
        let cause = check(&external(&authorizer.url, |_| {}), &mut exchange("/", &[])).await.unwrap();
        assert_eq!((cause.code, cause.status(false)), (ErrorCode::AccessExternal, status));
    }
}

#[tokio::test]
async fn without_a_response_on_failure_decides() {
    for response in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"] {
        let authorizer = authorizer(response).await;
        let deny = external(&authorizer.url, |_| {});
        let cause = check(&deny, &mut exchange("/", &[])).await.unwrap();
        assert_eq!(cause.code, ErrorCode::AccessAuthorizerUnavailable, "{response}");
        let allow = external(&authorizer.url, |settings| settings.allow_on_failure = true);
        let mut forged = exchange("/", &[("X-User", "root")]);
        assert!(check(&allow, &mut forged).await.is_none());
        assert_eq!(forged.request.get(b"x-user"), None, "only the authorizer may set it");
    }
}

#[tokio::test]
async fn a_hanging_authorizer_is_not_waited_for_longer_than_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let external = external(&url, |settings| settings.timeout = Duration::from_millis(50));
    let cause = check(&external, &mut exchange("/", &[])).await.unwrap();
    assert_eq!(cause.code, ErrorCode::AccessAuthorizerUnavailable);
}

#[tokio::test]
async fn decisions_are_stored_by_method_url_and_the_named_fields() {
    let authorizer = authorizer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    let cache = DecisionCacheSettings { headers: vec!["Authorization".into()], ttl: Duration::from_secs(60) };
    let external = external(&authorizer.url, |settings| settings.cache = Some(cache));
    let requests: [(&str, &str, usize); 6] =
        [("/a", "1", 1), ("/a", "1", 1), ("/b", "1", 2), ("/a", "2", 3), ("/a?x", "1", 4), ("/a", "1", 4)];
    for (target, authorization, calls) in requests {
        let mut exchange = exchange(target, &[("Authorization", authorization)]);
        assert!(check(&external, &mut exchange).await.is_none());
        assert_eq!(authorizer.calls.load(SeqCst), calls, "{target} {authorization}");
    }
}

#[tokio::test]
async fn a_decision_with_no_store_or_a_cookie_is_not_stored() {
    for response in [
        "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n",
    ] {
        let authorizer = authorizer(response).await;
        let cache = DecisionCacheSettings { headers: vec!["Cookie".into()], ttl: Duration::from_secs(60) };
        let external = external(&authorizer.url, |settings| settings.cache = Some(cache));
        for _ in 0..2 {
            assert!(check(&external, &mut exchange("/", &[])).await.is_none());
        }
        assert_eq!(authorizer.calls.load(SeqCst), 2);
    }
}

#[test]
fn a_dry_run_calls_nothing() {
    let external = external("http://127.0.0.1:9/", |_| {});
    let mut exchange = exchange("/", &[]);
    exchange.is_dry_run = true;
    assert!(matches!(external.check(&mut exchange), Step::Next));
    assert_eq!(external.describe(), "policy at http://127.0.0.1:9/");
}
