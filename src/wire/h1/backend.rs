//! The connection to a backend: one request out and one response in at a time, then back to its pool.

use super::{
    super::{
        buffer::ReadBuffer,
        dial::Dial,
        gate::{Gate, Permit},
        io::Io,
        names::Origin,
        pool::{self, Key},
        proxy_protocol::Announced,
    },
    decode::{Decoder, Found},
    encode::{Encoder, put_request},
    hop::{self, Hop},
    parse::{self, HeadLimits},
};
use crate::base::{bytes::list, websocket::accept};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    cause::{Cause, Why},
    head::{Head, Known, Version},
    switch::Duplex,
};
use std::{
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// How large a response head may be; backends are ours, but not beyond doubt.
const LIMITS: HeadLimits = HeadLimits { line: 16 * 1024, fields: 128 * 1024, count: 512 };

/// How far the request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Sending,
    Done,
    /// The backend takes no more; it may have answered all the same.
    Broken,
}

/// Why a response head did not come.
#[derive(Debug)]
pub enum HeadError {
    /// The connection ended before the first byte of a response.
    Silent(io::Error),
    /// The backend says, or it is certain otherwise, that it has not begun with the request.
    Refused(String),
    Failed(Cause),
}

/// One connection to a backend.
#[derive(Debug)]
pub struct BackendConn {
    io: Io,
    key: Key,
    /// None: a socket of this machine.
    origin: Option<Origin>,
    /// Whose connection it was said to be: it serves nobody else.
    said: Option<Box<Announced>>,
    input: ReadBuffer,
    scanned: usize,
    decoder: Decoder,
    framing: Framing,
    encoder: Encoder,
    upload: Upload,
    /// The response allows another request on this connection.
    keep: bool,
    /// It comes out of the pool: the backend may have closed it meanwhile.
    pub reused: bool,
    /// It serves one request only.
    pub once: bool,
    /// The upload waits for the backend, not for the caller.
    choked: bool,
    /// What proves that the backend agrees to the change of protocol that it was asked for.
    proof: Option<String>,
    /// When it is too old to serve once more.
    retires: Option<Instant>,
    /// Its place under a limit of connections.
    permit: Option<Permit>,
}

impl BackendConn {
    pub fn new(io: Io, key: Key, origin: Option<Origin>, said: Option<Announced>) -> Box<BackendConn> {
        Box::new(BackendConn {
            io,
            key,
            origin,
            said: said.map(Box::new),
            input: ReadBuffer::default(),
            scanned: 0,
            decoder: Decoder::new(Framing::None, (0, 0)),
            framing: Framing::None,
            encoder: Encoder::default(),
            upload: Upload::Done,
            keep: false,
            reused: false,
            once: false,
            choked: false,
            proof: None,
            retires: None,
            permit: None,
        })
    }

    /// From now on it counts under a limit, if there is a permit; after that time it does not serve once more.
    pub fn admit(&mut self, permit: Option<Permit>, lifetime: Option<Duration>) {
        self.permit = permit;
        self.retires = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.once |= lifetime.is_some_and(|lifetime| lifetime.is_zero());
    }

    /// Whether it is too old to serve once more.
    pub(in crate::wire) fn is_retired(&self, now: Instant) -> bool {
        self.retires.is_some_and(|then| then <= now)
    }

    /// The limit that it counts under.
    pub(in crate::wire) fn gate(&self) -> Option<&Gate> {
        self.permit.as_ref().map(|permit| &**permit.gate())
    }

    /// Whether the backend closed an idle connection, or sent what nobody asked for.
    pub(in crate::wire) fn is_dead(&mut self, cx: &mut Context) -> bool {
        let mut byte = [0];
        self.io.poll_read(cx, &mut byte).is_ready()
    }

    /// Whether it leads to where one would dial now.
    pub(in crate::wire) fn leads_to(&mut self, dial: &Dial) -> bool {
        dial.still_leads_to(&mut self.origin)
    }

    /// What was said of it.
    pub(in crate::wire) fn said(&self) -> Option<&Announced> {
        self.said.as_deref()
    }

    pub(in crate::wire) fn key(&self) -> Key {
        self.key
    }

    /// Begins a request: the head is written with the framing of the caller's body and this Host.
    pub fn begin(&mut self, head: &Head, host: &[u8], framing: Framing, hop: Hop, version: Version) {
        put_request(self.encoder.begin(framing), head, host, framing, hop, version);
        self.proof = hop.websocket.then(|| accept(head.get(b"sec-websocket-key").unwrap_or_default()));
        self.upload = Upload::Sending;
        (self.keep, self.scanned) = (false, 0);
        self.decoder = Decoder::new(Framing::UntilClose, (0, 0));
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        self.upload == Upload::Done && self.encoder.is_flushed()
    }

    /// Whether the upload stands still because the backend does not read.
    pub fn is_choked(&self) -> bool {
        self.choked
    }

    /// Bytes of request body sent.
    pub fn sent(&self) -> u64 {
        self.encoder.sent
    }

    /// Waits for a response head, interim ones included, and takes its hop-by-hop fields away.
    pub fn poll_head(
        &mut self,
        cx: &mut Context,
        head: &mut Head,
        for_head: bool,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            if let Some(end) = parse::head_end(self.input.bytes(), &mut self.scanned) {
                return Poll::Ready(self.take_head(end, head, for_head).map_err(HeadError::Failed));
            }
            if self.input.len() > LIMITS.line + LIMITS.fields {
                return Poll::Ready(Err(HeadError::Failed(Cause::backend_malformed(
                    "the response head is too large",
                ))));
            }
            let nothing = self.input.is_empty();
            let error = match ready!(self.poll_more(cx, LIMITS.line + LIMITS.fields + 4096)) {
                Ok(1..) => continue,
                Ok(_) => io::ErrorKind::UnexpectedEof.into(),
                Err(error) => error,
            };
            return Poll::Ready(Err(if nothing {
                HeadError::Silent(error)
            } else {
                HeadError::Failed(Cause::new(
                    Why::BackendReset,
                    "the backend closed the connection inside of its response head",
                ))
            }));
        }
    }

    fn take_head(&mut self, end: usize, head: &mut Head, for_head: bool) -> Result<(), Cause> {
        self.framing = parse::response(&self.input.bytes()[..end], head, &LIMITS, for_head)?;
        self.input.consume(end);
        self.scanned = 0;
        if head.status == 101 {
            self.agree(head)?;
        }
        let odd = self.is_odd(head);
        let hop = hop::strip(head);
        if head.status >= 200 {
            self.keep = !odd && !hop.close && (head.version == Version::Http11 || hop.keep_alive);
            self.decoder = Decoder::new(self.framing, (LIMITS.fields, LIMITS.count));
        }
        Ok(())
    }

    /// Whether a 101 answers what was asked for.
    fn agree(&self, head: &Head) -> Result<(), Cause> {
        let Some(proof) = &self.proof else {
            let detail = "the backend answered 101 to a request that asked for no switch";
            return Err(Cause::new(Why::BackendSwitch, detail));
        };
        let upgrades = || head.all_known(Known::Upgrade);
        let agreed = upgrades().count() == 1
            && upgrades().all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && head.all_known(Known::Connection).flat_map(list).any(|o| o.eq_ignore_ascii_case(b"upgrade"))
            && head.get(b"sec-websocket-accept") == Some(proof.as_bytes());
        if agreed {
            return Ok(());
        }
        Err(Cause::new(
            Why::BackendSwitch,
            "the backend answered 101 without the proof of a WebSocket handshake",
        ))
    }

    /// Framing that contradicts itself: the message is served, the connection never again.
    fn is_odd(&self, head: &Head) -> bool {
        let coded = head.known(Known::TransferEncoding).is_some();
        let length = head.known(Known::ContentLength).is_some_and(|v| v != b"0");
        coded && self.framing != Framing::Chunked || head.status == 204 && (coded || length)
    }

    fn poll_more(&mut self, cx: &mut Context, most: usize) -> Poll<io::Result<usize>> {
        let n = ready!(self.input.poll_read(cx, &mut self.io, most))?;
        self.keep &= n > 0;
        Poll::Ready(Ok(n))
    }

    /// Whether another request may follow on this connection.
    fn is_clean(&self) -> bool {
        self.keep
            && !self.once
            && self.upload == Upload::Done
            && self.decoder.is_end()
            && self.input.is_empty()
            && self.encoder.is_flushed()
            && self.io.is_flushed()
    }
}

impl BodyRead for BackendConn {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        let ready = loop {
            match self.decoder.look(self.input.bytes()).map_err(|e| Cause::new(Why::BackendBody, e))? {
                Found::Data(n) => break n,
                Found::Skip(n) => self.input.consume(n),
                Found::End => return Poll::Ready(Ok(Chunk::End)),
                Found::More => match ready!(self.poll_more(cx, LIMITS.fields)) {
                    Ok(1..) => {}
                    Ok(_) if self.decoder.ends_with_close() => self.decoder.close(),
                    _ => {
                        return Poll::Ready(Err(Cause::new(
                            Why::BackendBody,
                            "the backend closed the connection inside of its response body",
                        )));
                    }
                },
            }
        };
        Poll::Ready(Ok(Chunk::Data(&self.input.bytes()[..ready])))
    }

    fn consume(&mut self, n: usize) {
        self.decoder.used(n);
        let full = self.input.is_full();
        self.input.consume(n);
        if full {
            self.input.enlarge();
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.decoder.trailers()
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), Cause>> {
        while self.upload == Upload::Sending {
            let sent = match from.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.encoder.poll_send(cx, &mut self.io, data),
                Poll::Ready(Chunk::End) => {
                    self.encoder.end(from.trailers().as_deref());
                    self.upload = Upload::Done;
                    break;
                }
                Poll::Pending => {
                    self.choked = false;
                    // The backend must not wait for bytes that we hold; a failure shows when the next ones are sent.
                    let _ = self.encoder.poll_flush(cx, &mut self.io);
                    return Poll::Pending;
                }
            };
            self.choked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => from.consume(n),
                Err(_) => self.upload = Upload::Broken,
            }
        }
        if ready!(self.encoder.poll_flush(cx, &mut self.io)).is_err() {
            self.upload = Upload::Broken;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(mut self: Box<Self>) {
        if self.is_clean() {
            self.input.give_back();
            pool::put(self);
        }
    }
}

impl Duplex for BackendConn {
    fn poll_receive(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        super::poll_receive(&mut self.input, &mut self.io, cx)
    }

    fn used(&mut self, n: usize) {
        self.input.consume(n);
    }

    fn poll_transmit(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.encoder.poll_flush(cx, &mut self.io))?;
        self.io.poll_write(cx, bytes)
    }

    fn poll_push(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        self.encoder.poll_flush(cx, &mut self.io)
    }

    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.poll_push(cx))?;
        self.io.poll_shutdown(cx)
    }
}
