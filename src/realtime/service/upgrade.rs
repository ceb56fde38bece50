//! WebSocket handshakes of clients of both types.

use crate::base::websocket::{accept_key, is_valid_key};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    head::Head,
    response::Response,
    upgrade::{ConnectionService, Upgrade, UpgradePeer},
};
use crate::realtime::engine::Engine;
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// The value of `Sec-WebSocket-Accept`; `None`: the request is no handshake of version 13.
pub fn accept(request: &Head) -> Option<String> {
    let key = request.get(b"Sec-WebSocket-Key").unwrap_or_default();
    let is_handshake = request.method() == b"GET"
        && is_valid_key(key)
        && request.get(b"Sec-WebSocket-Version") == Some(b"13");
    is_handshake.then(|| accept_key(key))
}

/// The request is no handshake of version 13.
pub fn required() -> GatewayError {
    let detail = "clients connect to this path with a WebSocket handshake of version 13";
    GatewayError::new(ErrorCode::HubUpgradeRequired, detail)
        .with_details(|details| details.headers.push(("Sec-WebSocket-Version".into(), "13".into())))
}

/// The response 101.
pub fn switch(accept: &str, subprotocol: Option<&str>, service: Box<dyn ConnectionService>) -> Response {
    let mut head = Head::response(101, b"Switching Protocols");
    head.append(b"Sec-WebSocket-Accept", accept.as_bytes());
    if let Some(name) = subprotocol {
        head.append(b"Sec-WebSocket-Protocol", name.as_bytes());
    }
    let upgrade = Upgrade { peer: UpgradePeer::Service(service), guards: SmallVec::new() };
    Response { head, upgrade: Some(Box::new(upgrade)), ..Response::default() }
}

/// New connections are refused while the gateway drains.
pub fn check_draining(engine: &Engine) -> Result<(), GatewayError> {
    match engine.shared.is_draining.load(Relaxed) {
        false => Ok(()),
        true => {
            let detail = "the gateway is shutting down and accepts no new connections";
            Err(GatewayError::new(ErrorCode::GatewayDraining, detail))
        }
    }
}
