//! The sample services: catalog (two instances), orders, echo, one that fails, one that tells what happens. Pure
//! functions from request to response.

use super::server::{Body, Request, Response};
use serde_json::{Value, json};
use std::time::Duration;

const ITEMS: [(u32, &str, u32); 3] = [(1, "lamp", 4900), (2, "chair", 12900), (3, "desk", 25900)];
const ORDERS: [(u32, u32, &str); 3] = [(7, 1, "shipped"), (8, 3, "paid"), (9, 2, "open")];

/// Things to sell; `X-Instance` says which of the two instances answered.
pub fn catalog(instance: u8, request: &Request) -> Response {
    let item = |(id, name, cents): &(u32, &str, u32)| json!({ "id": id, "name": name, "cents": cents });
    let mut response = match path_segments(request)[..] {
        ["items"] => ok_json(ITEMS.iter().map(item).collect()),
        ["items", id] => found(ITEMS.iter().find(|i| i.0.to_string() == id).map(item), "item", id),
        _ => not_found(request),
    };
    response.fields.push(("X-Instance", format!("catalog-{instance}")));
    response
}

/// Who bought what; a POST is answered 201 with what was sent.
pub fn orders(request: &Request) -> Response {
    let order = |(id, item, state): &(u32, u32, &str)| json!({ "id": id, "item": item, "state": state });
    match (request.method.as_str(), &path_segments(request)[..]) {
        ("POST", ["orders"]) => {
            let sent = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            let mut response = reply(201, json!({ "id": 10, "state": "open", "order": sent }));
            response.fields.push(("Location", "/orders/10".into()));
            response
        }
        ("GET" | "HEAD", ["orders"]) => ok_json(ORDERS.iter().map(order).collect()),
        ("GET" | "HEAD", ["orders", id]) => {
            found(ORDERS.iter().find(|o| o.0.to_string() == *id).map(order), "order", id)
        }
        (_, ["orders", ..]) => reply(405, json!({ "error": format!("no {} here", request.method) })),
        _ => not_found(request),
    }
}

/// Fails every second call; says which call it was.
pub fn flaky(call: u64) -> Response {
    match call % 2 {
        0 => ok_json(json!({ "call": call })),
        _ => reply(503, json!({ "error": "every second call fails", "call": call })),
    }
}

/// What becomes of the orders, as it happens: server-sent events, two a second, until the client has heard enough.
pub fn events(request: &Request) -> Response {
    match path_segments(request)[..] {
        ["events"] => Response {
            status: 200,
            content_type: "text/event-stream",
            fields: Vec::new(),
            body: Body::Events(event, Duration::from_millis(500)),
        },
        _ => not_found(request),
    }
}

/// One event in its wire format.
fn event(number: u64) -> String {
    let order = 7 + (number - 1) / 3 % 3;
    let state = ["paid", "packed", "shipped"][((number - 1) % 3) as usize];
    format!("id: {number}\nevent: order\ndata: {}\n\n", json!({ "id": order, "state": state }))
}

/// The landing page on `/`, a WebSocket on `/ws`, greetings on `/greet/{name}` and `/welcome/{name}`; everything else is told back.
pub fn echo(request: &Request) -> Response {
    match path_segments(request)[..] {
        [] => landing_page(request),
        ["ws"] => websocket(request),
        ["greet", name] => ok_json(json!({ "hello": name })),
        ["welcome", name] => ok_json(json!({ "welcome": name })),
        _ => echoed_headers(request),
    }
}

/// Agrees to a WebSocket, on which everything is said back.
fn websocket(request: &Request) -> Response {
    match request.websocket() {
        Some(proof) => Response {
            status: 101,
            content_type: "",
            fields: vec![("Sec-WebSocket-Accept", proof)],
            body: Body::Echo,
        },
        None => {
            let mut response = reply(426, json!({ "error": "here WebSocket is spoken" }));
            response.fields.push(("Upgrade", "websocket".into()));
            response
        }
    }
}

fn echoed_headers(request: &Request) -> Response {
    let fields = request.fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), json!(v)));
    ok_json(json!({
        "method": request.method,
        "path": request.path(),
        "query": request.query(),
        "headers": fields.collect::<serde_json::Map<_, _>>(),
        "body": String::from_utf8_lossy(&request.body),
    }))
}

/// HTML for browsers, text for terminals.
fn landing_page(request: &Request) -> Response {
    let html = request.field("accept").is_some_and(|accept| accept.contains("text/html"));
    let (kind, page) = match html {
        true => ("text/html; charset=utf-8", include_str!("landing.html")),
        false => ("text/plain; charset=utf-8", include_str!("landing.txt")),
    };
    Response { status: 200, content_type: kind, fields: Vec::new(), body: page.to_owned().into() }
}

/// The segments of the path.
fn path_segments(request: &Request) -> Vec<&str> {
    request.path().split('/').filter(|part| !part.is_empty()).collect()
}

fn ok_json(body: Value) -> Response {
    reply(200, body)
}

fn reply(status: u16, body: Value) -> Response {
    Response {
        status,
        content_type: "application/json",
        fields: Vec::new(),
        body: format!("{body}\n").into(),
    }
}

fn found(one: Option<Value>, kind: &str, id: &str) -> Response {
    one.map_or_else(|| reply(404, json!({ "error": format!("no {kind} {id}") })), ok_json)
}

fn not_found(request: &Request) -> Response {
    reply(404, json!({ "error": format!("nothing at {}", request.path()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, target: &str, body: &[u8]) -> Request {
        Request {
            method: method.into(),
            target: target.into(),
            fields: vec![("X-A".into(), "b".into())],
            body: body.into(),
        }
    }

    fn json(response: &Response) -> Value {
        serde_json::from_str(response.text()).unwrap()
    }

    #[test]
    fn the_catalog_says_which_instance_answered() {
        let one = catalog(2, &ask("GET", "/items/3?x=y", b""));
        assert_eq!((one.status, json(&one)["name"].as_str()), (200, Some("desk")));
        assert_eq!(one.fields, [("X-Instance", "catalog-2".to_owned())]);
        assert_eq!(catalog(1, &ask("GET", "/items/4", b"")).status, 404);
    }

    #[test]
    fn every_second_call_of_the_flaky_service_fails() {
        assert_eq!([1, 2, 3, 4].map(|call| flaky(call).status), [503, 200, 503, 200]);
    }

    #[test]
    fn an_order_is_created_with_what_was_sent() {
        let made = orders(&ask("POST", "/orders", br#"{"item":2}"#));
        assert_eq!((made.status, &json(&made)["order"]["item"]), (201, &json!(2)));
        assert_eq!(orders(&ask("DELETE", "/orders/7", b"")).status, 405);
    }

    #[test]
    fn the_echo_tells_everything_it_was_sent() {
        let told = json(&echo(&ask("PUT", "/any/thing?q=1", b"hi")));
        assert_eq!(
            told,
            json!({"method":"PUT","path":"/any/thing","query":"q=1","headers":{"x-a":"b"},"body":"hi"})
        );
    }

    #[test]
    fn an_order_is_paid_packed_and_shipped_before_the_next() {
        let ids: Vec<_> = [1, 3, 4, 10].map(event).into();
        assert_eq!(ids[0], "id: 1\nevent: order\ndata: {\"id\":7,\"state\":\"paid\"}\n\n");
        assert!(
            ids[1].contains(r#"{"id":7,"state":"shipped"}"#) && ids[2].contains(r#"{"id":8,"state":"paid"}"#)
        );
        assert!(ids[3].contains(r#"{"id":7,"state":"paid"}"#));
    }

    #[test]
    fn a_request_that_opens_no_websocket_is_told_what_is_spoken_here() {
        let refused = echo(&ask("GET", "/ws", b""));
        assert_eq!((refused.status, &refused.fields[0]), (426, &("Upgrade", "websocket".to_owned())));
    }

    #[test]
    fn a_browser_gets_html_and_a_terminal_text() {
        let mut browser = ask("GET", "/", b"");
        browser.fields.push(("Accept".into(), "text/html,*/*".into()));
        assert!(echo(&browser).text().starts_with("<!doctype html>"));
        assert!(echo(&ask("GET", "/", b"")).content_type.starts_with("text/plain"));
    }
}
