//! WebSocket by a library of its own, on both ends.

use super::client::{PATIENCE, Request};
use super::wire::{Head, Wire};
use std::net::{SocketAddr, TcpStream};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// A key like any other.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The opening of a WebSocket.
pub fn opening(target: &str) -> Request {
    Request::get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// Whether a request is one.
pub fn is_opening(head: &Head) -> bool {
    head.lists("connection", "upgrade") && head.lists("upgrade", "websocket")
}

/// The answer that agrees to a key.
pub fn agreement(head: &Head, more: &str) -> String {
    let proof = derive_accept_key(head.get("sec-websocket-key").unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\n{more}\r\n"
    )
}

/// Serves an opening: agrees, then says back whatever is said, until the close.
pub fn echo(wire: &mut Wire, head: &Head) {
    let protocol = head.get("sec-websocket-protocol").and_then(|list| list.split(',').next_back());
    let more = protocol.map_or_else(String::new, |p| format!("Sec-WebSocket-Protocol: {}\r\n", p.trim()));
    if !wire.send(agreement(head, &more).as_bytes()) {
        return;
    }
    let mut socket = socket(wire, Role::Server);
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            let _ = socket.send(message);
        }
    }
}

/// The connection from here on.
pub fn socket(wire: &mut Wire, role: Role) -> WebSocket<TcpStream> {
    let stream = wire.stream.try_clone().expect("a second handle");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    WebSocket::from_partially_read(stream, wire.take(), role, None)
}

/// Opens a WebSocket; the head of the answer, and the connection where it is a 101.
pub fn open(address: SocketAddr, request: &Request) -> (Head, Option<WebSocket<TcpStream>>) {
    let mut wire = Wire::new(TcpStream::connect(address).expect("a connection"));
    wire.read_timeout(PATIENCE);
    wire.send(&request.bytes("gw"));
    let head = wire.head().expect("an answer");
    let socket = head.start.contains(" 101 ").then(|| socket(&mut wire, Role::Client));
    (head, socket)
}

/// The same where nothing else than a 101 is expected.
pub fn must_open(address: SocketAddr, request: &Request) -> WebSocket<TcpStream> {
    let (head, socket) = open(address, request);
    socket.unwrap_or_else(|| panic!("no WebSocket: {}", head.start))
}

/// Says something and waits for the same to come back.
pub fn says_back(socket: &mut WebSocket<TcpStream>, text: &str) -> bool {
    socket.send(Message::text(text)).is_ok()
        && socket.read().is_ok_and(|message| message == Message::text(text))
}
