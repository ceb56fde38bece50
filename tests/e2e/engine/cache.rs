//! The response cache: freshness, revalidation, request coalescing, fixed lifetimes.

use super::{document, over, to};
use crate::support::becomes_true;
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A backend that numbers its responses, which carry these fields.
fn counting(fields: &[(&str, &str)]) -> Origin {
    let fields: Vec<(String, String)> = fields.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let calls = AtomicUsize::new(0);
    Origin::with(move |_| {
        let answer = StubResponse::new(200, format!("call {}", calls.fetch_add(1, Ordering::SeqCst) + 1));
        fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    })
}

fn cached(port: u16, options: &Value) -> Gateway {
    Gateway::with(&document(port, &json!({ "CacheOptions": options }), &json!({})))
}

fn http(port: u16) -> Gateway {
    cached(port, &json!({ "Mode": "Http" }))
}

fn status(answer: &Response) -> String {
    answer.head.all("cache-status").join(", ")
}

#[test]
fn a_fresh_response_is_reused_with_its_age() {
    let origin = counting(&[("Cache-Control", "max-age=60"), ("ETag", "\"a\"")]);
    let gateway = http(origin.port());
    let first = gateway.get("/x");
    assert_eq!(
        (first.text().as_str(), status(&first).as_str()),
        ("call 1", "margay; fwd=uri-miss; ttl=60; stored")
    );
    let second = gateway.get("/x");
    assert_eq!((second.text().as_str(), second.header("age")), ("call 1", Some("0")));
    assert_eq!(status(&second), "margay; hit; ttl=60");
    let head = gateway.ask(&Request::new("HEAD", "/x"));
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("6"), 0));
    let known = gateway.ask(&Request::get("/x").header("If-None-Match", "\"a\""));
    assert_eq!((known.status, known.header("etag")), (304, Some("\"a\"")));
    let part = gateway.ask(&Request::get("/x").header("Range", "bytes=0-3"));
    assert_eq!((part.status, part.text().as_str()), (206, "call"));
    assert_eq!(part.header("content-range"), Some("bytes 0-3/6"));
    let parts = gateway.ask(&Request::get("/x").header("Range", "bytes=0-0,5-5"));
    assert!(parts.text().contains("Content-Range: bytes 5-5/6\r\n\r\n1\r\n--"), "{}", parts.text());
    let beyond = gateway.ask(&Request::get("/x").header("Range", "bytes=9-"));
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */6")));
    assert_eq!(origin.calls(), 1);
}

#[test]
fn a_stale_response_is_revalidated_and_its_headers_are_updated() {
    let origin = Origin::with(|seen| match seen.header("if-none-match") {
        Some("\"a\"") => {
            StubResponse::new(304, "").header("Cache-Control", "max-age=60").header("X-New", "1")
        }
        _ => StubResponse::new(200, "whole").header("Cache-Control", "max-age=0").header("ETag", "\"a\""),
    });
    let gateway = http(origin.port());
    assert_eq!(gateway.get("/").text(), "whole");
    let validated = gateway.get("/");
    assert_eq!((validated.status, validated.text().as_str()), (200, "whole"));
    assert_eq!(status(&validated), "margay; fwd=stale; fwd-status=304; ttl=60; stored");
    assert_eq!((gateway.get("/").header("x-new"), origin.calls()), (Some("1"), 2));
}

#[test]
fn only_if_cached_without_a_stored_response_is_504() {
    let origin = counting(&[("Cache-Control", "max-age=60")]);
    let gateway = http(origin.port());
    let only = || gateway.ask(&Request::get("/").header("Cache-Control", "only-if-cached"));
    let refused = only();
    assert_eq!(
        (refused.status, &refused.json()["code"], origin.calls()),
        (504, &json!("cache.only_if_cached"), 0)
    );
    gateway.get("/");
    assert_eq!(only().text(), "call 1");
}

#[test]
fn an_unsafe_request_invalidates_the_url_on_all_routes() {
    let origin = counting(&[("Cache-Control", "max-age=60"), ("Location", "/c")]);
    let reading = over(
        to(origin.port()),
        &json!({ "UpstreamHttpMethod": ["GET"], "CacheOptions": { "Mode": "Http" } }),
    );
    let writing = over(to(origin.port()), &json!({ "UpstreamHttpMethod": ["POST"] }));
    let gateway = Gateway::with(&json!({ "Routes": [reading, writing] }));
    for target in ["/a", "/b", "/c"] {
        gateway.get(target);
    }
    gateway.ask(&Request::new("POST", "/a").body("x"));
    let calls = |target| gateway.get(target).text();
    assert_eq!(
        (calls("/a").as_str(), calls("/b").as_str(), calls("/c").as_str()),
        ("call 5", "call 2", "call 6")
    );
}

#[test]
fn stale_while_revalidate_serves_the_stale_response() {
    let origin = counting(&[("Cache-Control", "max-age=0, stale-while-revalidate=60"), ("ETag", "\"a\"")]);
    let gateway = http(origin.port());
    gateway.get("/");
    let stale = gateway.get("/");
    assert!(status(&stale).contains("hit; ttl=0"), "{}", status(&stale));
    assert!(
        becomes_true(Duration::from_secs(5), || origin.calls() >= 2 && gateway.get("/").text() != "call 1")
    );
}

#[test]
fn stale_if_error_serves_the_stale_response() {
    let origin = Origin::with({
        let calls = AtomicUsize::new(0);
        move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => StubResponse::new(200, "good")
                .header("Cache-Control", "max-age=0, stale-if-error=60")
                .header("ETag", "\"a\""),
            _ => StubResponse::new(503, "bad"),
        }
    });
    let gateway = http(origin.port());
    gateway.get("/");
    let stale = gateway.get("/");
    assert_eq!((stale.status, stale.text().as_str()), (200, "good"));
    assert!(status(&stale).contains("fwd=stale; fwd-status=503"), "{}", status(&stale));
}

#[test]
fn a_fixed_ttl_stores_only_successful_responses_to_safe_requests() {
    let origin = Origin::with({
        let calls = AtomicUsize::new(0);
        move |seen| {
            let status = if seen.path == "/bad" { 500 } else { 200 };
            StubResponse::new(status, format!("{}", calls.fetch_add(1, Ordering::SeqCst)))
        }
    });
    let gateway = cached(origin.port(), &json!({ "TtlSeconds": 60 }));
    let same = |request: &Request| gateway.ask(request).text() == gateway.ask(request).text();
    assert!(same(&Request::get("/good")));
    assert!(!same(&Request::get("/bad")) && !same(&Request::new("POST", "/good").body("x")));
    let other = gateway.ask(&Request::get("/good").header("OC-Cache-Control", "1")).text();
    assert_ne!(other, gateway.get("/good").text());
}

#[test]
fn a_thousand_concurrent_requests_are_coalesced_into_one_call() {
    let origin = Origin::with(|_| {
        let body = "x".repeat(100_000);
        StubResponse::new(200, body).header("Cache-Control", "max-age=60").after(Duration::from_millis(1500))
    });
    let setup = document(origin.port(), &json!({ "CacheOptions": { "Mode": "Http" } }), &json!({}));
    let gateway = Gateway::start(&Setup::json(&setup).threads(2));
    let mut clients: Vec<_> = (0..1000).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(Request::get("/x").bytes("gw"));
    }
    for client in &mut clients {
        let answer = client.answer("GET").expect("a response");
        assert_eq!((answer.status, answer.body.len()), (200, 100_000));
    }
    assert_eq!(origin.calls(), 1);
}

#[test]
fn coalesced_requests_are_released_when_the_response_is_private_or_missing() {
    for (fields, status) in [(&[("Cache-Control", "private, max-age=60")][..], 200), (&[][..], 500)] {
        let origin = Origin::with(move |_| {
            let answer = StubResponse::new(status, "x").after(Duration::from_millis(300));
            fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
        });
        let gateway = Arc::new(http(origin.port()));
        let began = Instant::now();
        let asking: Vec<_> = (0..5)
            .map(|_| {
                let gateway = gateway.clone();
                std::thread::spawn(move || gateway.get("/x").status)
            })
            .collect();
        assert!(asking.into_iter().all(|request| request.join().is_ok_and(|got| got == status)));
        assert!(began.elapsed() < Duration::from_secs(2), "one after the other: {:?}", began.elapsed());
        assert_eq!(origin.calls(), 5);
    }
}

#[test]
fn coalesced_requests_continue_when_the_first_client_disconnects() {
    let origin = crate::support::scripted_backend::ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nabc");
            std::thread::sleep(Duration::from_millis(700));
            wire.send(b"def");
        }
    });
    let gateway = http(origin.port());
    let mut first = gateway.connect();
    first.send(Request::get("/x").bytes("gw"));
    std::thread::sleep(Duration::from_millis(200));
    let mut second = gateway.connect();
    second.send(Request::get("/x").bytes("gw"));
    std::thread::sleep(Duration::from_millis(200));
    drop(first);
    assert_eq!(second.answer("GET").map(|answer| answer.text()), Ok("abcdef".to_owned()));
    let again = gateway.ask(&Request::get("/x").header("Host", "gw"));
    assert!(status(&again).starts_with("margay; hit; ttl="), "{}", status(&again));
}

#[test]
fn a_reload_keeps_stored_responses_unless_the_cache_settings_change() {
    let origin = counting(&[("Cache-Control", "max-age=60")]);
    let with = |more: Value| {
        document(origin.port(), &over(json!({ "CacheOptions": { "Mode": "Http" } }), &more), &json!({}))
    };
    let gateway = Gateway::with(&with(json!({})));
    gateway.get("/");
    let header = |value: &str| json!({ "DownstreamHeaderTransform": { "X-Plan": value } });
    gateway.write(&with(header("two")).to_string());
    let taken = |value: &str| {
        becomes_true(Duration::from_secs(5), || gateway.get("/").header("x-plan") == Some(value))
    };
    assert!(taken("two") && gateway.get("/").text() == "call 1");
    let changed =
        over(header("three"), &json!({ "CacheOptions": { "Mode": "Http", "VaryByHeader": ["X"] } }));
    gateway.write(&with(changed).to_string());
    assert!(taken("three") && gateway.get("/").text() == "call 2");
}

#[test]
fn the_operator_lists_and_purges_entries() {
    let origin = Origin::with({
        let calls = AtomicUsize::new(0);
        move |seen| {
            StubResponse::new(200, format!("call {}", calls.fetch_add(1, Ordering::SeqCst) + 1))
                .header("Cache-Control", "max-age=60")
                .header("Surrogate-Key", &format!("all {}", seen.path.trim_start_matches('/')))
        }
    });
    let gateway = cached(origin.port(), &json!({ "Mode": "Http", "Region": "shop" }));
    let ask = |target: &str| gateway.ask(&Request::get(target).header("Host", "shop.test"));
    let admin = |method: &str, target: &str| {
        let answer =
            crate::support::client::once(gateway.admin, &Request::new(method, target)).expect("a response");
        (answer.status, answer.json())
    };
    ["/a", "/b/1", "/b/2", "/c"].iter().for_each(|target| drop(ask(target)));
    let (_, shown) = admin("GET", "/cache?prefix=http://shop.test/b");
    assert_eq!((&shown["count"], &shown["entries"][0]["region"]), (&json!(2), &json!("shop")));
    for (query, forgotten) in
        [("url=http%3A%2F%2Fshop.test%2Fa", 1), ("prefix=http://shop.test/b/", 2), ("tag=c", 1), ("tag=c", 0)]
    {
        let (status, told) = admin("POST", &format!("/cache/purge?{query}"));
        assert_eq!((status, &told["purged"]), (200, &json!(forgotten)), "{query}");
    }
    assert_eq!(ask("/a").text(), "call 5");
    assert_eq!(admin("POST", "/cache/purge?region=shop").1["purged"], json!(1));
    assert_eq!(ask("/a").text(), "call 6");
    let metrics = gateway.admin("/metrics").text();
    assert!(
        metrics.contains("margay_cache_requests_total{outcome=\"miss\",route=\"/{everything}\"} 6"),
        "{metrics}"
    );
    assert!(metrics.contains("margay_cache_bytes{region=\"\"}"));
}
