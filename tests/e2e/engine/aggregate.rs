//! Aggregates: several backends requested concurrently, one response.

use super::over;
use crate::support::becomes_true;
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use crate::support::websocket::opening;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A document with one route per backend, with the keys `a`, `b`, `c` ..., and one aggregate of all at `/all/{id}`.
fn document(services: &[&Origin], aggregate: &Value) -> Value {
    let keys: Vec<String> = ('a'..).take(services.len()).map(String::from).collect();
    let routes: Vec<Value> =
        keys.iter().zip(services).map(|(key, origin)| route(key, origin.port())).collect();
    let whole = json!({ "UpstreamPathTemplate": "/all/{id}", "RouteKeys": keys });
    json!({ "Routes": routes, "Aggregates": [over(whole, aggregate)] })
}

fn route(key: &str, port: u16) -> Value {
    json!({
        "Key": key, "UpstreamPathTemplate": format!("/{key}/{{id}}"), "DownstreamPathTemplate": format!("/{key}/{{id}}"),
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": port }],
    })
}

fn serving(services: &[&Origin], aggregate: &Value) -> Gateway {
    Gateway::with(&document(services, aggregate))
}

/// A backend that responds with the requested path.
fn echo() -> Origin {
    Origin::with(|seen| StubResponse::new(200, format!("\"{}\"", seen.raw_path())))
}

fn says(body: &'static str) -> Origin {
    Origin::with(move |_| StubResponse::new(200, body))
}

fn failing(status: u16) -> Origin {
    Origin::with(move |_| StubResponse::new(status, "{}").header("Retry-After", "7"))
}

/// The value of the metric line that begins like this.
fn metric(gateway: &Gateway, line: &str) -> String {
    let text = gateway.admin("/metrics").text();
    let found = text.lines().find(|l| l.starts_with(line));
    found.and_then(|l| l.rsplit(' ').next()).unwrap_or("none").to_owned()
}

fn status_and_code(response: &Response) -> (u16, String) {
    (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn all_parts_are_requested_concurrently() {
    let all = Arc::new(Barrier::new(3));
    let patient = |name: &'static str| {
        let all = Arc::clone(&all);
        Origin::with(move |_| {
            all.wait();
            StubResponse::new(200, format!("\"{name}\""))
        })
    };
    let (a, b, c) = (patient("one"), patient("two"), patient("three"));
    let gateway = serving(&[&a, &b, &c], &json!({}));
    let answer = gateway.get("/all/7");
    assert_eq!(answer.text(), r#"{"a":"one","b":"two","c":"three"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn parts_get_the_placeholders_and_body_of_the_aggregate_and_their_own_transforms() {
    let (a, b) = (echo(), echo());
    let mut document =
        document(&[&a, &b], &json!({ "UpstreamHttpMethod": ["POST"], "MaxRequestBodySize": 4 }));
    document["Routes"][1]["UpstreamPathTemplate"] = json!("/other");
    document["Routes"][1]["UpstreamHeaderTransform"] = json!({ "X-Id": "no {id}" });
    let gateway = Gateway::with(&document);
    let request = Request::new("POST", "/all/a%20b?x=1")
        .header("Accept", "application/*")
        .header("If-None-Match", "\"1\"");
    let answer = gateway.ask(&request.body("body"));
    assert_eq!(answer.text(), r#"{"a":"/a/a%20b","b":"/b/a%20b"}"#);
    for seen in [a.last(), b.last()] {
        assert_eq!(
            (seen.method.as_str(), seen.query.trim_start_matches('?'), &seen.body[..]),
            ("POST", "x=1", &b"body"[..])
        );
        assert_eq!(seen.head.all("accept"), ["application/json"]);
        assert_eq!(seen.head.all("accept-encoding"), ["identity"]);
        assert!(!seen.head.has("if-none-match"));
        assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
    }
    assert_eq!((a.last().header("x-id"), b.last().header("x-id")), (None, Some("no a%20b")));
    assert_eq!(a.last().header("traceparent").unwrap()[..36], b.last().header("traceparent").unwrap()[..36]);
    assert_eq!(gateway.ask(&Request::new("POST", "/all/1").chunks(&["bo", "dy"])).status, 200);
    assert_eq!((a.last().body, b.last().body), (b"body".to_vec(), b"body".to_vec()));
    assert_eq!(
        status_and_code(&gateway.ask(&Request::new("POST", "/all/1").body("longer"))),
        (413, "request.body".into())
    );
    assert_eq!(
        status_and_code(&gateway.ask(&Request::new("POST", "/all/1").chunks(&["lon", "ger"]))),
        (413, "request.body".into())
    );
    gateway.ask(&Request::new("POST", "/other").body(""));
    assert_eq!(b.last().header("x-id"), None);
}

#[test]
fn a_failed_optional_part_is_null_and_listed_in_a_header() {
    let (a, b) = (says("1"), failing(500));
    let calls = json!([{ "RouteKey": "b", "Optional": true }]);
    let gateway = serving(&[&a, &b], &json!({ "RouteKeysConfig": calls }));
    let answer = gateway.get("/all/7");
    assert_eq!((answer.status, answer.text()), (200, r#"{"a":1,"b":null}"#.to_owned()));
    assert_eq!(answer.header("x-partial"), Some("b"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let counted = |class: &str, route: &str| {
        let line = format!("margay_requests_total{{status_class=\"{class}\",route=\"{route}\"}}");
        becomes_true(Duration::from_secs(5), || metric(&gateway, &line) == "1")
    };
    assert!(counted("2xx", "a") && counted("5xx", "b") && counted("2xx", "/all/{id}"));
    let whole = serving(&[&a, &says("2")], &json!({ "RouteKeysConfig": calls })).get("/all/7");
    assert_eq!((whole.text(), whole.head.has("x-partial")), (r#"{"a":1,"b":2}"#.to_owned(), false));
}

#[test]
fn a_failed_part_fails_the_response_and_client_errors_stay_client_errors() {
    let one = says("1");
    let ask = |b: &Origin| serving(&[&one, b], &json!({})).get("/all/7");
    assert_eq!(status_and_code(&ask(&failing(500))), (502, "aggregate.part".into()));
    let missing = ask(&failing(404));
    assert_eq!(
        (status_and_code(&missing), missing.header("retry-after")),
        ((404, "aggregate.part".into()), Some("7"))
    );
    assert!(missing.json()["detail"].as_str().unwrap().contains("\"b\" responded with status 404"));
    assert_eq!(status_and_code(&ask(&says("no json"))), (502, "aggregate.part".into()));
    assert_eq!(status_and_code(&ask(&says("1, \"c\": 2"))), (502, "aggregate.part".into()));
    let coded = Origin::with(|_| StubResponse::new(200, "1").header("Content-Encoding", "gzip"));
    assert_eq!(status_and_code(&ask(&coded)), (502, "aggregate.part".into()));
    let nothing = ask(&Origin::with(|_| StubResponse::new(204, "")));
    assert_eq!((nothing.status, nothing.text()), (200, r#"{"a":1,"b":null}"#.to_owned()));
    let mut closed = document(&[&one, &one], &json!({}));
    closed["Routes"][1]["DownstreamHostAndPorts"][0]["Port"] = json!(9);
    let refused = Gateway::with(&closed).get("/all/7");
    assert_eq!(status_and_code(&refused), (502, "backend.connect".into()));
    assert!(refused.json()["detail"].as_str().unwrap().starts_with("the part \"b\": "));
}

#[test]
fn parts_and_aggregates_have_timeouts_and_size_limits() {
    let (fast, slow) =
        (says("1"), Origin::with(|_| StubResponse::new(200, "2").after(Duration::from_secs(20))));
    let began = Instant::now();
    let calls = json!([{ "RouteKey": "b", "Optional": true, "Timeout": "100ms" }]);
    let partial = serving(&[&fast, &slow], &json!({ "RouteKeysConfig": calls })).get("/all/7");
    assert_eq!((partial.text(), partial.header("x-partial")), (r#"{"a":1,"b":null}"#.to_owned(), Some("b")));
    let late = serving(&[&fast, &slow], &json!({ "Timeout": "100ms" })).get("/all/7");
    assert_eq!(status_and_code(&late), (504, "backend.timeout".into()));
    assert!(began.elapsed() < Duration::from_secs(15));
    let long = Origin::with(|_| StubResponse::new(200, format!("\"{}\"", "x".repeat(100))).chunked(&[]));
    let limited = |limits: Value| serving(&[&fast, &long], &limits).get("/all/7");
    assert_eq!(limited(json!({ "MaxPartSize": 102, "MaxSize": 115 })).status, 200);
    assert_eq!(status_and_code(&limited(json!({ "MaxPartSize": 101 }))), (502, "aggregate.part".into()));
    assert_eq!(status_and_code(&limited(json!({ "MaxSize": 80 }))), (502, "aggregate.size".into()));
    let own = json!([{ "RouteKey": "b", "MaxSize": 50 }]);
    assert_eq!(status_and_code(&limited(json!({ "RouteKeysConfig": own }))), (502, "aggregate.part".into()));
}

/// The number of active calls and its maximum.
#[derive(Default)]
struct ConcurrencyGauge(Mutex<(usize, usize)>, Condvar);

impl ConcurrencyGauge {
    /// Responds once this many calls are active.
    fn together(&self, wanted: usize, seen: &Seen) -> StubResponse {
        let mut now = self.0.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        self.1.notify_all();
        let (mut now, _) =
            self.1.wait_timeout_while(now, Duration::from_secs(5), |now| now.1 < wanted).unwrap();
        now.0 -= 1;
        StubResponse::new(200, format!("\"{}\"", seen.raw_path()))
    }
}

#[test]
fn a_list_of_values_makes_one_call_each_with_limited_concurrency() {
    let main = says(
        r#"{"items": [{"id": 3}, {"id": "x/y"}, {"id": 3}, {"id": null}, {"id": 5}, {"id": 6}, {"id": 7}]}"#,
    );
    let crowd = Arc::new(ConcurrencyGauge::default());
    let theirs = Arc::clone(&crowd);
    let each = Origin::with(move |seen| theirs.together(3, seen));
    let call =
        json!({ "RouteKey": "b", "JsonPath": "$.items[*].id", "Parameter": "item", "MaxConcurrency": 3 });
    let serving = |call: &Value| {
        let mut document = document(&[&main, &each], &json!({ "RouteKeysConfig": [call] }));
        document["Routes"][1]["DownstreamPathTemplate"] = json!("/b/{id}/{item}");
        Gateway::with(&document)
    };
    let gateway = serving(&call);
    let answer = gateway.get("/all/7");
    let b = answer.json()["b"].clone();
    assert_eq!(b, json!(["/b/7/3", "/b/7/x%2Fy", "/b/7/5", "/b/7/6", "/b/7/7"]));
    assert_eq!(crowd.0.lock().unwrap().1, 3);
    assert_eq!(metric(&gateway, "margay_requests_total{status_class=\"2xx\",route=\"b\"}"), "5");
    let few = serving(&over(call, &json!({ "MaxCalls": 4 }))).get("/all/7");
    assert_eq!(status_and_code(&few), (502, "aggregate.part".into()));
}

#[test]
fn a_path_to_one_value_gives_one_body_and_a_path_to_several_gives_a_list() {
    let each = echo();
    let ask = |main: &'static str, path: &str| {
        let call = json!({ "RouteKey": "b", "JsonPath": path, "Parameter": "item" });
        let main = says(main);
        let mut document = document(&[&main, &each], &json!({ "RouteKeysConfig": [call] }));
        document["Routes"][1]["DownstreamPathTemplate"] = json!("/{item}");
        Gateway::with(&document).get("/all/7").json()["b"].clone()
    };
    assert_eq!(ask(r#"{"id": 1}"#, "$.id"), json!("/1"));
    assert_eq!(ask(r#"{"id": null}"#, "$.id"), json!(null));
    assert_eq!(ask(r#"[{"id": 1}]"#, "$[*].id"), json!(["/1"]));
    assert_eq!(ask("[]", "$[*].id"), json!([]));
}

#[test]
fn parts_that_depend_on_a_failed_optional_part_are_missing() {
    let (main, each) = (failing(503), echo());
    let calls = |optional: bool| {
        json!({ "RouteKeysConfig": [
            { "RouteKey": "a", "Optional": true },
            { "RouteKey": "b", "JsonPath": "$[*].id", "Parameter": "item", "Optional": optional },
        ] })
    };
    let partial = serving(&[&main, &each], &calls(true)).get("/all/7");
    assert_eq!(
        (partial.text(), partial.header("x-partial")),
        (r#"{"a":null,"b":null}"#.to_owned(), Some("a, b"))
    );
    assert_eq!(
        status_and_code(&serving(&[&main, &each], &calls(false)).get("/all/7")),
        (502, "aggregate.part".into())
    );
    assert_eq!(each.calls(), 0);
}

#[test]
fn templates_produce_the_media_type_the_client_accepts() {
    let (user, orders) = (says(r#"{"name": "Ann <3", "tags": []}"#), says("[1, 2]"));
    let aggregate = json!({
        "Aggregator": r#"{"id": {{ values.id }}, "name": {{ parts.a.name }}, "orders": {{ parts.b | length }}}"#,
        "Formats": { "text/html; charset=utf-8": "<h1>{{ parts.a.name }}</h1>", "text/csv": "{{ parts.b | join(';') }}" },
    });
    let gateway = serving(&[&user, &orders], &aggregate);
    let ask = |accept: &str| gateway.ask(&Request::get("/all/a%20b").header("Accept", accept));
    let json = gateway.get("/all/a%20b");
    assert_eq!(json.text(), r#"{"id": "a b", "name": "Ann <3", "orders": 2}"#);
    assert_eq!(
        (json.header("content-type"), json.header("vary")),
        (Some("application/json"), Some("Accept"))
    );
    let html = ask("text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(html.text(), "<h1>Ann &lt;3</h1>");
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(ask("text/csv, application/json;q=0.1").text(), "1;2");
    assert_eq!(status_and_code(&ask("image/png")), (406, "request.not_acceptable".into()));
    assert_eq!(user.calls(), 3, "no part is requested for a response that cannot be composed");
}

#[test]
fn a_client_disconnect_cancels_all_parts() {
    let requested = Arc::new(AtomicUsize::new(0));
    let slow = || {
        let requested = Arc::clone(&requested);
        Origin::with(move |_| {
            requested.fetch_add(1, Ordering::SeqCst);
            StubResponse::new(200, "1").after(Duration::from_secs(20))
        })
    };
    let (a, b) = (slow(), slow());
    let limit = json!({ "Limit": 1 });
    let mut document = document(&[&a, &b], &json!({}));
    document["Routes"][1]["ConcurrencyLimitOptions"] = limit;
    let gateway = Gateway::start(&Setup::json(&over(document, &json!({ "AccessLog": true }))));
    let mut client = gateway.connect();
    client.send(Request::get("/all/7").bytes("gw.test"));
    assert!(becomes_true(Duration::from_secs(5), || requested.load(Ordering::SeqCst) == 2));
    drop(client);
    let idle =
        |route: &str| metric(&gateway, &format!("margay_requests_in_flight{{route=\"{route}\"}}")) == "0";
    assert!(becomes_true(Duration::from_secs(5), || ["a", "b", "/all/{id}"].into_iter().all(idle)));
    let counted = |route: &str| {
        metric(&gateway, &format!("margay_requests_total{{status_class=\"4xx\",route=\"{route}\"}}"))
    };
    assert_eq!(["a", "b", "/all/{id}"].map(counted), ["1", "1", "1"]);
    let mut again = gateway.connect();
    again.send(Request::get("/b/1").bytes("gw.test"));
    assert!(
        becomes_true(Duration::from_secs(5), || requested.load(Ordering::SeqCst) == 3),
        "the place was given back"
    );
    let logged =
        || gateway.access_log().into_iter().filter(|line| line["path"] == "/all/7").collect::<Vec<_>>();
    assert!(becomes_true(Duration::from_secs(5), || !logged().is_empty()));
    assert_eq!(logged().iter().map(|line| &line["status"]).collect::<Vec<_>>(), [499]);
}

#[test]
fn an_aggregate_authenticates_in_addition_to_its_routes() {
    let (a, b) = (says("1"), says("2"));
    let cors = json!({ "AllowedOrigins": ["https://app.example"] });
    let options = json!({
        "CorsOptions": cors, "RateLimitOptions": { "Limit": 1, "Period": "1h", "PartitionBy": ["IP"] },
        "DownstreamHeaderTransform": { "X-From": "the aggregate of {id}" }, "Key": "home",
    });
    let gateway = serving(&[&a, &b], &options);
    let first = gateway.ask(&Request::get("/all/7").header("Origin", "https://app.example"));
    assert_eq!((first.status, first.header("x-from")), (200, Some("the aggregate of 7")));
    assert_eq!(first.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(status_and_code(&gateway.get("/all/7")), (429, "rate_limit.exceeded".into()));
    assert_eq!((gateway.get("/a/1").status, a.calls(), b.calls()), (200, 2, 1));
    let preflight = Request::new("OPTIONS", "/all/7").header("Origin", "https://app.example");
    let preflight = gateway.ask(&preflight.header("Access-Control-Request-Method", "GET"));
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example"));
}

#[test]
fn a_websocket_is_rejected_before_any_part_is_requested() {
    let (a, b) = (echo(), echo());
    let gateway = serving(&[&a, &b], &json!({}));
    let refused = gateway.ask(&opening("/all/1"));
    assert_eq!(status_and_code(&refused), (501, "request.upgrade".into()));
    assert_eq!((a.calls(), b.calls()), (0, 0));
    assert_eq!(gateway.get("/all/1").status, 200);
}

#[test]
fn trailers_of_a_buffered_request_go_to_every_part() {
    let (a, b) = (echo(), echo());
    let mut document = document(&[&a, &b], &json!({ "UpstreamHttpMethod": ["POST"] }));
    document["Routes"][1]["CacheOptions"] = json!({ "TtlSeconds": 30, "EnableContentHashing": true });
    let gateway = Gateway::with(&document);
    let template = Request::new("POST", "/all/1")
        .header("TE", "trailers")
        .header("Trailer", "X-Sum")
        .chunks(&["he", "llo"])
        .trailer("X-Sum", "42");
    for target in ["/all/1", "/b/1"] {
        let template = Request { target: target.into(), ..template.clone() };
        assert_eq!(gateway.ask(&template).status, 200, "{target}");
    }
    for seen in [a.last(), b.last()] {
        assert_eq!(
            (seen.body.as_slice(), seen.trailers),
            (&b"hello"[..], vec![("X-Sum".to_owned(), "42".to_owned())])
        );
    }
    assert_eq!((a.calls(), b.calls()), (1, 2));
}

#[test]
fn an_early_response_still_gets_the_rest_of_a_buffered_body() {
    const LENGTH: usize = 8 << 20;
    // Sends the response head, reads the body, and then reports its length.
    let early = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
            let mut came = 0;
            let _ = wire.exactly(LENGTH as u64, &mut |part| came += part.len());
            wire.send(format!("{came:07}").as_bytes());
        }
    });
    let hashed = over(
        route("a", early.port()),
        &json!({ "CacheOptions": { "TtlSeconds": 30, "EnableContentHashing": true } }),
    );
    let again = over(
        hashed.clone(),
        &json!({ "Key": "c", "UpstreamPathTemplate": "/c/{id}",
        "RetryOptions": { "Attempts": 2, "Methods": ["POST"], "MaxReplaySize": "16MiB" } }),
    );
    let gateway = Gateway::with(&json!({
        "Routes": [hashed, route("b", early.port()), again],
        "Aggregates": [{ "UpstreamPathTemplate": "/all/{id}", "UpstreamHttpMethod": ["POST"], "RouteKeys": ["a", "b"],
            "MaxRequestBodySize": "16MiB" }],
    }));
    let came = format!("{LENGTH:07}");
    let upload = |target: &str| Request::new("POST", target).body(vec![b'x'; LENGTH]);
    assert_eq!(gateway.ask(&upload("/a/1")).text(), came);
    assert_eq!(gateway.ask(&upload("/c/1")).text(), came);
    assert_eq!(gateway.ask(&upload("/all/2")).text(), format!(r#"{{"a":{came},"b":{came}}}"#));
}
