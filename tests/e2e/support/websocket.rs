//! WebSocket by another library (tungstenite), on both ends.

use super::client::{RESPONSE_TIMEOUT, Request};
use super::http1_reader::{Head, Http1Stream};
use super::ports;
use futures_util::{SinkExt, StreamExt};
use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// An arbitrary valid key.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The opening handshake of a WebSocket.
pub fn opening(target: &str) -> Request {
    Request::get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// Whether a request is a handshake.
pub fn is_opening(head: &Head) -> bool {
    head.lists("connection", "upgrade") && head.lists("upgrade", "websocket")
}

/// The response that accepts a key.
pub fn agreement(head: &Head, more: &str) -> String {
    let proof = derive_accept_key(head.get("sec-websocket-key").unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\n{more}\r\n"
    )
}

/// Serves a handshake: accepts it, then echoes every message until the close.
pub fn echo(wire: &mut Http1Stream, head: &Head) {
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

/// The connection after the handshake.
pub fn socket(wire: &mut Http1Stream, role: Role) -> WebSocket<TcpStream> {
    let stream = wire.stream.try_clone().expect("a second handle");
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT)).expect("a timeout");
    WebSocket::from_partially_read(stream, wire.take(), role, None)
}

/// Opens a WebSocket; returns the response head, and the connection after a 101.
pub fn open(address: SocketAddr, request: &Request) -> (Head, Option<WebSocket<TcpStream>>) {
    let mut wire = Http1Stream::new(TcpStream::connect(address).expect("a connection"));
    wire.read_timeout(RESPONSE_TIMEOUT);
    wire.send(&request.bytes("gw"));
    let head = wire.head().expect("a response");
    let socket = head.start.contains(" 101 ").then(|| socket(&mut wire, Role::Client));
    (head, socket)
}

/// The same where a 101 is expected.
pub fn must_open(address: SocketAddr, request: &Request) -> WebSocket<TcpStream> {
    let (head, socket) = open(address, request);
    socket.unwrap_or_else(|| panic!("no WebSocket: {}", head.start))
}

/// Sends a message and waits for its echo.
pub fn says_back(socket: &mut WebSocket<TcpStream>, text: &str) -> bool {
    socket.send(Message::text(text)).is_ok()
        && socket.read().is_ok_and(|message| message == Message::text(text))
}

/// Runs a test on its own runtime, with a timeout.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(4 * RESPONSE_TIMEOUT, test).await.expect("it ends in time") })
}

/// An echo backend for thousands of concurrent connections; it stops when dropped.
pub struct EchoBackend {
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl EchoBackend {
    /// Over TLS if a configuration is given.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> EchoBackend {
        let listener = ports::listener();
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("non-blocking");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! { () = echo_backend(listener, tls) => {}, _ = stopped => {} }
            });
        });
        EchoBackend { address, _stop: stop }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn echo_backend(listener: tokio::net::TcpListener, tls: Option<Arc<ServerConfig>>) {
    let acceptor = tls.map(TlsAcceptor::from);
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => parrot(stream).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        parrot(stream).await;
                    }
                }
            }
        });
    }
}

/// Echoes one connection, then lets the client read it to the end.
async fn parrot(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let is_message = message.is_text() || message.is_binary();
        if is_message && socket.send(message).await.is_err() {
            break;
        }
    }
    let stream = socket.get_mut();
    let _ = stream.shutdown().await;
    let mut rest = [0; 4096];
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    })
    .await;
}
