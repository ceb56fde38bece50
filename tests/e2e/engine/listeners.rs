//! Several listeners: routes may name those that serve them.

use super::{over, to};
use crate::support::becomes_true;
use crate::support::client::{Client, Request, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A route from `/who` to that backend.
fn who_is(port: u16, more: &Value) -> Value {
    let path = json!({ "UpstreamPathTemplate": "/who", "DownstreamPathTemplate": "/" });
    over(over(to(port), &path), more)
}

fn responding(text: &'static str) -> Origin {
    Origin::with(move |_| StubResponse::new(200, text))
}

fn named(doors: &[(&str, SocketAddr)], routes: &[Value]) -> Value {
    let listener =
        |(name, address): &(&str, SocketAddr)| json!({ "Name": name, "Address": address.to_string() });
    json!({ "Listeners": doors.iter().map(listener).collect::<Vec<_>>(), "Routes": routes })
}

#[test]
fn a_route_is_served_by_its_listeners_or_by_all() {
    let (inner, outer) = (responding("inside"), responding("outside"));
    let (front, back) = (ports::free_address(), ports::free_address());
    let routes = |names: &[&str]| {
        [who_is(inner.port(), &json!({ "Listeners": names })), who_is(outer.port(), &json!({}))]
    };
    let doors = [("front", front), ("back", back)];
    let gateway = Gateway::start(&Setup::json(&named(&doors, &routes(&["back"]))).own_listeners());
    let who = |address: SocketAddr| once(address, &Request::get("/who")).expect("a response").text();
    assert_eq!((who(front), who(back)), ("outside".into(), "inside".into()));
    let mut kept = Client::connect(front);
    assert_eq!(kept.get("/who").text(), "outside");
    gateway.write(&named(&doors, &routes(&["back", "front"])).to_string());
    assert!(
        becomes_true(WAIT_TIMEOUT, || kept.get("/who").text() == "inside"),
        "on a connection that was there before too"
    );
    gateway.write(&named(&doors, &routes(&["back"])[..1]).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || kept.get("/who").status == 404));
    assert_eq!(kept.get("/who").json()["code"], "route.not_found");
    assert_eq!(who(back), "inside");
}

#[test]
fn command_line_listeners_do_not_replace_listeners_that_routes_name() {
    let route = who_is(1, &json!({ "Listeners": ["front"] }));
    let document = named(&[("front", ports::free_address())], &[route]);
    let ended = Gateway::try_start(&Setup::json(&document)).err().expect("it does not start");
    assert!(ended.stderr.contains("--listen replaces the listeners"), "{}", ended.stderr);
}
