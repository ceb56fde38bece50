//! Attacks on realtime hubs: tokens for other places, tokens of other kinds, tokens of other connections; no secret leaves.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::websocket::{must_open, open, opening};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};
use tungstenite::{Message, WebSocket};

const KEY: &str = "a key of the tests with more than 32 bytes";
const OTHER_KEY: &str = "another key with more than 32 bytes for now";
const BASE: &str = "http://rt.example:8080/rt";
const RELIABLE: &str = "json.reliable.webpubsub.azure.v1";
const VERSION: &str = "api-version=2024-12-01";

/// A service at `/rt` with the hub `chat`, and another one at `/other` with the same key.
fn gateway(handler: Option<u16>) -> Gateway {
    let handlers = handler.map(|port| {
        json!([{ "UrlTemplate": format!("http://127.0.0.1:{port}/{{event}}"), "UserEventPattern": "*",
            "SystemEvents": ["connect", "connected", "disconnected"] }])
    });
    let service = |url: &str, handlers: Value| {
        json!({ "Type": "WebPubSub", "Keys": [KEY, OTHER_KEY], "PublicUrls": [url],
            "Hubs": { "chat": { "EventHandlers": handlers }, "room": {} } })
    };
    let route = |path: &str, service: &str| {
        json!({ "UpstreamPathTemplate": format!("{path}/{{everything}}"), "DownstreamPathTemplate": "/{everything}",
            "DownstreamHubService": service })
    };
    let document = json!({
        "AccessLog": true,
        "HubServices": {
            "rt": service(BASE, handlers.unwrap_or_else(|| json!([]))),
            "other": service("http://rt.example:8080/other", json!([])),
        },
        "Routes": [route("/rt", "rt"), route("/other", "other")],
    });
    Gateway::start(&Setup::json(&document))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed(claims: &Value, algorithm: Algorithm, key: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// A valid token for this path of the host.
fn token(path: &str) -> String {
    let claims = json!({ "aud": format!("http://rt.example:8080{path}"), "exp": now() + 600, "sub": "ann" });
    signed(&claims, Algorithm::HS256, KEY)
}

fn handshake(gateway: &Gateway, query: &str) -> (u16, Value) {
    let response = gateway.ask(&opening(&format!("/rt/client/hubs/chat{query}")));
    (response.status, response.json())
}

fn reliable(gateway: &Gateway, query: &str) -> WebSocket<TcpStream> {
    let target = format!("/rt/client/hubs/chat?access_token={}{query}", token("/rt/client/hubs/chat"));
    must_open(gateway.address, &opening(&target).header("Sec-WebSocket-Protocol", RELIABLE))
}

/// The next text message.
fn next_json(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a message") {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// The code of the close frame that follows immediately.
fn close_code(socket: &mut WebSocket<TcpStream>) -> u16 {
    loop {
        match socket.read().expect("a close frame") {
            Message::Close(frame) => return frame.expect("a code").code.into(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("expected a close frame, found {other:?}"),
        }
    }
}

/// The claims of a valid token of a client.
fn valid_claims() -> Value {
    json!({ "aud": format!("{BASE}/client/hubs/chat"), "exp": now() + 600 })
}

/// Tokens that no handshake with the hub `chat` accepts.
fn hostile_tokens() -> Vec<String> {
    let with = |name: &str, value: Value| {
        let mut claims = valid_claims();
        claims[name] = value;
        signed(&claims, Algorithm::HS256, KEY)
    };
    let unsigned = token("/rt/client/hubs/chat").rsplit_once('.').unwrap().0.to_owned() + ".";
    let places =
        ["/rt/client/hubs/room", "/other/client/hubs/chat", "/client/hubs/chat", "/rt/api/hubs/chat/:send"];
    let tokens = [
        with("aud", json!("http://evil.example:8080/rt/client/hubs/chat")),
        with("aud", json!("http://rt.example:8080@evil.example/rt/client/hubs/chat")),
        with("aud", json!("http://user@rt.example:8080/rt/client/hubs/chat")),
        with("aud", json!(format!("{BASE}/client/hubs/chat/../room"))),
        with("aud", json!(format!("{BASE}/client/x/%2e%2e/hubs/chat"))),
        with("aud", json!([format!("{BASE}/client/hubs/room"), "https://evil.example"])),
        with("aud", json!(format!("{BASE}/client/hubs/chatter"))),
        with("aud", json!(null)),
        with("exp", json!(now() - 3600)),
        with("exp", json!("9999999999")),
        with("nbf", json!(now() + 3600)),
        signed(&valid_claims(), Algorithm::HS256, "a key that nobody configured for this service"),
        signed(&valid_claims(), Algorithm::HS512, KEY),
        signed(&valid_claims(), Algorithm::HS384, KEY),
        unsigned,
        String::new(),
        "nonsense".to_owned(),
    ];
    places.map(token).into_iter().chain(tokens).collect()
}

#[test]
fn handshakes_with_tokens_for_other_places_keys_times_and_algorithms_are_rejected() {
    let gateway = gateway(None);
    for attack in hostile_tokens() {
        let (status, problem) = handshake(&gateway, &format!("?access_token={attack}"));
        assert_eq!((status, &problem["code"]), (401, &"hub.token_invalid".into()), "{attack}");
        let text = problem.to_string();
        assert!(attack.len() < 20 || !text.contains(&attack), "the problem contains the token: {text}");
    }
    assert_eq!(handshake(&gateway, "").1["code"], "hub.token_missing");
    let valid = signed(&valid_claims(), Algorithm::HS256, OTHER_KEY);
    assert!(
        open(gateway.address, &opening(&format!("/rt/client/hubs/chat?access_token={valid}"))).1.is_some()
    );
}

#[test]
fn a_page_of_any_origin_can_read_why_its_request_was_rejected() {
    let gateway = gateway(None);
    let origin = "https://page.example";
    let ask = |request: Request| gateway.ask(&request.header("Origin", origin));
    let refused = ask(opening("/rt/client/hubs/chat?access_token=nonsense"));
    let unknown = ask(Request::new("POST", &format!("/rt/api/hubs/chat/nothing?{VERSION}")));
    for (response, status) in [(refused, 401), (unknown, 401)] {
        assert_eq!(response.status, status);
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some(origin));
        assert_eq!(response.header("Access-Control-Allow-Credentials"), Some("true"));
        assert_eq!(response.header("Vary"), Some("Origin"));
    }
}

#[test]
fn names_in_paths_may_contain_escaped_separators_beside_dots() {
    let gateway = gateway(None);
    for group in ["a%2F..%2Fb", "..%5C", "..;x"] {
        let path = format!("/rt/api/hubs/chat/groups/{group}/:send");
        let request = Request::new("POST", &format!("{path}?{VERSION}"))
            .header("Content-Type", "text/plain")
            .header("Authorization", &format!("Bearer {}", token(&path)));
        assert_eq!(gateway.ask(&request.body("x")).status, 202, "{group}");
    }
}

#[test]
fn the_data_plane_accepts_only_tokens_for_the_operation() {
    let gateway = gateway(None);
    let path = "/rt/api/hubs/chat/:send";
    let send = |token: &str, query: &str| {
        let request =
            Request::new("POST", &format!("{path}?{VERSION}{query}")).header("Content-Type", "text/plain");
        let request = if token.is_empty() {
            request
        } else {
            request.header("Authorization", &format!("Bearer {token}"))
        };
        gateway.ask(&request.body("x")).status
    };
    assert_eq!(send(&token(path), ""), 202);
    for attack in [
        "/rt/client/hubs/chat",
        "/rt/api/hubs/room/:send",
        "/other/api/hubs/chat/:send",
        "/rt/api/hubs/chat/users/u/:send",
        "/rt/api/hubs/chat/:closeConnections",
        "/rt/api/hubs/chat",
        "/rt/api/hubs/chat/x/../:sen",
        "/rt/api/hubs/chat/:send/x",
    ] {
        assert_eq!(send(&token(attack), ""), 401, "{attack}");
    }
    assert_eq!(send("", &format!("&access_token={}", token(path))), 401, "a token in the query");
    assert_eq!(send("", ""), 401);
}

#[test]
fn a_session_is_recovered_only_with_its_own_token() {
    let gateway = gateway(None);
    let (mut first, mut second) = (reliable(&gateway, ""), reliable(&gateway, ""));
    let (own, other) = (next_json(&mut first), next_json(&mut second));
    let id = own["connectionId"].as_str().unwrap();
    let own_token = own["reconnectionToken"].as_str().unwrap();
    let mut attacks = vec![
        other["reconnectionToken"].as_str().unwrap().to_owned(),
        id.to_owned(),
        token("/rt/client/hubs/chat"),
        own_token[..own_token.len() - 1].to_owned(),
        format!("{own_token}x"),
        String::new(),
    ];
    attacks.push(own_token.chars().rev().collect());
    for attack in attacks {
        let query = format!("&awps_connection_id={id}&awps_reconnection_token={attack}");
        let mut socket = reliable(&gateway, &query);
        assert_eq!(close_code(&mut socket), 1008, "{attack}");
    }
    let swapped = format!(
        "&awps_connection_id={}&awps_reconnection_token={own_token}",
        other["connectionId"].as_str().unwrap()
    );
    assert_eq!(close_code(&mut reliable(&gateway, &swapped)), 1008);
    let query = format!("&awps_connection_id={id}&awps_reconnection_token={own_token}");
    assert_eq!(next_json(&mut reliable(&gateway, &query))["connectionId"], id);
}

#[test]
fn no_token_and_no_key_is_in_a_log_or_in_a_request_to_a_handler() {
    let handler = Origin::with(|seen| match seen.method.as_str() {
        "OPTIONS" => StubResponse::new(200, "").header("WebHook-Allowed-Origin", "*"),
        _ => StubResponse::new(204, ""),
    });
    let gateway = gateway(Some(handler.port()));
    let secret = token("/rt/client/hubs/chat");
    let target = format!("/rt/client/hubs/chat?access_token={secret}&x=1");
    let request = opening(&target)
        .header("Authorization", &format!("Bearer {secret}"))
        .header("Cookie", "session=s3cret");
    let mut socket = must_open(gateway.address, &request.header("X-Mine", "yes"));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    handshake(&gateway, &format!("?access_token={secret}x"));
    gateway.logged(|record| record["status"] == 101).expect("a line of the connection");
    gateway.logged(|record| record["status"] == 401).expect("a line of the rejection");
    let signature = secret.rsplit_once('.').unwrap().1;
    let mut texts = vec![gateway.process.stdout(), gateway.process.stderr()];
    for seen in handler.seen() {
        texts.push(format!("{seen:?} {}", String::from_utf8_lossy(&seen.body)));
    }
    assert!(texts.len() >= 4, "a validation and events");
    assert!(texts.iter().any(|text| text.contains("x-mine")), "the other fields are forwarded");
    for text in texts {
        for secret in [signature, KEY, OTHER_KEY, "s3cret"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
