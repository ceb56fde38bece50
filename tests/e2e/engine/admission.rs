//! Admission on sockets: rate limits, concurrency limits, CORS, request size and the IP filter.

use super::{document, gateway};
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::sync::Barrier;
use std::time::Duration;

fn limited(origin: &Origin, route: &Value) -> Gateway {
    Gateway::with(&document(origin.port(), route, &json!({})))
}

fn error_code(response: &Response) -> String {
    response.json()["code"].as_str().unwrap_or_default().to_owned()
}

fn by(client: &str) -> Request {
    Request::get("/").header("Oc-Client", client)
}

#[test]
fn a_rate_limit_is_exact_for_64_connections_on_two_workers() {
    let origin = Origin::hello();
    let limit = json!({ "RateLimitOptions": { "Limit": 500, "Period": "1h" } });
    let gateway = Gateway::start(&Setup::json(&document(origin.port(), &limit, &json!({}))).threads(2));
    let start = Barrier::new(64);
    let hammer = || {
        let mut client = gateway.connect();
        start.wait();
        (0..20).filter(|_| client.must(&by("one")).status == 200).count()
    };
    let admitted: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..64).map(|_| scope.spawn(hammer)).collect();
        all.into_iter().map(|client| client.join().expect("a client")).sum()
    });
    assert_eq!((admitted, origin.calls()), (500, 500));
    let metrics = gateway.admin("/metrics").text();
    assert!(
        metrics.contains("margay_stage_outcomes_total{outcome=\"rejected\",stage=\"rate-limit\"} 780"),
        "{metrics}"
    );
}

#[test]
fn rejections_carry_retry_after_and_responses_carry_the_remaining_quota() {
    let origin = Origin::hello();
    let gateway = limited(&origin, &json!({ "RateLimitOptions": { "Limit": 2, "Period": "1h" } }));
    let first = gateway.ask(&by("a"));
    assert_eq!(first.header("RateLimit-Policy"), Some("\"2/1h\";q=2;w=3600"));
    assert!(
        first.header("RateLimit").is_some_and(|left| left.starts_with("\"2/1h\";r=1;t=3600")),
        "{first:?}"
    );
    assert_eq!(
        (first.header("X-RateLimit-Limit"), first.header("X-RateLimit-Remaining")),
        (Some("2"), Some("1"))
    );
    gateway.ask(&by("a"));
    let refused = gateway.ask(&by("a"));
    assert_eq!((refused.status, error_code(&refused)), (429, "rate_limit.exceeded".to_owned()));
    let again: u64 = refused.header("Retry-After").and_then(|text| text.parse().ok()).expect("whole seconds");
    assert!((3590..=3600).contains(&again), "{again}");
    assert!(refused.header("X-RateLimit-Limit").is_none());
    let anonymous = gateway.get("/");
    assert_eq!((anonymous.status, error_code(&anonymous)), (503, "rate_limit.client_id_missing".to_owned()));
}

#[test]
fn a_token_bucket_refills_evenly() {
    let origin = Origin::hello();
    let bucket =
        json!({ "Limit": 4, "Period": "2s", "Algorithm": "TokenBucket", "Burst": 2, "PartitionBy": ["IP"] });
    let gateway = limited(&origin, &json!({ "RateLimitOptions": bucket }));
    let status = || gateway.get("/").status;
    assert_eq!([status(), status(), status()], [200, 200, 429]);
    std::thread::sleep(Duration::from_millis(550));
    assert_eq!([status(), status()], [200, 429]);
}

#[test]
fn a_request_must_pass_all_limits_and_a_rejected_one_is_not_counted_by_the_others() {
    let origin = Origin::hello();
    let limits = json!([
        { "Name": "day", "Limit": 5, "Period": "1d", "PartitionBy": ["IP"] },
        { "Name": "client", "Limit": 2, "Period": "1h", "PartitionBy": ["Header:X-Key"] },
    ]);
    let gateway = limited(&origin, &json!({ "RateLimitOptions": { "Limits": limits } }));
    let ask = |key: &str| gateway.ask(&Request::get("/").header("X-Key", key));
    assert_eq!(
        ask("a").header("X-RateLimit-Limit"),
        Some("2"),
        "the limit with the fewest remaining requests is reported"
    );
    ask("a");
    for _ in 0..5 {
        let refused = ask("a");
        assert_eq!(
            (refused.status, refused.header("RateLimit-Policy")),
            (429, Some("\"client\";q=2;w=3600"))
        );
    }
    assert_eq!([ask("b").status, ask("b").status, ask("c").status], [200; 3]);
    assert_eq!(ask("d").header("RateLimit-Policy"), Some("\"day\";q=5;w=86400"));
}

#[test]
fn rate_limit_counters_survive_a_reload() {
    let origin = Origin::hello();
    let with = |label: &str| {
        let route = json!({ "RateLimitOptions": { "Limit": 1, "Period": "1h" }, "Metadata": { "a": label } });
        document(origin.port(), &route, &json!({ "AccessLog": true }))
    };
    let gateway = Gateway::with(&with("one"));
    assert_eq!(gateway.ask(&by("a")).status, 200);
    gateway.write(&with("two").to_string());
    let reloaded =
        || gateway.admin("/metrics").text().contains("margay_config_reloads_total{outcome=\"applied\"} 1");
    assert!((0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        reloaded()
    }));
    assert_eq!(gateway.ask(&by("a")).status, 429);
}

fn slow(time: Duration) -> Origin {
    Origin::with(move |_| StubResponse::new(200, "slow").after(time))
}

#[test]
fn requests_above_the_concurrency_limit_are_queued_then_rejected() {
    let origin = slow(Duration::from_millis(600));
    let options = json!({ "Limit": 1, "QueueLimit": 1, "QueueTimeout": "10s" });
    let gateway = limited(&origin, &json!({ "ConcurrencyLimitOptions": options }));
    let start = Barrier::new(4);
    let mut answers: Vec<Response> = std::thread::scope(|scope| {
        let ask = || {
            let mut client = gateway.connect();
            start.wait();
            client.get("/")
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    answers.sort_by_key(|answer| answer.status);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert_eq!(error_code(&answers[3]), "limit.concurrency");
    assert_eq!(gateway.get("/").status, 200, "every place was given back");
}

#[test]
fn a_request_that_waits_too_long_in_the_queue_times_out() {
    let origin = slow(Duration::from_millis(900));
    let options = json!({ "Limit": 1, "QueueLimit": 5, "QueueTimeout": "100ms" });
    let gateway = limited(&origin, &json!({ "ConcurrencyLimitOptions": options }));
    let mut first = gateway.connect();
    first.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
    while origin.calls() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = gateway.get("/");
    assert_eq!((second.status, error_code(&second)), (503, "limit.queue_timeout".to_owned()));
    assert_eq!(first.answer("GET").map(|answer| answer.status), Ok(200));
}

#[test]
fn a_disconnected_client_releases_its_permit_or_its_place_in_the_queue() {
    let origin = slow(Duration::from_secs(20));
    let options = json!({ "Limit": 1, "QueueLimit": 1, "QueueTimeout": "20s" });
    let gateway = limited(&origin, &json!({ "ConcurrencyLimitOptions": options }));
    let ask = || {
        let mut client = gateway.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
        client
    };
    let until = |calls: usize| {
        let came = (0..400).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            origin.calls() >= calls
        });
        assert!(came, "the service was called {} times", origin.calls());
    };
    let served = ask();
    until(1);
    drop(served);
    let second = ask();
    until(2);
    let waiting = ask();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(gateway.get("/").status, 503, "the queue is full");
    drop(waiting);
    std::thread::sleep(Duration::from_millis(100));
    let third = ask();
    drop(second);
    until(3);
    drop(third);
}

const CORS: &str =
    r#"{ "AllowedOrigins": ["https://app.example"], "AllowCredentials": true, "MaxAge": "10m" }"#;

#[test]
fn a_preflight_is_routed_by_the_requested_method_without_a_call_or_a_limit() {
    let origin = Origin::hello();
    let cors: Value = serde_json::from_str(CORS).expect("JSON");
    let route = json!({ "UpstreamHttpMethod": ["PUT"], "CorsOptions": cors,
        "RateLimitOptions": { "Limit": 1, "Period": "1h", "PartitionBy": ["IP"] } });
    let gateway = limited(&origin, &route);
    let preflight = |method: &str| {
        let request = Request::new("OPTIONS", "/x").header("Origin", "https://app.example");
        gateway.ask(&request.header("Access-Control-Request-Method", method))
    };
    for _ in 0..3 {
        let answer = preflight("PUT");
        assert_eq!((answer.status, answer.header("Access-Control-Allow-Methods")), (204, Some("PUT")));
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://app.example"));
        assert_eq!(answer.header("Access-Control-Max-Age"), Some("600"));
    }
    assert_eq!((preflight("DELETE").status, origin.calls()), (404, 0));
    let put = || gateway.ask(&Request::new("PUT", "/x").header("Origin", "https://app.example"));
    assert_eq!(put().status, 200);
    let refused = put();
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.header("Access-Control-Allow-Origin"),
        Some("https://app.example"),
        "a page can read why"
    );
    assert_eq!(refused.header("Access-Control-Allow-Credentials"), Some("true"));
}

#[test]
fn a_preflight_for_a_route_without_cors_reaches_the_backend() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    let request = Request::new("OPTIONS", "/x").header("Origin", "https://app.example");
    assert_eq!(gateway.ask(&request.header("Access-Control-Request-Method", "PUT")).status, 200);
    assert_eq!(origin.last().method, "OPTIONS");
}

#[test]
fn a_preflight_from_a_forbidden_origin_is_rejected() {
    let origin = Origin::hello();
    let cors: Value = serde_json::from_str(CORS).expect("JSON");
    let gateway = limited(&origin, &json!({ "CorsOptions": cors }));
    let request = Request::new("OPTIONS", "/x").header("Origin", "https://evil.example");
    let refused = gateway.ask(&request.header("Access-Control-Request-Method", "GET"));
    assert_eq!(
        (refused.status, error_code(&refused), origin.calls()),
        (403, "cors.origin_denied".to_owned(), 0)
    );
}

#[test]
fn a_route_may_have_a_smaller_body_limit_than_the_gateway() {
    let origin = Origin::hello();
    let size = json!({ "MaxRequestBodySize": "1KiB", "MaxRequestHeaderCount": 5 });
    let gateway = limited(&origin, &json!({ "RequestSizeOptions": size }));
    let post = |n: usize| gateway.ask(&Request::new("POST", "/").body(vec![b'x'; n])).status;
    assert_eq!((post(1024), post(1025)), (200, 413));
    assert_eq!(origin.calls(), 1);
    let part = "x".repeat(600);
    let chunked = gateway.ask(&Request::new("POST", "/").chunks(&[&part, &part]));
    assert_eq!((chunked.status, error_code(&chunked)), (413, "request.body".to_owned()));
    let many = (0..6).fold(Request::get("/"), |r, i| r.header(&format!("X-{i}"), "1"));
    let refused = gateway.ask(&many);
    assert_eq!((refused.status, error_code(&refused)), (431, "request.headers".to_owned()));
}

#[test]
fn the_ip_filter_checks_the_client_address_behind_trusted_proxies() {
    let origin = Origin::hello();
    let lists = json!({ "SecurityOptions": { "IPBlockedList": ["192.168.1.0/24", "::ffff:10.0.0.1"] } });
    let trust = json!({ "ForwardedHeaders": { "TrustedProxies": ["127.0.0.1"] } });
    let gateway = Gateway::with(&document(origin.port(), &lists, &trust));
    let from = |address: &str| gateway.ask(&Request::get("/").header("X-Forwarded-For", address));
    assert_eq!([from("192.168.2.1").status, gateway.get("/").status], [200, 200]);
    for address in ["192.168.1.77", "10.0.0.1", "::ffff:192.168.1.3"] {
        let refused = from(address);
        assert_eq!((refused.status, error_code(&refused)), (403, "access.ip_denied".to_owned()), "{address}");
    }
}
