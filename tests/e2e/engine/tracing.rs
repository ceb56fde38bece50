//! Traces, metrics and access records over OTLP, received by a stub of the collector.

use super::{document, over, to};
use crate::support::client::Request;
use crate::support::collector::{Collector, text};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::ports::Closed;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::Authority;
use crate::support::{becomes_true, until};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(10);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(collector: &Collector, protocol: &str, tracing: &Value) -> Value {
    json!({
        "AccessLog": true,
        "Tracing": tracing,
        "Otlp": { "Endpoint": collector.endpoint, "Protocol": protocol, "Headers": { "X-Token": "secret" },
            "ResourceAttributes": { "deployment.environment.name": "test" } },
    })
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<Span> {
    spans.iter().filter(|span| span.kind == kind as i32).cloned().collect()
}

/// Waits for this number of server spans.
fn server_spans(collector: &Collector, count: usize) -> Vec<Span> {
    let enough = || {
        let spans = of_kind(&collector.received.spans(), SpanKind::Server);
        (spans.len() >= count).then_some(spans)
    };
    until(WAIT, enough).unwrap_or_else(|| panic!("{:?}", collector.received.spans()))
}

/// Each server span is an access record: ids, status, route.
fn assert_matches_records(gateway: &Gateway, spans: &[Span]) {
    let records = gateway.access_log();
    assert_eq!(records.len(), spans.len());
    for span in spans {
        let is_same = |record: &&Value| {
            record["trace_id"] == json!(hex(&span.trace_id)) && record["span_id"] == json!(hex(&span.span_id))
        };
        let matching: Vec<_> = records.iter().filter(is_same).collect();
        assert_eq!(matching.len(), 1, "{span:?} in {records:?}");
        let record = matching[0];
        let of = |key: &str| text(&span.attributes, key);
        assert_eq!(of("http.response.status_code"), Some(record["status"].to_string()));
        assert_eq!(of("margay.route").unwrap_or_default(), record["route"].as_str().unwrap());
        assert_eq!(of("url.path").as_deref(), record["path"].as_str());
        assert_eq!(of("http.request.method").as_deref(), record["method"].as_str());
    }
}

fn spans_match_access_records(collector: &Collector, protocol: &str) {
    let origin = Origin::with(|seen: &Seen| match seen.path.as_str() {
        "/fails" => StubResponse::new(500, "no"),
        _ => StubResponse::new(200, &seen.path),
    });
    let routes =
        json!({ "Key": "shop", "UpstreamPathTemplate": "/shop/{path}", "DownstreamPathTemplate": "/{path}" });
    let document = document(origin.port(), &routes, &traced(collector, protocol, &json!({})));
    let gateway = Gateway::with(&document);
    for target in ["/shop/a", "/shop/b?secret=1", "/shop/fails", "/nowhere"] {
        gateway.get(target);
    }
    let spans = server_spans(collector, 4);
    assert_matches_records(&gateway, &spans);
    let shop =
        spans.iter().find(|span| text(&span.attributes, "url.path").as_deref() == Some("/shop/a")).unwrap();
    assert_eq!(shop.name, "GET /shop/{path}");
    assert_eq!(text(&shop.attributes, "http.route").as_deref(), Some("/shop/{path}"));
    assert!(spans.iter().all(|span| !format!("{span:?}").contains("secret=1")), "no query");
    let failed = spans.iter().filter(|span| span.status.as_ref().is_some_and(|status| status.code == 2));
    assert_eq!(failed.count(), 1, "a 404 is no failure of the server");
    assert_eq!(collector.received.resource("deployment.environment.name").as_deref(), Some("test"));
    assert_eq!(collector.received.resource("service.name").as_deref(), Some("margay"));
    assert!(collector.received.tokens().iter().all(|token| token == "secret"));
    assert!(!collector.received.tokens().is_empty());
}

#[test]
fn spans_over_http_match_access_records_one_to_one() {
    spans_match_access_records(&Collector::http(), "HttpProtobuf");
}

#[test]
fn spans_over_grpc_match_access_records_one_to_one() {
    spans_match_access_records(&Collector::grpc(), "Grpc");
}

#[test]
fn a_collector_is_reached_over_tls_if_its_certificate_is_trusted() {
    let (trusted, foreign) = (Authority::new("collectors"), Authority::new("others"));
    let certificate = trusted.issue(&["localhost"]);
    for (collector, protocol) in
        [(Collector::https(&certificate), "HttpProtobuf"), (Collector::secure_grpc(&certificate), "Grpc")]
    {
        let origin = Origin::hello();
        let mut more = traced(&collector, protocol, &json!({}));
        more["Otlp"]["CaFile"] = json!("ca.pem");
        let document = document(origin.port(), &json!({}), &more);
        let start = |ca: &Authority| Gateway::start(&Setup::json(&document).file("ca.pem", &ca.pem()));
        let gateway = start(&foreign);
        gateway.get("/untrusted");
        let dropped = "margay_otlp_dropped_total{signal=\"traces\"} ";
        assert!(becomes_true(WAIT, || gateway.admin("/metrics").text().contains(dropped)), "{protocol}");
        drop(gateway);
        let gateway = start(&trusted);
        gateway.get("/trusted");
        let spans = server_spans(&collector, 1);
        assert_eq!(text(&spans[0].attributes, "url.path").as_deref(), Some("/trusted"));
    }
}

#[test]
fn the_backend_continues_the_trace_below_the_span_of_the_attempt() {
    let (collector, closed) = (Collector::http(), Closed::reserve());
    let origin =
        Origin::with(|seen: &Seen| StubResponse::new(200, seen.header("traceparent").unwrap_or("none")));
    let endpoints: Vec<Value> = [closed.port, origin.port()]
        .iter()
        .map(|port| json!({ "Host": "127.0.0.1", "Port": port }))
        .collect();
    let route = json!({
        "DownstreamHostAndPorts": endpoints, "RetryOptions": { "MinBackoff": "1ms", "MaxBackoff": "2ms" },
        "LoadBalancerOptions": { "Type": "RoundRobin" },
    });
    let gateway = Gateway::with(&document(1, &route, &traced(&collector, "HttpProtobuf", &json!({}))));
    let mut sent = Vec::new();
    for _ in 0..2 {
        let request = Request::get("/").header("traceparent", PARENT).header("tracestate", "vendor=1");
        sent.push(gateway.ask(&request).text());
    }
    let servers = server_spans(&collector, 2);
    assert!(
        servers
            .iter()
            .all(|span| hex(&span.trace_id) == PARENT[3..35] && hex(&span.parent_span_id) == PARENT[36..52])
    );
    assert!(servers.iter().all(|span| span.trace_state == "vendor=1"));
    let clients = of_kind(&collector.received.spans(), SpanKind::Client);
    let failed: Vec<_> = clients.iter().filter(|span| span.status.is_some()).collect();
    assert!(!failed.is_empty() && clients.len() == servers.len() + failed.len(), "{clients:?}");
    assert_eq!(text(&failed[0].attributes, "error.type").as_deref(), Some("backend.connect"));
    for header in &sent {
        let attempt = clients
            .iter()
            .find(|span| hex(&span.span_id) == header[36..52])
            .expect("the span of the attempt");
        assert!(servers.iter().any(|server| server.span_id == attempt.parent_span_id));
        assert!(header.ends_with("-01"), "{header}");
    }
}

#[test]
fn the_parent_decides_and_otherwise_the_ratio() {
    let collector = Collector::http();
    let origin =
        Origin::with(|seen: &Seen| StubResponse::new(200, seen.header("traceparent").unwrap_or("none")));
    let tracing = traced(&collector, "HttpProtobuf", &json!({ "SampleRatio": 0 }));
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &tracing));
    assert!(gateway.get("/new").text().ends_with("-00"));
    let unsampled = gateway.ask(&Request::get("/child").header("traceparent", UNSAMPLED_PARENT)).text();
    assert!(unsampled.starts_with(&UNSAMPLED_PARENT[..36]) && unsampled.ends_with("-00"), "{unsampled}");
    gateway.ask(&Request::get("/sampled").header("traceparent", PARENT));
    let spans = server_spans(&collector, 1);
    assert_eq!(text(&spans[0].attributes, "url.path").as_deref(), Some("/sampled"));
    assert_eq!(gateway.access_log().iter().filter(|record| record["trace_id"].is_string()).count(), 1);
    // Hot reload: the parent is ignored from here on.
    let ignoring = traced(&collector, "HttpProtobuf", &json!({ "SampleRatio": 1, "ParentBased": false }));
    gateway.write(&document(origin.port(), &json!({}), &ignoring).to_string());
    let asks = || gateway.ask(&Request::get("/later").header("traceparent", UNSAMPLED_PARENT)).text();
    assert!(becomes_true(WAIT, || asks().ends_with("-01")));
    server_spans(&collector, 2);
}

#[test]
fn a_slow_stage_has_a_span() {
    let (collector, origin) = (Collector::http(), Origin::hello());
    let tracing = traced(&collector, "HttpProtobuf", &json!({ "SlowStage": "0s" }));
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &tracing));
    gateway.get("/");
    server_spans(&collector, 1);
    let internal = of_kind(&collector.received.spans(), SpanKind::Internal);
    assert!(internal.iter().any(|span| span.name == "stage via"), "{internal:?}");
}

#[test]
fn a_dead_or_silent_collector_costs_no_request_and_drops_are_counted() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::hello();
    for endpoint in ["http://127.0.0.1:9".to_owned(), format!("http://{}", silent.local_addr().unwrap())] {
        let more = json!({
            "Tracing": {}, "Metrics": { "Otlp": true, "OtlpInterval": "1s" }, "AccessLog": { "Otlp": true },
            "Otlp": { "Endpoint": endpoint, "Timeout": "100ms", "QueueSize": 64 },
        });
        let gateway = Gateway::with(&document(origin.port(), &json!({}), &more));
        let mut client = gateway.connect();
        let start = Instant::now();
        for _ in 0..300 {
            assert_eq!(client.get("/").status, 200);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        for signal in ["traces", "metrics", "logs"] {
            let dropped = format!("margay_otlp_dropped_total{{signal=\"{signal}\"}} ");
            assert!(becomes_true(WAIT, || gateway.admin("/metrics").text().contains(&dropped)), "{signal}");
        }
    }
}

#[test]
fn metrics_and_access_records_are_sent_too() {
    for (collector, protocol) in [(Collector::http(), "HttpProtobuf"), (Collector::grpc(), "Grpc")] {
        let origin = Origin::hello();
        let more = json!({
            "Metrics": { "Otlp": true, "OtlpInterval": "1s" }, "AccessLog": { "Otlp": true },
            "Otlp": { "Endpoint": collector.endpoint, "Protocol": protocol },
        });
        let route = over(to(origin.port()), &json!({ "Key": "shop" }));
        let gateway = Gateway::with(&over(json!({ "Routes": [route] }), &more));
        gateway.get("/a");
        let logs = until(WAIT, || Some(collector.received.logs()).filter(|logs| !logs.is_empty()))
            .expect("a record");
        assert_eq!(text(&logs[0].attributes, "url.path").as_deref(), Some("/a"));
        assert_eq!(text(&logs[0].attributes, "margay.route").as_deref(), Some("shop"));
        assert!(gateway.access_log().is_empty(), "not on standard output");
        let has = |name: &str| collector.received.metrics().iter().any(|metric| metric.name == name);
        assert!(becomes_true(WAIT, || has("margay_requests_total") && has("margay_request_duration_seconds")));
    }
}
