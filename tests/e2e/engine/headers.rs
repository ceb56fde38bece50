//! Header fields: forwarded, removed and added ones.

use super::{document, gateway, ocelot, over};
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::origin::{Origin, Seen};
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};

fn seen_through(route: &Value, rest: &Value, request: &Request) -> Seen {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), route, rest));
    assert_eq!(gateway.ask(request).status, 200);
    origin.last()
}

#[test]
fn hop_by_hop_fields_of_a_request_are_removed() {
    let request = Request::get("/")
        .header("Connection", "keep-alive, X-Mine ,, X-Other")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("Upgrade", "foo")
        .header("X-Mine", "1")
        .header("x-other", "2")
        .header("X-Stays", "3");
    let seen = seen_through(&json!({}), &json!({}), &request);
    for gone in ["keep-alive", "proxy-connection", "upgrade", "x-mine", "x-other"] {
        assert!(!seen.head.has(gone), "{gone} was forwarded: {:?}", seen.head.headers);
    }
    assert_eq!(seen.header("x-stays"), Some("3"));
    assert!(!seen.head.lists("connection", "x-mine"));
}

#[test]
fn certificate_fields_of_clients_are_removed_on_every_listener() {
    let request = Request::get("/")
        .header("Client-Cert", ":Zm9yZ2Vk:")
        .header("client-cert-chain", ":Zm9yZ2Vk:")
        .header("X-Client-Certificate", ":Zm9yZ2Vk:")
        .header("X-Client", "1");
    let seen = seen_through(&json!({}), &json!({}), &request);
    for removed in ["client-cert", "client-cert-chain", "x-client-certificate"] {
        assert!(!seen.head.has(removed), "{removed} was forwarded: {:?}", seen.head.headers);
    }
    assert_eq!(seen.header("x-client"), Some("1"));
}

#[test]
fn hop_by_hop_fields_of_a_response_are_removed() {
    let origin = Origin::with(|_| {
        StubResponse::new(200, "hello")
            .header("Connection", "X-Secret")
            .header("X-Secret", "1")
            .header("Keep-Alive", "timeout=5")
            .header("X-Stays", "2")
    });
    let gateway = gateway(origin.port());
    let answer = gateway.get("/");
    assert!(!answer.head.has("x-secret") && !answer.head.has("keep-alive"), "{:?}", answer.head.headers);
    assert!(!answer.head.lists("connection", "x-secret"));
    assert_eq!(answer.header("x-stays"), Some("2"));
}

#[test]
fn connection_cannot_remove_end_to_end_fields() {
    let request =
        Request::get("/").header("Connection", "close, Host, X-Forwarded-For").header("Host", "gw.test");
    let seen = seen_through(&json!({ "PreserveHost": true }), &json!({}), &request);
    assert_eq!(seen.header("host"), Some("gw.test"));
    assert!(seen.head.has("x-forwarded-for"));
}

#[test]
fn te_passes_only_trailers() {
    let seen = seen_through(&json!({}), &json!({}), &Request::get("/").header("TE", "gzip, trailers"));
    assert!(seen.head.all("te").iter().all(|v| *v == "trailers"), "{:?}", seen.head.all("te"));
}

#[test]
fn repeated_fields_keep_their_lines_and_their_order() {
    let origin = Origin::with(|seen| {
        let cookies = seen.head.all("x-list").join("|");
        StubResponse::new(200, cookies)
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2")
            .header("X-Empty", "")
    });
    let gateway = gateway(origin.port());
    let answer =
        gateway.ask(&Request::get("/").header("X-List", "1").header("Y", "").header("X-List", "2, 3"));
    assert_eq!(answer.text(), "1|2, 3");
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    let raw = String::from_utf8_lossy(&answer.head.raw).into_owned();
    assert!(raw.contains("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{raw}");
    assert_eq!(answer.header("x-empty"), Some(""));
    assert_eq!(origin.last().header("y"), Some(""));
}

#[test]
fn the_backend_gets_the_forwarded_fields() {
    let request = Request::get("/").header("Host", "shop.example:8443").header("X-Forwarded-For", "6.6.6.6");
    let seen = seen_through(&json!({}), &json!({}), &request);
    assert_eq!(seen.head.all("x-forwarded-for").join(", ").split(", ").last(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.example:8443"));
    let via = seen.header("via").expect("a Via field");
    assert!(via.starts_with("1.1 "), "{via}");
}

#[test]
fn an_untrusted_peer_cannot_set_its_address() {
    let seen = seen_through(&json!({}), &json!({}), &Request::get("/").header("X-Forwarded-For", "6.6.6.6"));
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn the_forwarded_chain_of_a_trusted_proxy_is_extended() {
    let trust = json!({ "ForwardedHeaders": { "TrustedProxies": ["127.0.0.1"] } });
    let request = Request::get("/").header("X-Forwarded-For", "6.6.6.6").header("X-Forwarded-Proto", "https");
    let seen = seen_through(&json!({}), &trust, &request);
    assert_eq!(seen.head.all("x-forwarded-for").join(", "), "6.6.6.6, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
}

#[test]
fn forwarded_fields_can_be_switched_off() {
    let off = json!({ "ForwardedHeaders": { "AddToRequest": false } });
    let seen = seen_through(&json!({}), &off, &Request::get("/"));
    assert!(
        !seen.head.has("x-forwarded-for") && !seen.head.has("x-forwarded-host"),
        "{:?}",
        seen.head.headers
    );
}

#[test]
fn under_ocelot_nothing_is_added_and_forwarded_fields_pass() {
    let seen = seen_through(&json!({}), &ocelot(), &Request::get("/").header("X-Forwarded-For", "6.6.6.6"));
    assert_eq!(seen.head.all("x-forwarded-for"), ["6.6.6.6"]);
    assert!(!seen.head.has("via") && !seen.head.has("x-forwarded-proto"), "{:?}", seen.head.headers);
}

#[test]
fn the_host_is_that_of_the_backend_unless_preserved() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &json!({})));
    gateway.ask(&Request::get("/").header("Host", "shop.example"));
    assert_eq!(origin.last().header("host"), Some(format!("127.0.0.1:{}", origin.port()).as_str()));
    let kept = seen_through(
        &json!({ "PreserveHost": true }),
        &json!({}),
        &Request::get("/").header("Host", "shop.example"),
    );
    assert_eq!(kept.head.all("host"), ["shop.example"]);
    let global = json!({ "GlobalConfiguration": { "PreserveHost": true } });
    let kept = seen_through(&json!({}), &global, &Request::get("/").header("Host", "shop.example"));
    assert_eq!(kept.head.all("host"), ["shop.example"]);
}

#[test]
fn via_is_appended_in_both_directions() {
    let origin = Origin::with(|_| StubResponse::new(200, "").header("Via", "1.1 inner"));
    let gateway = gateway(origin.port());
    let answer = gateway.ask(&Request::get("/").header("Via", "1.0 first"));
    let sent = origin.last().head.all("via").join(", ");
    assert!(sent.starts_with("1.0 first, 1.1 "), "{sent}");
    let got = answer.head.all("via").join(", ");
    assert!(got.starts_with("1.1 inner"), "{got}");
}

#[test]
fn max_forwards_is_decremented_and_answered_at_zero() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    for method in ["OPTIONS", "TRACE"] {
        origin.forget();
        let answer = gateway.ask(&Request::new(method, "/").header("Max-Forwards", "0"));
        assert_eq!(origin.calls(), 0, "{method} was forwarded, answered {}", answer.status);
        gateway.ask(&Request::new(method, "/").header("Max-Forwards", "5"));
        if origin.calls() > 0 {
            assert_eq!(origin.last().header("max-forwards"), Some("4"), "{method}");
        }
    }
    gateway.ask(&Request::get("/").header("Max-Forwards", "0"));
    assert_eq!(origin.last().header("max-forwards"), Some("0"), "other methods ignore it");
}

#[test]
fn the_method_can_be_overridden_and_the_body_is_kept() {
    let seen = seen_through(
        &json!({ "DownstreamHttpMethod": "put" }),
        &json!({}),
        &Request::new("POST", "/").body("b"),
    );
    assert_eq!((seen.method.as_str(), seen.body.as_slice()), ("PUT", b"b".as_slice()));
}

#[test]
fn a_request_id_is_reused_or_generated() {
    let with_key = json!({ "RequestIdKey": "X-Request-Id" });
    let given = seen_through(&with_key, &json!({}), &Request::get("/").header("x-request-id", "abc"));
    assert_eq!(given.head.all("x-request-id"), ["abc"]);
    let first = seen_through(&with_key, &json!({}), &Request::get("/"));
    let second = seen_through(&with_key, &json!({}), &Request::get("/"));
    let (a, b) = (first.header("x-request-id"), second.header("x-request-id"));
    assert!(a.is_some_and(|v| !v.is_empty()) && a != b, "{a:?} {b:?}");
}

#[test]
fn the_route_s_request_id_key_wins_over_the_global_one() {
    let global = json!({ "GlobalConfiguration": { "RequestIdKey": "X-Global" } });
    let seen = seen_through(&json!({ "RequestIdKey": "X-Route" }), &global, &Request::get("/"));
    assert!(seen.head.has("x-route") && !seen.head.has("x-global"), "{:?}", seen.head.headers);
}

#[test]
fn the_reason_phrase_and_backend_fields_pass_unchanged() {
    let origin = Origin::with(|_| {
        let answer = StubResponse::new(299, "odd")
            .header("Server", "mine")
            .header("Date", "Sat, 21 Nov 2026 10:00:00 GMT");
        StubResponse { reason: Some("Quite Fine".into()), ..answer }
    });
    let gateway = gateway(origin.port());
    let answer = gateway.get("/");
    assert_eq!(
        (answer.status, answer.reason.as_str(), answer.header("server")),
        (299, "Quite Fine", Some("mine"))
    );
    assert_eq!(answer.head.all("date"), ["Sat, 21 Nov 2026 10:00:00 GMT"]);
}

#[test]
fn settings_over_a_route_merge() {
    assert_eq!(over(json!({ "a": 1, "b": 1 }), &json!({ "b": 2 })), json!({ "a": 1, "b": 2 }));
}
