//! API management on sockets: exact counters, stored counts after `kill -9`, traces. `SOAK=1` kills 50 times.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use serde_json::{Value, json};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const KEY: (&str, &str) = ("Ocp-Apim-Subscription-Key", "primary-0000-aaaa-1111");

/// An API `orders` with a product, a subscription, and a document.
pub(super) fn setup(origin: &Origin, durability: &str, name: &str, document: &Value) -> Setup {
    let gateway = json!({
        "Apis": { "orders": {
            "ServiceUrl": format!("http://127.0.0.1:{}", origin.port()),
            "Operations": { "read": { "Method": "GET", "UrlTemplate": "/*" } }
        } },
        "Products": { "gold": { "Apis": ["orders"] } },
        "Subscriptions": { "s": { "Product": "gold", "PrimaryKey": KEY.1, "AllowTracing": true } },
        "NamedValues": { "token": { "Value": "canary-4711", "Secret": true } },
        "ApiManagement": { "Store": { "Durability": durability } }
    });
    Setup::json(&gateway).file(name, &document.to_string()).threads(2)
}

pub(super) fn call() -> Request {
    Request::get("/orders/1").header(KEY.0, KEY.1)
}

/// The requests of 64 connections that pass.
fn admitted(gateway: &Gateway) -> usize {
    let start = Barrier::new(64);
    let hammer = || {
        let mut client = gateway.connect();
        start.wait();
        (0..20).filter(|_| client.must(&call()).status == 200).count()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..64).map(|_| scope.spawn(hammer)).collect();
        all.into_iter().map(|client| client.join().expect("a client")).sum()
    })
}

#[test]
fn a_thousand_calls_are_exactly_a_thousand_for_64_connections() {
    let product = "policies/products/gold.json";
    for (file, statement) in [
        (product, json!({ "rate-limit": { "calls": 1000, "renewal-period": 300 } })),
        (product, json!({ "quota": { "calls": 1000, "renewal-period": 86400 } })),
        (
            "policies/apis/orders.json",
            json!({ "rate-limit-by-key": { "calls": 1000, "renewal-period": 300, "counter-key": "@(context.Api.Id)" } }),
        ),
    ] {
        let origin = Origin::hello();
        let document = json!({ "inbound": ["base", statement] });
        let gateway = Gateway::start(&setup(&origin, "Batched", file, &document));
        assert_eq!((admitted(&gateway), origin.calls()), (1000, 1000), "{document}");
    }
}

#[test]
fn increments_that_wait_for_responses_overshoot_by_the_requests_in_flight_at_most() {
    let origin = Origin::hello();
    let limit = json!({ "rate-limit-by-key": { "calls": 500, "renewal-period": 300, "counter-key": "k",
        "increment-condition": "@(context.Response.StatusCode == 200)" } });
    let document = json!({ "inbound": ["base", limit] });
    let gateway = Gateway::start(&setup(&origin, "Batched", "policies/apis/orders.json", &document));
    let admitted = admitted(&gateway);
    assert!((500..500 + 64).contains(&admitted), "{admitted}");
}

/// The stored count of the key `k` after `kill -9` under load, and the calls that were answered.
fn count_after_kill(gateway: &mut Gateway, setup: &Setup, answered: &AtomicU64) -> u64 {
    let address = gateway.address;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                let mut client = crate::support::client::Client::connect(address);
                while client.ask(&call()).is_ok_and(|response| response.status == 200) {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        gateway.restart(setup, "kill").expect("it starts again");
    });
    let page = gateway.admin("/management/quotas/k").json();
    page["value"][0]["value"]["callsCount"].as_u64().expect("a count")
}

#[test]
fn a_strict_quota_is_never_below_the_calls_answered_after_kill_9() {
    let origin = Origin::hello();
    let limit = json!({ "quota-by-key": { "calls": 100_000_000, "renewal-period": 0, "counter-key": "k" } });
    let document = json!({ "inbound": ["base", limit] });
    let setup = setup(&origin, "Strict", "policies/apis/orders.json", &document);
    let mut gateway = Gateway::start(&setup);
    let answered = AtomicU64::new(0);
    let kills = if std::env::var_os("SOAK").is_some() { 50 } else { 2 };
    for _ in 0..kills {
        let counted = count_after_kill(&mut gateway, &setup, &answered);
        let answered = answered.load(Ordering::SeqCst);
        assert!(answered > 0 && counted >= answered, "{counted} counted, {answered} answered");
    }
}

#[test]
fn a_trace_lists_the_statements_without_secrets() {
    let origin = Origin::hello();
    let document = json!({ "inbound": [
        "base",
        { "set-header": { "name": "X-T", "value": "{{token}}" } },
        { "trace": { "source": "shop", "message": "the token is {{token}}" } }
    ] });
    let gateway = Gateway::start(&setup(&origin, "Batched", "policies/apis/orders.json", &document));
    assert_eq!(gateway.ask(&call()).header("Ocp-Apim-Trace-Id"), None);
    let response = gateway.ask(&call().header("Ocp-Apim-Trace", "true"));
    let id = response.header("Ocp-Apim-Trace-Id").expect("a trace").to_owned();
    let trace = gateway.admin(&format!("/management/traces/{id}"));
    let text = trace.text();
    assert!(!text.contains("canary-4711") && !text.contains(KEY.1), "{text}");
    let page = trace.json();
    let entries = page["entries"].as_array().expect("entries");
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry["statement"].as_str()).collect();
    assert_eq!(names, ["set-header", "trace", "trace", "forward-request"], "{text}");
    assert_eq!(entries[1]["data"]["message"], "the token is *****");
    assert_eq!(gateway.admin("/management/traces/none").status, 404);
}
