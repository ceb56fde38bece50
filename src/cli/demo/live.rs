//! The sample service behind the hub of `/live`: the page, the event handler of the hub, and a server that publishes who is
//! present and the time over the data plane.

use super::services::not_found;
use crate::base::{date::Timestamp, percent::percent_decoded, url::HttpUrl};
use crate::net::http_client::{Client, Request as ClientRequest, RequestLimits};
use crate::pipeline::internal::Response;
use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{any, options, post},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::hmac;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use subtle::ConstantTimeEq;

/// The key of the hub service if `LIVE_KEY` is not set, as in `gateway.json`.
const DEFAULT_KEY: &str = "an-example-key-that-everyone-knows";
/// Where the hub service is mounted, as in `gateway.json`.
#[cfg(test)]
const MOUNT_PATH: &str = "/live/hub";
/// The path of the data plane that sends to the members of the room.
const SEND_PATH: &str = "/live/hub/api/hubs/live/groups/hall/:send";
/// The same for clients of SignalR.
const SIGNALR_SEND_PATH: &str = "/live/signalr/api/hubs/live/:send";
/// Longest text of a client.
const MAX_TEXT_BYTES: usize = 2000;
/// The time between two ticks.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Limits of a request to the data plane.
const LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(5), max_body: 1 << 16 };
/// Seconds for which a token is valid.
const TOKEN_LIFETIME_SECS: u64 = 60;

/// `/live`, `/events/{event}` and `/signalr/{event}`.
pub fn router() -> Router {
    let key = std::env::var("LIVE_KEY").ok().filter(|key| !key.is_empty());
    let live = Live { key: key.unwrap_or_else(|| DEFAULT_KEY.to_owned()), rooms: Default::default() };
    Router::new()
        .route("/live", any(page))
        .route("/events/{event}", options(permit).post(event))
        .route("/signalr/{event}", post(signalr_event))
        .fallback(not_found)
        .with_state(Arc::new(live))
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("live.html")).into_response()
}

/// Abuse protection: only the gateway knows the key with which events are signed, so any origin may send some.
async fn permit() -> Response {
    ([("webhook-allowed-origin", "*")], StatusCode::OK).into_response()
}

/// The connections of the room, while there are some.
#[derive(Debug, Default)]
struct Room {
    users: BTreeMap<String, String>,
    /// The number of changes.
    revision: u64,
    has_ticker: bool,
}

/// The protocol of clients, each with a room.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    WebPubSub,
    SignalR,
}

/// The service.
#[derive(Debug)]
struct Live {
    key: String,
    /// By protocol.
    rooms: [Mutex<Room>; 2],
}

/// An event of the hub: who connected or disconnected.
async fn event(State(live): State<Arc<Live>>, Path(event): Path<String>, fields: HeaderMap) -> StatusCode {
    let field = |name| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, origin) = (field("ce-connectionid"), field("webhook-request-origin").to_owned());
    if !live.is_signed(id, field("ce-signature")) {
        return StatusCode::UNAUTHORIZED;
    }
    let user = String::from_utf8_lossy(&percent_decoded(field("ce-userid").as_bytes(), false)).into_owned();
    live.announce(Protocol::WebPubSub, &event, id, user, &origin).await;
    StatusCode::NO_CONTENT
}

/// An event of the SignalR hub: who connected or disconnected, or what a client says.
async fn signalr_event(
    State(live): State<Arc<Live>>,
    Path(event): Path<String>,
    fields: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let field = |name| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, origin) = (field("x-asrs-connection-id"), field("x-gateway").to_owned());
    if !live.is_signed(id, field("x-asrs-signature")) {
        return StatusCode::UNAUTHORIZED;
    }
    let user =
        String::from_utf8_lossy(&percent_decoded(field("x-asrs-user-id").as_bytes(), false)).into_owned();
    match event.as_str() {
        "connected" | "disconnected" => live.announce(Protocol::SignalR, &event, id, user, &origin).await,
        "say" => {
            let invocation: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = invocation["arguments"][0].as_str().filter(|text| text.len() <= MAX_TEXT_BYTES);
            let Some(text) = text else { return StatusCode::BAD_REQUEST };
            let message = json!({ "type": "chat", "text": text, "from": user });
            live.publish(Protocol::SignalR, &origin, &message).await;
        }
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::NO_CONTENT
}

impl Live {
    /// Whether one of the signatures is that of the connection id.
    fn is_signed(&self, connection_id: &str, signatures: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes());
        let digits = hmac::sign(&key, connection_id.as_bytes());
        let digits: String = digits.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = format!("sha256={digits}");
        signatures.split(',').any(|signature| signature.as_bytes().ct_eq(expected.as_bytes()).into())
    }

    /// Publishes who is present after an event.
    async fn announce(
        self: &Arc<Self>,
        protocol: Protocol,
        event: &str,
        connection_id: &str,
        user: String,
        origin: &str,
    ) {
        let (message, starts_ticker) = self.change(protocol, event, connection_id, user);
        if starts_ticker {
            tokio::spawn(self.clone().tick(protocol, origin.to_owned()));
        }
        self.publish(protocol, origin, &message).await;
    }

    fn room(&self, protocol: Protocol) -> MutexGuard<'_, Room> {
        self.rooms[protocol as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies an event; returns who is present, and whether the ticker must be started.
    fn change(&self, protocol: Protocol, event: &str, connection_id: &str, user: String) -> (Value, bool) {
        let mut room = self.room(protocol);
        match event {
            "connected" => room.users.insert(connection_id.to_owned(), user),
            _ => room.users.remove(connection_id),
        };
        room.revision += 1;
        let starts_ticker = !room.users.is_empty() && !std::mem::replace(&mut room.has_ticker, true);
        let users: BTreeSet<&String> = room.users.values().collect();
        let message = json!({ "type": "presence", "users": users, "revision": room.revision });
        (message, starts_ticker)
    }

    /// Publishes the time while someone is present.
    async fn tick(self: Arc<Self>, protocol: Protocol, origin: String) {
        loop {
            tokio::time::sleep(TICK_INTERVAL).await;
            {
                let mut room = self.room(protocol);
                if room.users.is_empty() {
                    room.has_ticker = false;
                    return;
                }
            }
            let time = Timestamp(SystemTime::now()).to_string();
            self.publish(protocol, &origin, &json!({ "type": "tick", "time": time })).await;
        }
    }

    /// Sends a message to the room over the data plane of the gateway at this host and port.
    async fn publish(&self, protocol: Protocol, origin: &str, message: &Value) {
        let (path, body) = match protocol {
            Protocol::WebPubSub => (SEND_PATH, message.to_string()),
            Protocol::SignalR => {
                (SIGNALR_SEND_PATH, json!({ "target": "message", "arguments": [message] }).to_string())
            }
        };
        let url = format!("http://{origin}{path}?api-version=2024-12-01");
        let (Ok(url), Ok(token)) = (HttpUrl::parse(&url), self.token(&url)) else { return };
        let authorization = format!("Bearer {token}");
        let request = ClientRequest::new("POST", &url)
            .header("Authorization", &authorization)
            .header("Content-Type", "application/json")
            .body(body.as_bytes());
        match Client::default().send(&request, LIMITS).await {
            Ok(response) if response.status() == 202 => {}
            Ok(response) => log::warn!("live: the data plane responded with {}", response.status()),
            Err(error) => log::warn!("live: {error}"),
        }
    }

    /// A token for one request of the data plane.
    fn token(&self, url: &str) -> jsonwebtoken::errors::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({ "aud": url, "exp": now + TOKEN_LIFETIME_SECS });
        let key = EncodingKey::from_secret(self.key.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::services::tests::request, *};

    fn live() -> Live {
        Live { key: DEFAULT_KEY.to_owned(), rooms: Default::default() }
    }

    #[test]
    fn the_page_needs_no_build_and_names_the_routes_of_the_demo() {
        let (parts, page) = request(&router(), "GET", "/live", &[], "");
        assert!(parts.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        for path in
            ["/live/token", "/live/negotiate", "json.reliable.webpubsub.azure.v1", "/live/signalr-token"]
        {
            assert!(page.contains(path), "{path}");
        }
        assert!(SEND_PATH.starts_with(MOUNT_PATH));
    }

    #[test]
    fn an_event_without_the_signature_of_the_gateway_is_rejected() {
        let fields = [("ce-connectionId", "c"), ("ce-signature", "sha256=00")];
        assert_eq!(request(&router(), "POST", "/events/connected", &fields, "{}").0.status, 401);
        let fields = [("X-ASRS-Connection-Id", "c"), ("X-ASRS-Signature", "sha256=00")];
        assert_eq!(request(&router(), "POST", "/signalr/say", &fields, "{}").0.status, 401);
        let (parts, _) = request(&router(), "OPTIONS", "/events/validate", &[], "");
        assert_eq!(parts.headers["webhook-allowed-origin"], "*");
    }

    #[test]
    fn presence_names_every_user_once_and_the_ticker_starts_once() {
        let live = live();
        let (message, starts) = live.change(Protocol::WebPubSub, "connected", "c1", "ann".into());
        assert_eq!((&message["users"], starts), (&json!(["ann"]), true));
        let (message, starts) = live.change(Protocol::WebPubSub, "connected", "c2", "ann".into());
        assert_eq!((&message["users"], &message["revision"], starts), (&json!(["ann"]), &json!(2), false));
        live.change(Protocol::WebPubSub, "connected", "c3", "ben".into());
        live.change(Protocol::WebPubSub, "disconnected", "c1", String::new());
        let (message, _) = live.change(Protocol::WebPubSub, "disconnected", "c2", String::new());
        assert_eq!(message["users"], json!(["ben"]));
    }

    #[test]
    fn the_signature_is_that_of_the_connection() {
        let live = live();
        let key = hmac::Key::new(hmac::HMAC_SHA256, DEFAULT_KEY.as_bytes());
        let digits: String =
            hmac::sign(&key, b"c1").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(live.is_signed("c1", &format!("sha256=00,sha256={digits}")));
        assert!(!live.is_signed("c2", &format!("sha256={digits}")) && !live.is_signed("c1", ""));
    }
}
