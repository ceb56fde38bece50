//! HTTP/2 from both ends: frames written by hand for what no client sends, and a client and a backend on the `h2`
//! crate for everything else.

#![allow(clippy::needless_pass_by_ref_mut, reason = "one request after the other is what the tests mean")]

use super::client::RESPONSE_TIMEOUT;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as received.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// A connection on which frames are written by hand.
pub struct Raw(TcpStream);

impl Raw {
    /// A connection whose preface and SETTINGS were sent.
    pub fn connect(address: SocketAddr) -> Raw {
        Raw::on(TcpStream::connect(address).expect("a connection"))
    }

    /// The same on an open connection.
    pub fn on(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT)).expect("a timeout");
        let mut raw = Raw(stream);
        raw.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(SETTINGS, 0, 0, b"");
        raw
    }

    /// Sends bytes; the gateway may have closed already.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("fits").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.bytes(&frame)
    }

    /// The next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this type.
    pub fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.frame()).find(|frame| frame.kind == kind)
    }

    /// What ends the stream: END_STREAM, RST_STREAM or GOAWAY.
    pub fn ended(&mut self, stream: u32) -> Option<Frame> {
        std::iter::from_fn(|| self.frame()).find(|frame| match frame.kind {
            GOAWAY => true,
            RST_STREAM => frame.stream == stream,
            DATA | HEADERS => frame.stream == stream && frame.flags & END_STREAM != 0,
            _ => false,
        })
    }
}

/// A header block of literal fields that are not indexed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            put_length(&mut out, text.len());
            out.extend(text.as_bytes());
        }
    }
    out
}

/// RFC 7541 5.1 with a prefix of seven bits.
fn put_length(out: &mut Vec<u8>, mut n: usize) {
    if n < 127 {
        return out.push(n as u8);
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push((n % 128 + 128) as u8);
        n /= 128;
    }
    out.push(n as u8);
}

/// The fields of a plain GET, followed by these.
pub fn get_with(more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")];
    block(&[&usual[..], more].concat())
}

/// Runs an HTTP/2 test on its own runtime, with a timeout.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(RESPONSE_TIMEOUT, test).await.expect("it ends in time") })
}

/// A client on the `h2` crate.
#[derive(Clone)]
pub struct Client(SendRequest<Bytes>);

/// A complete response.
#[derive(Debug)]
pub struct CompleteResponse {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl CompleteResponse {
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.as_ref()?.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A connection without TLS, with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Client(requests)
    }

    /// A connection over TLS, with HTTP/2 negotiated by ALPN.
    pub async fn secure(address: SocketAddr, name: &str, tls: &ClientConfig) -> Client {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Client(requests)
    }

    /// Sends a head; `last`: no body follows.
    pub async fn begin(&mut self, request: Request<()>, last: bool) -> (ResponseFuture, SendStream<Bytes>) {
        self.0.clone().ready().await.expect("room").send_request(request, last).expect("sent")
    }

    /// The response to a request without a body.
    pub async fn ask(&mut self, request: Request<()>) -> Result<CompleteResponse, h2::Error> {
        let (answer, _) = self.begin(request, true).await;
        whole(answer.await?).await
    }

    /// A GET on a connection that may be closed.
    pub async fn try_get(&mut self, path: &str) -> Result<CompleteResponse, h2::Error> {
        let (answer, _) = self.0.clone().ready().await?.send_request(request("GET", path, &[]), true)?;
        whole(answer.await?).await
    }

    pub async fn get(&mut self, path: &str) -> Result<CompleteResponse, h2::Error> {
        self.ask(request("GET", path, &[])).await
    }
}

/// A request head.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://gw.test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// Receives a response to its end.
pub async fn whole(answer: Response<RecvStream>) -> Result<CompleteResponse, h2::Error> {
    let (head, mut body) = answer.into_parts();
    let (bytes, trailers) = drain(&mut body).await?;
    Ok(CompleteResponse { head: Response::from_parts(head, ()), body: bytes, trailers })
}

/// Receives a body to its end.
pub async fn drain(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((bytes, body.trailers().await?))
}

/// The handler of HTTP/2 requests.
pub type Respond = h2::server::SendResponse<Bytes>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An HTTP/2 backend without TLS; it lives as long as the runtime.
pub async fn origin<F>(
    answer: impl Fn(Request<RecvStream>, Respond) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer: Arc<dyn Fn(Request<RecvStream>, Respond) -> Task + Send + Sync> =
        Arc::new(move |request, respond| Box::pin(answer(request, respond)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

/// Waits until the condition is true.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < RESPONSE_TIMEOUT, "it never came true");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
