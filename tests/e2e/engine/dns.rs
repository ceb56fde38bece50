//! Host names of backends, resolved by DNS.

use super::{over, to};
use crate::support::becomes_true;
use crate::support::dns::{NameServer, ServerMode};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Two backends on one port of two loopback addresses, which respond `one` and `two`.
fn two_backends() -> (Origin, Origin) {
    loop {
        let one = ports::listener();
        let port = one.local_addr().expect("an address").port();
        if let Ok(two) = TcpListener::bind(("127.0.0.2", port)) {
            return (
                Origin::on(one, |_| StubResponse::new(200, "one")),
                Origin::on(two, |_| StubResponse::new(200, "two")),
            );
        }
    }
}

fn gateway(server: &NameServer, port: u16) -> Gateway {
    let route = json!({ "DownstreamHostAndPorts": [{ "Host": "shop.test", "Port": port }] });
    Gateway::start(&Setup::json(&json!({
        "Routes": [over(to(port), &route)],
        "Dns": { "Servers": [server.address()], "Timeout": "200ms" },
        "Limits": { "ConnectTimeout": "300ms" },
    })))
}

#[test]
fn a_dns_change_moves_traffic_and_pooled_connections_within_the_ttl() {
    let (server, (one, two)) = (NameServer::start(), two_backends());
    server.addresses("shop.test", 2, &["127.0.0.1"]);
    let gateway = gateway(&server, one.port());
    assert_eq!(gateway.get("/").text(), "one");
    assert_eq!(one.open(), 1);
    server.addresses("shop.test", 2, &["127.0.0.2"]);
    let changed = Instant::now();
    assert!(becomes_true(Duration::from_secs(10), || {
        let response = gateway.get("/");
        assert_eq!(response.status, 200, "{}", response.text());
        response.text() == "two"
    }));
    // Two seconds, and half a second for a busy machine.
    assert!(changed.elapsed() < Duration::from_millis(2500), "{:?}", changed.elapsed());
    let closed = becomes_true(Duration::from_secs(5), || one.open() == 0);
    assert!(closed, "the connection that was kept to the old address is closed");
    one.forget();
    assert!((0..20).all(|_| gateway.get("/").text() == "two"));
    assert_eq!((one.calls(), two.connections()), (0, 1));
}

#[test]
fn while_dns_is_unreachable_the_last_addresses_are_used() {
    let (server, (one, _two)) = (NameServer::start(), two_backends());
    server.addresses("shop.test", 1, &["127.0.0.1"]);
    let gateway = gateway(&server, one.port());
    assert_eq!(gateway.get("/").text(), "one");
    for mood in [ServerMode::Failing, ServerMode::Silent] {
        server.mood(mood);
        let queries = server.query_count("shop.test");
        assert!(becomes_true(Duration::from_secs(10), || server.query_count("shop.test") > queries + 2));
        one.hang_up();
        assert_eq!(gateway.get("/").text(), "one");
    }
    server.mood(ServerMode::Answering);
    server.addresses("shop.test", 1, &["127.0.0.2"]);
    assert!(becomes_true(Duration::from_secs(20), || gateway.get("/").text() == "two"));
}

#[test]
fn a_name_that_does_not_exist_is_an_answer_at_once() {
    let server = NameServer::start();
    let route = json!({ "DownstreamHostAndPorts": [{ "Host": "shop.test", "Port": 1 }] });
    let gateway = Gateway::start(&Setup::json(&json!({
        "Routes": [over(to(1), &route)], "Dns": { "Servers": [server.address()] },
    })));
    assert_eq!(gateway.get("/").status, 502);
    let began = Instant::now();
    for _ in 0..5 {
        let refused = gateway.get("/");
        assert_eq!((refused.status, refused.json()["code"].as_str()), (502, Some("backend.dns")));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "not the whole ConnectTimeout: {:?}", began.elapsed());
}

#[test]
fn a_name_created_later_resolves_without_a_reload() {
    let (server, (one, _two)) = (NameServer::start(), two_backends());
    let gateway = gateway(&server, one.port());
    let refused = gateway.get("/");
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains("backend.dns"), "{}", refused.text());
    server.addresses("shop.test", 60, &["127.0.0.1"]);
    assert!(becomes_true(Duration::from_secs(10), || gateway.get("/").status == 200));
}

#[test]
fn new_dns_servers_are_used_after_a_reload() {
    let (old, new, (one, _two)) = (NameServer::start(), NameServer::start(), two_backends());
    old.addresses("shop.test", 3600, &["127.0.0.1"]);
    new.addresses("shop.test", 3600, &["127.0.0.2"]);
    let gateway = gateway(&old, one.port());
    assert_eq!(gateway.get("/").text(), "one");
    let text = std::fs::read_to_string(gateway.config()).expect("the configuration");
    gateway.write(&text.replace(&old.address(), &new.address()));
    assert!(becomes_true(Duration::from_secs(10), || gateway.get("/").text() == "two"));
}
