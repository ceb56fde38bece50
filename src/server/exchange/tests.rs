//! Exchanges of a gateway whose only target is an internal service, with a scripted client.

use super::*;
use crate::{
    pipeline::{
        body::Framing,
        exchange::Peer,
        head::Head,
        internal::{InternalService, Request, ServiceRegistry},
    },
    plan::ListenerPlan,
    server::{
        connection::ConnectionContext, internal::OnUpgrade, internal_gateway::internal_gateway,
        scripted_client::ScriptedClient, worker::Worker,
    },
};
use axum::{Router, body::Body, response::IntoResponse, routing::any};
use futures_util::stream;
use http::StatusCode;

/// A worker, a connection of a client, and the exchange.
struct Scene {
    worker: Worker,
    connection: ConnectionContext,
    exchange: Box<Exchange>,
}

impl Scene {
    fn new(method: &str, target: &str, fields: &[(&str, &str)]) -> Scene {
        let router = Router::new()
            .route("/hello", any(|| async { "hello" }))
            .route("/pending", any(std::future::pending::<()>))
            .route("/broken", any(broken))
            .route("/ws", any(switch));
        let mut services = ServiceRegistry::default();
        services.add(InternalService::new("pages", router));
        let worker = Worker { index: 0, gateway: internal_gateway(services, 8).unwrap() };
        let address = "127.0.0.1:1".parse().unwrap();
        let peer = Peer::new(address, address, false);
        let connection = ConnectionContext::plain(peer, ListenerPlan::plain("pages", address));
        let mut exchange = connection.new_exchange(&worker, Instant::now());
        exchange.request = Head::request(method.as_bytes(), target.as_bytes());
        exchange.request.version = Version::Http11;
        exchange.request.append(b"Host", b"gw.test");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        Scene { worker, connection, exchange }
    }

    async fn serve(&mut self, client: &mut ScriptedClient) -> NextAction {
        let plan = self.worker.plan();
        let ctx = Context {
            connection: &self.connection,
            exchange: &mut self.exchange,
            plan: &plan,
            worker: &self.worker,
        };
        handle_exchange(client, ctx).await
    }
}

async fn broken() -> Body {
    Body::from_stream(stream::iter([Ok("one"), Err(std::io::Error::other("disk"))]))
}

async fn switch(request: Request) -> impl IntoResponse {
    let upgrade = request.extensions().get::<OnUpgrade>().cloned().unwrap();
    tokio::spawn(upgrade.stream());
    StatusCode::SWITCHING_PROTOCOLS
}

fn client() -> ScriptedClient {
    ScriptedClient::with_body(&[])
}

#[tokio::test]
async fn a_connection_is_kept_alive_after_a_complete_response() {
    let (mut scene, mut client) = (Scene::new("GET", "/hello", &[]), client());
    assert!(matches!(scene.serve(&mut client).await, NextAction::KeepAlive(_)));
    assert_eq!(client.head, Some((200, Framing::Length(5), true)));
    assert_eq!((&client.body[..], client.is_ended), (&b"hello"[..], true));
    assert_eq!((scene.exchange.record.status, scene.exchange.record.bytes_out), (200, 5));
}

#[tokio::test]
async fn a_connection_is_closed_if_the_client_or_the_gateway_requests_it() {
    for (fields, version, draining) in [
        (&[("Connection", "close")][..], Version::Http11, false),
        (&[], Version::Http10, false),
        (&[], Version::Http11, true),
    ] {
        let (mut scene, mut client) = (Scene::new("GET", "/hello", fields), client());
        client.version = version;
        if draining {
            scene.worker.gateway.drain.begin();
        }
        assert!(matches!(scene.serve(&mut client).await, NextAction::Linger));
        assert!(client.head.is_some_and(|(status, _, keep)| status == 200 && !keep));
    }
}

#[tokio::test]
async fn http_1_0_with_keep_alive_keeps_its_connection() {
    let (mut scene, mut client) = (Scene::new("GET", "/hello", &[("Connection", "keep-alive")]), client());
    client.version = Version::Http10;
    assert!(matches!(scene.serve(&mut client).await, NextAction::KeepAlive(_)));
}

#[tokio::test]
async fn head_receives_no_body() {
    let (mut scene, mut client) = (Scene::new("HEAD", "/hello", &[]), client());
    scene.serve(&mut client).await;
    assert_eq!((client.head, &client.body[..]), (Some((200, Framing::None, true)), &b""[..]));
    assert_eq!(client.fields.get(b"content-length"), Some(&b"5"[..]));
}

#[tokio::test]
async fn an_error_becomes_a_problem_and_keeps_the_connection() {
    let (mut scene, mut client) = (Scene::new("GET", "/%zz", &[]), client());
    scene.connection = ConnectionContext::plain(
        scene.connection.peer,
        ListenerPlan::plain("other", scene.connection.peer.address),
    );
    assert!(matches!(scene.serve(&mut client).await, NextAction::KeepAlive(_) | NextAction::Linger));
    let problem: serde_json::Value = serde_json::from_slice(&client.body).unwrap();
    assert_eq!(
        Some(problem["code"].as_str().unwrap()),
        scene.exchange.record.error_code.map(ErrorCode::name)
    );
    assert!(client.fields.get(b"date").is_some());
}

#[tokio::test]
async fn a_client_that_closed_receives_nothing_and_is_logged_as_499() {
    let (mut scene, mut client) = (Scene::new("GET", "/pending", &[]), client());
    client.is_closed = true;
    assert!(matches!(scene.serve(&mut client).await, NextAction::Close));
    assert_eq!((client.head, scene.exchange.record.status), (None, 499));
}

#[tokio::test]
async fn a_truncated_response_is_visible_to_the_client() {
    let (mut scene, mut client) = (Scene::new("GET", "/broken", &[]), client());
    assert!(matches!(scene.serve(&mut client).await, NextAction::Linger));
    assert_eq!((&client.body[..], client.is_ended), (&b"one"[..], false));
    assert_eq!(scene.exchange.record.error_code, Some(ErrorCode::GatewayInternal));
}

#[tokio::test]
async fn a_truncated_body_delimited_by_close_resets_the_connection() {
    let (mut scene, mut client) = (Scene::new("GET", "/broken", &[]), client());
    client.version = Version::Http10;
    assert!(matches!(scene.serve(&mut client).await, NextAction::Close));
    assert!(matches!(client.head, Some((200, Framing::UntilClose, false))));
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let opening = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let (mut scene, mut client) = (Scene::new("GET", "/ws", &opening), client());
    let next = scene.serve(&mut client).await;
    assert!(matches!(next, NextAction::Tunnel(_, label) if &*label == "/{everything}"));
    assert!(client.is_upgraded && client.head.is_none());
}

#[tokio::test]
async fn a_rejected_head_ends_the_connection() {
    let (mut scene, mut client) = (Scene::new("GET", "/hello", &[]), client());
    let plan = scene.worker.plan();
    let ctx = Context {
        connection: &scene.connection,
        exchange: &mut scene.exchange,
        plan: &plan,
        worker: &scene.worker,
    };
    let next = reject_request(&mut client, ctx, GatewayError::malformed_request("a bad head")).await;
    assert!(matches!(next, NextAction::Linger));
    assert!(client.head.is_some_and(|(status, _, keep)| status == 400 && !keep));
}
