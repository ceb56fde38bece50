//! The requests that belong to a connection, and what the server receives of them.

use super::*;
use crate::pipeline::{exchange::Peer, head::Head};
use std::time::Instant;

fn stage(mode: AffinityMode) -> SignalR {
    SignalR { mode, key: AffinityKey::new(b"key") }
}

fn exchange(method: &str, target: &str, cookie: Option<&str>) -> Exchange {
    let address = "192.0.2.7:4711".parse().unwrap();
    let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    exchange.request = Head::request(method.as_bytes(), target.as_bytes());
    exchange.routing.path_len = target.find('?').unwrap_or(target.len());
    if let Some(cookie) = cookie {
        exchange.request.append(b"Cookie", cookie.as_bytes());
    }
    exchange.request.append(b"Accept-Encoding", b"gzip");
    exchange
}

fn run(stage: &SignalR, exchange: &mut Exchange) -> (Affinity, String) {
    assert!(matches!(stage.on_request(exchange), Step::Next));
    (exchange.routing.affinity, String::from_utf8(exchange.routing.query.clone()).unwrap())
}

#[test]
fn the_tag_of_the_token_selects_the_endpoint_and_is_removed() {
    let stage = stage(AffinityMode::Token);
    let (tag, other) = (stage.key.tag("a:1"), stage.key.tag("b:1"));
    let (text, second) = (stage.key.encode(tag), stage.key.encode(other));
    for (target, affinity, query) in [
        (format!("/hub?id=x~{text}"), Affinity::Endpoint(tag), "?id=x"),
        (format!("/hub?a=1&&ID=x%7E{text}&b=~"), Affinity::Endpoint(tag), "?a=1&&ID=x&b=~"),
        (format!("/hub?i%64=x~y~{text}&id=z~{second}"), Affinity::Endpoint(tag), "?i%64=x~y&id=z"),
        (format!("/hub?id=z&id=x~{text}"), Affinity::MissingTag, "?id=z&id=x"),
        (format!("/hub?id=x~{text}x"), Affinity::InvalidTag, ""),
        ("/hub?id=x".into(), Affinity::MissingTag, ""),
        ("/hub?id".into(), Affinity::MissingTag, ""),
        ("/hub?id=".into(), Affinity::MissingTag, ""),
        (format!("/hub?idx=x~{text}"), Affinity::Unbound, ""),
        ("/hub".into(), Affinity::Unbound, ""),
    ] {
        let found = run(&stage, &mut exchange("GET", &target, None));
        assert_eq!(found, (affinity, query.to_owned()), "{target}");
    }
}

#[test]
fn a_negotiation_is_a_post_without_an_id_and_its_response_is_not_encoded() {
    let stage = stage(AffinityMode::Token);
    for (method, target, expected) in [
        ("POST", "/hub/negotiate?negotiateVersion=1", Affinity::Negotiation(None)),
        ("POST", "/hub/Negotiate", Affinity::Negotiation(None)),
        ("POST", "/hub/renegotiate", Affinity::Unbound),
        ("GET", "/hub/negotiate", Affinity::Unbound),
        ("POST", "/hub/negotiate?id=x", Affinity::MissingTag),
    ] {
        let mut exchange = exchange(method, target, None);
        assert_eq!(run(&stage, &mut exchange).0, expected, "{method} {target}");
        let is_negotiation = expected == Affinity::Negotiation(None);
        assert_eq!(exchange.request.get(b"Accept-Encoding").is_none(), is_negotiation);
    }
}

#[test]
fn the_cookie_selects_the_endpoint_of_requests_with_an_id() {
    let stage = stage(AffinityMode::Cookie("at".into()));
    let tag = stage.key.tag("a:1");
    let cookie = format!("at={}", stage.key.encode(tag));
    for (method, target, cookie, expected) in [
        ("GET", "/hub?id=x", Some(&*cookie), Affinity::Endpoint(tag)),
        ("GET", "/hub?id=x", None, Affinity::MissingTag),
        ("GET", "/hub?id=x", Some("at=forged"), Affinity::InvalidTag),
        ("GET", "/hub", Some(&*cookie), Affinity::Unbound),
        ("POST", "/hub/negotiate", Some(&*cookie), Affinity::Negotiation(Some(tag))),
        ("POST", "/hub/negotiate", Some("at=forged"), Affinity::Negotiation(None)),
    ] {
        let found = run(&stage, &mut exchange(method, target, cookie));
        assert_eq!(found, (expected, String::new()), "{method} {target} {cookie:?}");
    }
}
