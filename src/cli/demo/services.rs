//! The sample services: catalog (two instances), orders, echo, one that fails every second call, and one that streams
//! server-sent events.

use crate::base::websocket::{accept_key, is_valid_key};
use crate::pipeline::internal::{Request, Response};
use crate::server::internal::{OnUpgrade, UpgradedStream};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    middleware::map_response,
    response::IntoResponse,
    routing::{any, get},
};
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

/// Maximum size of a request body of a sample service.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The time between two events.
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

const ITEMS: [(u32, &str, u32); 3] = [(1, "lamp", 4900), (2, "chair", 12900), (3, "desk", 25900)];
const ORDERS: [(u32, u32, &str); 3] = [(7, 1, "shipped"), (8, 3, "paid"), (9, 2, "open")];

/// The products; `X-Instance` is the instance that responded.
pub fn catalog(instance: u8) -> Router {
    let item = |(id, name, cents): &(u32, &str, u32)| json!({ "id": id, "name": name, "cents": cents });
    let list = move || async move { ok_json(ITEMS.iter().map(item).collect()) };
    let item_page = move |Path(id): Path<String>| async move {
        found(ITEMS.iter().find(|i| i.0.to_string() == id).map(item), "item", &id)
    };
    let with_instance = move |mut response: Response| async move {
        if let Ok(value) = HeaderValue::from_str(&format!("catalog-{instance}")) {
            response.headers_mut().insert(HeaderName::from_static("x-instance"), value);
        }
        response
    };
    let router = Router::new().route("/items", any(list)).route("/items/{id}", any(item_page));
    router.fallback(not_found).layer(map_response(with_instance))
}

/// The orders of customers; a POST receives 201 with the created order.
pub fn orders() -> Router {
    let order = |(id, item, state): &(u32, u32, &str)| json!({ "id": id, "item": item, "state": state });
    let list = move || async move { ok_json(ORDERS.iter().map(order).collect()) };
    let order_page = move |Path(id): Path<String>| async move {
        found(ORDERS.iter().find(|o| o.0.to_string() == id).map(order), "order", &id)
    };
    Router::new()
        .route("/orders", get(list).post(create_order).fallback(method_not_allowed))
        .route("/orders/{id}", get(order_page).fallback(method_not_allowed))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn create_order(body: Bytes) -> Response {
    let sent = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut response = reply(StatusCode::CREATED, json!({ "id": 10, "state": "open", "order": sent }));
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/orders/10"));
    response
}

/// Fails every second call; returns the number of the call.
pub fn flaky() -> Router {
    let calls = Arc::new(AtomicU64::new(0));
    let call = |State(calls): State<Arc<AtomicU64>>| async move {
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        match call % 2 {
            0 => ok_json(json!({ "call": call })),
            _ => reply(
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "error": "every second call fails", "call": call }),
            ),
        }
    };
    Router::new().fallback(call).with_state(calls)
}

/// The progress of orders as server-sent events, two per second, until the client closes the connection.
pub fn events() -> Router {
    let stream = || async {
        let events = stream::unfold(1, |number| async move {
            if number > 1 {
                tokio::time::sleep(EVENT_INTERVAL).await;
            }
            Some((Ok::<_, Infallible>(event(number)), number + 1))
        });
        let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        (fields, Body::from_stream(events)).into_response()
    };
    Router::new().route("/events", any(stream)).fallback(not_found)
}

/// One event in its wire format.
fn event(number: u64) -> String {
    let order = 7 + (number - 1) / 3 % 3;
    let state = ["paid", "packed", "shipped"][((number - 1) % 3) as usize];
    format!("id: {number}\nevent: order\ndata: {}\n\n", json!({ "id": order, "state": state }))
}

/// The landing page on `/`, a WebSocket echo on `/ws`, greetings on `/greet/{name}` and `/welcome/{name}`; everything
/// else returns the request.
pub fn echo() -> Router {
    let greet = |Path(name): Path<String>| async move { ok_json(json!({ "hello": name })) };
    let welcome = |Path(name): Path<String>| async move { ok_json(json!({ "welcome": name })) };
    Router::new()
        .route("/", any(landing_page))
        .route("/ws", any(websocket))
        .route("/greet/{name}", any(greet))
        .route("/welcome/{name}", any(welcome))
        .fallback(echoed_request)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Accepts a WebSocket that returns each message (RFC 6455 4.2.2).
async fn websocket(request: Request) -> Response {
    let key = request.headers().get("sec-websocket-key").map(HeaderValue::as_bytes);
    let (Some(upgrade), Some(key)) =
        (request.extensions().get::<OnUpgrade>().cloned(), key.filter(|key| is_valid_key(key)))
    else {
        let mut response =
            reply(StatusCode::UPGRADE_REQUIRED, json!({ "error": "this path supports WebSocket only" }));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    tokio::spawn(async move {
        if let Ok(stream) = upgrade.stream().await {
            echo_messages(stream).await;
        }
    });
    let accept = [("sec-websocket-accept", accept_key(key))];
    (StatusCode::SWITCHING_PROTOCOLS, accept).into_response()
}

async fn echo_messages(stream: UpgradedStream) {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn echoed_request(method: Method, uri: Uri, fields: HeaderMap, body: Bytes) -> Response {
    let text = |value: &HeaderValue| json!(String::from_utf8_lossy(value.as_bytes()));
    let fields = fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    ok_json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query().unwrap_or_default(),
        "headers": fields.collect::<serde_json::Map<_, _>>(),
        "body": String::from_utf8_lossy(&body),
    }))
}

/// HTML for browsers, text for terminals.
async fn landing_page(fields: HeaderMap) -> Response {
    let accept = fields.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (content_type, page) = match accept.contains("text/html") {
        true => ("text/html; charset=utf-8", include_str!("landing.html")),
        false => ("text/plain; charset=utf-8", include_str!("landing.txt")),
    };
    ([(header::CONTENT_TYPE, content_type)], page).into_response()
}

fn ok_json(body: Value) -> Response {
    reply(StatusCode::OK, body)
}

/// A JSON document that ends with a line break, for terminals.
pub fn reply(status: StatusCode, body: Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

fn found(item: Option<Value>, kind: &str, id: &str) -> Response {
    item.map_or_else(|| reply(StatusCode::NOT_FOUND, json!({ "error": format!("no {kind} {id}") })), ok_json)
}

async fn method_not_allowed(method: Method) -> Response {
    reply(StatusCode::METHOD_NOT_ALLOWED, json!({ "error": format!("{method} is not supported") }))
}

/// The response for unknown paths.
pub async fn not_found(uri: Uri) -> Response {
    reply(StatusCode::NOT_FOUND, json!({ "error": format!("nothing at {}", uri.path()) }))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tower::ServiceExt;

    /// The response of a service to a request, and its body.
    pub fn request(
        service: &Router,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> (http::response::Parts, String) {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            (parts, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn ask(service: &Router, method: &str, target: &str, body: &str) -> (u16, HeaderMap, Value) {
        let (parts, body) = request(service, method, target, &[("X-A", "b")], body);
        (parts.status.as_u16(), parts.headers, serde_json::from_str(&body).unwrap_or_default())
    }

    #[test]
    fn the_catalog_names_the_instance_that_responded() {
        let (status, fields, item) = ask(&catalog(2), "GET", "/items/3?x=y", "");
        assert_eq!((status, item["name"].as_str()), (200, Some("desk")));
        assert_eq!(fields["x-instance"], "catalog-2");
        let (status, fields, _) = ask(&catalog(1), "GET", "/other", "");
        assert_eq!((status, fields["x-instance"].to_str().unwrap()), (404, "catalog-1"));
        assert_eq!(ask(&catalog(1), "GET", "/items/4", "").0, 404);
    }

    #[test]
    fn every_second_call_of_the_flaky_service_fails() {
        let service = flaky();
        assert_eq!([1, 2, 3, 4].map(|_| ask(&service, "GET", "/", "").0), [503, 200, 503, 200]);
    }

    #[test]
    fn an_order_is_created_with_what_was_sent() {
        let (status, fields, order) = ask(&orders(), "POST", "/orders", r#"{"item":2}"#);
        assert_eq!((status, &order["order"]["item"]), (201, &json!(2)));
        assert_eq!(fields["location"], "/orders/10");
        assert_eq!(ask(&orders(), "DELETE", "/orders/7", "").0, 405);
    }

    #[test]
    fn the_echo_returns_the_whole_request() {
        let (_, _, echoed) = ask(&echo(), "PUT", "/any/thing?q=1", "hi");
        let expected =
            json!({"method":"PUT","path":"/any/thing","query":"q=1","headers":{"x-a":"b"},"body":"hi"});
        assert_eq!(echoed, expected);
    }

    #[test]
    fn an_order_is_paid_packed_and_shipped_before_the_next() {
        let [first, third, fourth, tenth] = [1, 3, 4, 10].map(event);
        assert_eq!(first, "id: 1\nevent: order\ndata: {\"id\":7,\"state\":\"paid\"}\n\n");
        assert!(
            third.contains(r#"{"id":7,"state":"shipped"}"#) && fourth.contains(r#"{"id":8,"state":"paid"}"#)
        );
        assert!(tenth.contains(r#"{"id":7,"state":"paid"}"#));
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_streamed_one_by_one() {
        let request = http::Request::get("/events").body(Body::empty()).unwrap();
        let response = events().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = response.into_body().into_data_stream();
        for number in 1..4 {
            let data = events.next().await.unwrap().unwrap();
            assert!(data.starts_with(format!("id: {number}\n").as_bytes()), "{data:?}");
        }
    }

    #[test]
    fn a_plain_request_for_the_websocket_receives_426() {
        let (status, fields, _) = ask(&echo(), "GET", "/ws", "");
        assert_eq!((status, fields["upgrade"].to_str().unwrap()), (426, "websocket"));
    }

    #[test]
    fn a_browser_receives_html_and_a_terminal_text() {
        let (_, page) = request(&echo(), "GET", "/", &[("Accept", "text/html,*/*")], "");
        assert!(page.starts_with("<!doctype html>"));
        let (parts, _) = request(&echo(), "GET", "/", &[], "");
        assert!(parts.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    }
}
