//! A client for tests: its request body is scripted, and what it receives is recorded.

use crate::{
    net::{client_io::ClientIo, deadline::DeadlineTimer},
    pipeline::{
        body::{BodyRead, Chunk, ClientBody, Framing},
        error::GatewayError,
        head::{Head, Version},
        upgrade::Duplex,
    },
};
use std::{
    collections::VecDeque,
    io,
    task::{Context, Poll},
    time::Instant,
};

/// The script and the recording.
#[derive(Debug, Default)]
pub struct ScriptedClient {
    /// Remaining chunks of the request body.
    pub chunks: VecDeque<&'static [u8]>,
    pub framing: Framing,
    pub version: Version,
    /// The body does not end after its chunks.
    pub stalls: bool,
    /// The client has closed its connection.
    pub is_closed: bool,
    /// Reading from the client fails.
    pub is_reset: bool,
    /// Bytes of the response that the client still accepts; `None`: all.
    pub max_receive_bytes: Option<usize>,
    pub requests_served: u32,
    pub received: u64,
    /// Status, framing and keep-alive of the response.
    pub head: Option<(u16, Framing, bool)>,
    pub fields: Head,
    /// The response body.
    pub body: Vec<u8>,
    pub is_ended: bool,
    pub is_upgraded: bool,
    pub timer: DeadlineTimer,
}

impl ScriptedClient {
    /// A client of HTTP/1.1 with a request body of these chunks.
    pub fn with_body(chunks: &[&'static [u8]]) -> ScriptedClient {
        ScriptedClient {
            chunks: chunks.iter().copied().collect(),
            framing: if chunks.is_empty() { Framing::None } else { Framing::Chunked },
            version: Version::Http11,
            ..ScriptedClient::default()
        }
    }
}

impl BodyRead for ScriptedClient {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        match self.chunks.front() {
            Some(chunk) => Poll::Ready(Ok(Chunk::Data(chunk))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(Ok(Chunk::End)),
        }
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        if let Some(chunk) = self.chunks.pop_front()
            && n < chunk.len()
        {
            self.chunks.push_front(&chunk[n..]);
        }
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl ClientBody for ScriptedClient {
    fn poll_closed(&mut self, _cx: &mut Context) -> Poll<()> {
        if self.is_closed { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.timer.poll(cx, at)
    }

    fn send_informational(&mut self, _head: &Head, _cx: &mut Context) {}

    fn bytes_received(&self) -> u64 {
        self.received
    }

    fn limit_body(&mut self, _most: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

impl ClientIo for ScriptedClient {
    fn version(&self) -> Version {
        self.version
    }

    fn requests_served(&self) -> u32 {
        self.requests_served
    }

    fn is_body_done(&self) -> bool {
        self.chunks.is_empty()
    }

    fn send_head(&mut self, head: &Head, framing: Framing, keep: bool) {
        self.head = Some((head.status, framing, keep));
        self.fields = head.clone();
    }

    fn send_upgrade(&mut self, _head: &Head, _protocol: &str) {
        self.is_upgraded = true;
    }

    fn poll_send(&mut self, _cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        let n = self.max_receive_bytes.map_or(data.len(), |max| max.min(data.len()));
        if n == 0 {
            return Poll::Pending;
        }
        self.max_receive_bytes = self.max_receive_bytes.map(|max| max - n);
        self.body.extend_from_slice(&data[..n]);
        Poll::Ready(Ok(n))
    }

    fn end(&mut self, _trailers: Option<&Head>) -> bool {
        self.is_ended = match self.head {
            Some((_, Framing::Length(length), _)) => self.sent() == length,
            _ => true,
        };
        self.is_ended
    }

    fn poll_flush_response(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn sent(&self) -> u64 {
        self.body.len() as u64
    }
}

/// After an upgrade the chunks are what the client sends, and the body is what it receives.
impl Duplex for ScriptedClient {
    fn poll_read(&mut self, _cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        match self.chunks.front() {
            _ if self.is_reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(chunk) => Poll::Ready(Ok(chunk)),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(Ok(&[])),
        }
    }

    fn consume(&mut self, n: usize) {
        BodyRead::consume(self, n);
    }

    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    fn poll_flush(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        self.is_ended = true;
        Poll::Ready(Ok(()))
    }
}
