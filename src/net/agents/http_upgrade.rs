//! The HTTP/1.1 upgrade of agents and connectors, on the side that requests it.

use crate::{
    base::websocket::accept_key,
    net::websocket::{WebSocketRole, WebSocketStream},
    pipeline::upgrade::UpgradedIo,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fmt::Write,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Longest head of a response, and longest body of a refusal that is read.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The request of an upgrade.
#[derive(Clone, Debug)]
pub struct UpgradeRequest<'r> {
    pub path: &'r str,
    pub host: &'r str,
    /// The value of `Upgrade`, and the subprotocol for the same on a WebSocket.
    pub protocol: &'static str,
    pub subprotocol: &'static str,
    pub is_websocket: bool,
    pub fields: Vec<(&'static str, String)>,
}

/// Why an upgrade failed.
#[derive(Debug)]
pub enum UpgradeError {
    Io(io::Error),
    /// The answer is not 101; the error code of a problem of a gateway.
    Refused {
        status: u16,
        code: Option<String>,
        detail: Option<String>,
    },
}

impl From<io::Error> for UpgradeError {
    fn from(error: io::Error) -> UpgradeError {
        UpgradeError::Io(error)
    }
}

/// Requests the upgrade; returns the stream that follows.
pub async fn upgrade(
    mut io: Box<dyn UpgradedIo>,
    request: &UpgradeRequest<'_>,
) -> Result<Box<dyn UpgradedIo>, UpgradeError> {
    let key = STANDARD.encode(std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)));
    io.write_all(request_head(request, &key).as_bytes()).await?;
    io.flush().await?;
    let (head, rest) = read_head(&mut io).await?;
    let head = ResponseHead::parse(&head).ok_or_else(|| invalid("the answer is not HTTP"))?;
    if head.status != 101 {
        return Err(refusal(&head, rest, &mut io).await);
    }
    let is_accepted = match request.is_websocket {
        true => head.get("sec-websocket-accept") == Some(&accept_key(key.as_bytes())),
        false => head.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(request.protocol)),
    };
    if !is_accepted {
        return Err(invalid("the gateway accepted another upgrade").into());
    }
    let io = PrefixedIo { prefix: rest, at: 0, io };
    match request.is_websocket {
        true => Ok(Box::new(WebSocketStream::new(io, WebSocketRole::Client))),
        false => Ok(Box::new(io)),
    }
}

fn request_head(request: &UpgradeRequest<'_>, key: &str) -> String {
    let UpgradeRequest { path, host, protocol, subprotocol, is_websocket, fields } = request;
    let upgrade = if *is_websocket { "websocket" } else { protocol };
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nUser-Agent: margay/{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if *is_websocket {
        let _ = write!(
            head,
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n"
        );
    }
    for (name, value) in fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The head of the response, and what was read after it.
async fn read_head(io: &mut Box<dyn UpgradedIo>) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(invalid("the head of the answer is too long"));
        }
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The status and the fields of a response.
struct ResponseHead {
    status: u16,
    fields: Vec<(String, String)>,
}

impl ResponseHead {
    fn parse(bytes: &[u8]) -> Option<ResponseHead> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Some(ResponseHead { status, fields: fields.collect() })
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// The refusal, with the error code of its problem.
async fn refusal(head: &ResponseHead, mut body: Vec<u8>, io: &mut Box<dyn UpgradedIo>) -> UpgradeError {
    let length = head.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let length = usize::min(length, MAX_BODY_BYTES);
    while body.len() < length && matches!(io.read_buf(&mut body).await, Ok(1..)) {}
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    UpgradeError::Refused { status: head.status, code: text("code"), detail: text("detail") }
}

/// A stream of which a part was already read.
#[derive(Debug)]
struct PrefixedIo {
    prefix: Vec<u8>,
    at: usize,
    io: Box<dyn UpgradedIo>,
}

impl AsyncRead for PrefixedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at < this.prefix.len() {
            let n = (this.prefix.len() - this.at).min(buf.remaining());
            buf.put_slice(&this.prefix[this.at..this.at + n]);
            this.at += n;
            if this.at == this.prefix.len() {
                (this.at, this.prefix) = (0, Vec::new());
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for PrefixedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    fn request(is_websocket: bool) -> UpgradeRequest<'static> {
        UpgradeRequest {
            path: "/_agents",
            host: "gw",
            protocol: "margay-agent/1",
            subprotocol: "margay-agent.1",
            is_websocket,
            fields: vec![("margay-agent", "dev1".into())],
        }
    }

    async fn answered(answer: &'static [u8]) -> Result<Vec<u8>, UpgradeError> {
        let (client, mut server) = duplex(4096);
        server.write_all(answer).await.unwrap();
        let mut io = upgrade(Box::new(client), &request(false)).await?;
        drop(server);
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap();
        Ok(rest)
    }

    #[tokio::test]
    async fn bytes_after_the_answer_belong_to_the_stream() {
        let rest = answered(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: margay-agent/1\r\n\r\nPRI").await;
        assert_eq!(rest.unwrap(), b"PRI");
    }

    #[tokio::test]
    async fn a_refusal_has_the_code_of_its_problem() {
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 25\r\n\r\n{\"code\":\"agent.disabled\"}";
        let Err(UpgradeError::Refused { status: 403, code, .. }) = answered(answer).await else {
            panic!("a refusal")
        };
        assert_eq!(code.as_deref(), Some("agent.disabled"));
        assert!(matches!(
            answered(b"HTTP/1.1 101 X\r\nUpgrade: other\r\n\r\n").await,
            Err(UpgradeError::Io(_))
        ));
    }
}
