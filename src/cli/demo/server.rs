//! A small HTTP/1.1 server for the sample services: keep-alive, fixed and chunked bodies, streams of events and WebSocket
//! echoes, nothing more. It listens on loopback only and is not what the gateway itself is built from.

use crate::base::websocket;
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

/// Longest head and longest body a sample service takes.
const HEAD_BYTES: usize = 64 * 1024;
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// What a service is asked.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path with query, as received.
    pub target: String,
    /// Names as received, in order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, empty when there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The proof for the key of a WebSocket opening (RFC 6455 4.2.2), if this is one.
    pub fn websocket(&self) -> Option<String> {
        let key = self.field("sec-websocket-key").filter(|key| websocket::is_valid_key(key.as_bytes()))?;
        self.websocket_key("upgrade", "websocket").then(|| websocket::accept_key(key.as_bytes()))
    }

    fn websocket_key(&self, name: &str, token: &str) -> bool {
        self.field(name).is_some_and(|value| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }
}

/// What it answers.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub fields: Vec<(&'static str, String)>,
    pub body: Body,
}

/// What follows the head of an answer.
#[derive(Debug)]
pub enum Body {
    Full(Vec<u8>),
    /// One event after the other, made from its number, with a pause between two; it ends when the client leaves.
    Events(fn(u64) -> String, Duration),
    /// A WebSocket on which everything is said back.
    Echo,
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Full(text.into())
    }
}

/// A service: a pure function.
pub type Service = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// Serves everything that connects, until the runtime ends.
pub async fn serve(listener: TcpListener, service: Service) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = service.clone();
        tokio::spawn(async move { connection(stream, service).await });
    }
}

async fn connection(mut stream: TcpStream, service: Service) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::with_capacity(4096);
    while let Some(request) = next(&mut stream, &mut read).await? {
        let last = request.websocket_key("connection", "close");
        let response = service(&request);
        stream.write_all(&encode(&response, &request.method, last)).await?;
        match response.body {
            Body::Full(_) if last => break,
            Body::Full(_) => {}
            Body::Events(event, pause) => return events(stream, event, pause).await,
            Body::Echo => {
                echo(stream, read).await;
                return Ok(());
            }
        }
    }
    stream.shutdown().await
}

fn encode(response: &Response, method: &str, last: bool) -> Vec<u8> {
    let Response { status, content_type: kind, fields, body } = response;
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(*status));
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let close = if last { "Connection: close\r\n" } else { "" };
    let rest = match body {
        Body::Full(body) => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n{close}", body.len()),
        Body::Events(..) => {
            format!("Content-Type: {kind}\r\nCache-Control: no-store\r\nConnection: close\r\n")
        }
        Body::Echo => "Connection: Upgrade\r\nUpgrade: websocket\r\n".into(),
    };
    let mut out = (head + &rest + "\r\n").into_bytes();
    if let (Body::Full(body), true) = (body, method != "HEAD") {
        out.extend_from_slice(body);
    }
    out
}

/// Sends events until the client leaves.
async fn events(mut stream: TcpStream, event: fn(u64) -> String, pause: Duration) -> io::Result<()> {
    let mut left = [0; 1];
    for number in 1.. {
        stream.write_all(event(number).as_bytes()).await?;
        tokio::select! {
            _ = stream.read(&mut left) => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

/// Says back what is said, until the close; `read` is what came behind the opening.
async fn echo(stream: TcpStream, read: Vec<u8>) {
    let mut socket = WebSocketStream::from_partially_read(stream, read, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let said = message.is_text() || message.is_binary();
        if said && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// The next request; none when the client is done. Anything odd is an error, which closes the connection.
async fn next(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if read.len() > HEAD_BYTES {
            return Err(invalid_data("a head this long is not for a sample service"));
        }
        if stream.read_buf(read).await? == 0 {
            return if read.is_empty() { Ok(None) } else { Err(invalid_data("the head ended early")) };
        }
    };
    let mut request = head(&read[..end]).ok_or_else(|| invalid_data("not a request"))?;
    read.drain(..end);
    if request.websocket_key("expect", "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    request.body = body(&request, stream, read).await?;
    Ok(Some(request))
}

fn head(bytes: &[u8]) -> Option<Request> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let field = |line: &str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    Some(Request { method, target, fields: lines.map(field).collect::<Option<_>>()?, body: Vec::new() })
}

async fn body(request: &Request, stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    if request.websocket_key("transfer-encoding", "chunked") {
        return chunked(stream, read).await;
    }
    let length = request
        .field("content-length")
        .map_or(Ok(0), str::parse)
        .map_err(|_| invalid_data("not a length"))?;
    read_exact_bytes(stream, read, length).await
}

async fn chunked(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = read_line(stream, read).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid_data("not a chunk"))?;
        if size == 0 {
            break;
        }
        whole.extend(read_exact_bytes(stream, read, size).await?);
        line_end(&self::read_line(stream, read).await?)?;
        if whole.len() > BODY_BYTES {
            return Err(invalid_data("a body this long is not for a sample service"));
        }
    }
    while !read_line(stream, read).await?.is_empty() {}
    Ok(whole)
}

fn line_end(line: &str) -> io::Result<()> {
    if line.is_empty() { Ok(()) } else { Err(invalid_data("a chunk is longer than it says")) }
}

/// A line without its end.
async fn read_line(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(at) = read.windows(2).position(|w| w == b"\r\n") {
            let line = String::from_utf8_lossy(&read[..at]).into_owned();
            read.drain(..at + 2);
            return Ok(line);
        }
        if read.len() > HEAD_BYTES || stream.read_buf(read).await? == 0 {
            return Err(invalid_data("the body ended early"));
        }
    }
}

/// Exactly so many bytes.
async fn read_exact_bytes(stream: &mut TcpStream, read: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_BYTES {
        return Err(invalid_data("a body this long is not for a sample service"));
    }
    while read.len() < length {
        if stream.read_buf(read).await? == 0 {
            return Err(invalid_data("the body ended early"));
        }
    }
    Ok(read.drain(..length).collect())
}

fn invalid_data(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
impl Response {
    /// The body of an answer that is there as a whole.
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Full(body) => std::str::from_utf8(body).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends these bytes to a service that answers with the body it got, and reads until it closes.
    async fn exchange(bytes: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let echo = |r: &Request| Response {
            status: 200,
            content_type: "text/plain",
            fields: vec![],
            body: Body::Full(r.body.clone()),
        };
        let server = tokio::spawn(serve(listener, Arc::new(echo)));
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn requests_on_one_connection_are_answered_in_order() {
        let two =
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\noneHEAD / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let answer = exchange(two).await;
        assert!(answer.contains("Content-Length: 3\r\n\r\noneHTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("Connection: close\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_chunked_body_arrives_whole() {
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\n2;x=y\r\n++\r\n0\r\nA: b\r\n\r\n";
        assert!(exchange(chunked).await.ends_with("\r\n\r\none++"));
    }

    /// A service, and a connection to it.
    async fn connected(service: fn(&Request) -> Response) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(serve(listener, Arc::new(service)));
        stream
    }

    #[tokio::test]
    async fn events_come_one_by_one() {
        let mut stream = connected(|_| Response {
            status: 200,
            content_type: "text/event-stream",
            fields: vec![],
            body: Body::Events(|number| format!("data: {number}\n\n"), Duration::from_millis(1)),
        })
        .await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"data: 3\n\n") {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        }
        let text = String::from_utf8(read).unwrap();
        assert!(text.contains("close\r\n\r\ndata: 1\n\ndata: 2\n\n"), "{text}");
    }

    #[tokio::test]
    async fn what_is_said_on_a_websocket_is_said_back() {
        let stream = connected(super::super::services::echo).await;
        let (mut socket, _) = tokio_tungstenite::client_async("ws://gw/ws", stream).await.unwrap();
        socket.send("hello".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "hello");
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
    }

    #[tokio::test]
    async fn what_is_not_http_closes_the_connection() {
        assert_eq!(exchange(b"hello\r\n\r\n").await, "");
    }
}
