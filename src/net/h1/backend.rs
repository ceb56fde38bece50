//! The connection to a backend: one request out and one response in at a time, then back to its pool.

use super::{
    super::{
        buffer::ReadBuffer,
        connect::ConnectAddr,
        connection_limit::{ConnectionLimiter, ConnectionPermit},
        io::Stream,
        pool::{self, PoolKey},
        proxy_protocol::ProxyHeader,
        resolver::ResolvedPeer,
    },
    decode::{Decoded, Decoder},
    encode::{Encoder, put_request},
    hop_by_hop::{self, HopByHop},
    parse::{self, HeadLimits},
};
use crate::base::{bytes::comma_list, websocket::accept_key};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::{Head, KnownHeader, Version},
    upgrade::Duplex,
};
use std::{
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// How large a response head may be; backends are ours, but not beyond doubt.
const RESPONSE_HEAD_LIMITS: HeadLimits =
    HeadLimits { parse_request_line: 16 * 1024, parse_fields: 128 * 1024, count: 512 };

/// How far the request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Sending,
    Done,
    /// The backend takes no more; it may have answered all the same.
    Aborted,
}

/// Why a response head did not come.
#[derive(Debug)]
pub enum HeadError {
    /// The connection ended before the first byte of a response.
    Closed(io::Error),
    /// The backend says, or it is certain otherwise, that it has not begun with the request.
    NotStarted(String),
    Failed(GatewayError),
}

/// One connection to a backend.
#[derive(Debug)]
pub struct BackendConn {
    io: Stream,
    key: PoolKey,
    /// None: a socket of this machine.
    origin: Option<ResolvedPeer>,
    /// Whose connection it was said to be: it serves nobody else.
    proxy_header: Option<Box<ProxyHeader>>,
    input: ReadBuffer,
    scanned: usize,
    decoder: Decoder,
    framing: Framing,
    encoder: Encoder,
    upload: Upload,
    /// The response allows another request on this connection.
    keep_alive: bool,
    /// It comes out of the pool: the backend may have closed it meanwhile.
    pub reused: bool,
    /// It serves one request only.
    pub single_use: bool,
    /// The upload waits for the backend, not for the caller.
    write_blocked: bool,
    /// What proves that the backend agrees to the change of protocol that it was asked for.
    expected_accept_key: Option<String>,
    /// When it is too old to serve once more.
    max_age_deadline: Option<Instant>,
    /// Its place under a limit of connections.
    permit: Option<ConnectionPermit>,
}

impl BackendConn {
    pub fn new(
        io: Stream,
        key: PoolKey,
        origin: Option<ResolvedPeer>,
        said: Option<ProxyHeader>,
    ) -> Box<BackendConn> {
        Box::new(BackendConn {
            io,
            key,
            origin,
            proxy_header: said.map(Box::new),
            input: ReadBuffer::default(),
            scanned: 0,
            decoder: Decoder::new(Framing::None, (0, 0)),
            framing: Framing::None,
            encoder: Encoder::default(),
            upload: Upload::Done,
            keep_alive: false,
            reused: false,
            single_use: false,
            write_blocked: false,
            expected_accept_key: None,
            max_age_deadline: None,
            permit: None,
        })
    }

    /// From now on it counts under a limit, if there is a permit; after that time it does not serve once more.
    pub fn attach_permit(&mut self, permit: Option<ConnectionPermit>, lifetime: Option<Duration>) {
        self.permit = permit;
        self.max_age_deadline = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.single_use |= lifetime.is_some_and(|lifetime| lifetime.is_zero());
    }

    /// Whether it is too old to serve once more.
    pub(in crate::net) fn is_retired(&self, now: Instant) -> bool {
        self.max_age_deadline.is_some_and(|then| then <= now)
    }

    /// The limit that it counts under.
    pub(in crate::net) fn limiter(&self) -> Option<&ConnectionLimiter> {
        self.permit.as_ref().map(|permit| &**permit.gate())
    }

    /// Whether the backend closed an idle connection, or sent what nobody asked for.
    pub(in crate::net) fn is_dead(&mut self, cx: &mut Context) -> bool {
        let mut byte = [0];
        self.io.poll_read(cx, &mut byte).is_ready()
    }

    /// Whether it leads to where one would dial now.
    pub(in crate::net) fn is_current(&mut self, dial: &ConnectAddr) -> bool {
        dial.is_current(&mut self.origin)
    }

    /// What was said of it.
    pub(in crate::net) fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.proxy_header.as_deref()
    }

    pub(in crate::net) fn key(&self) -> PoolKey {
        self.key
    }

    /// Begins a request: the head is written with the framing of the caller's body and this Host.
    pub fn begin(&mut self, head: &Head, host: &[u8], framing: Framing, hop: HopByHop, version: Version) {
        put_request(self.encoder.begin(framing), head, host, framing, hop, version);
        self.expected_accept_key =
            hop.websocket.then(|| accept_key(head.get(b"sec-websocket-key").unwrap_or_default()));
        self.upload = Upload::Sending;
        (self.keep_alive, self.scanned) = (false, 0);
        self.decoder = Decoder::new(Framing::UntilClose, (0, 0));
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        self.upload == Upload::Done && self.encoder.is_flushed()
    }

    /// Whether the upload stands still because the backend does not read.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Bytes of request body sent.
    pub fn sent(&self) -> u64 {
        self.encoder.bytes_sent
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
            if self.input.len() > RESPONSE_HEAD_LIMITS.parse_request_line + RESPONSE_HEAD_LIMITS.parse_fields
            {
                return Poll::Ready(Err(HeadError::Failed(GatewayError::malformed_response(
                    "the response head is too large",
                ))));
            }
            let nothing = self.input.is_empty();
            let error = match ready!(self.poll_read_more(
                cx,
                RESPONSE_HEAD_LIMITS.parse_request_line + RESPONSE_HEAD_LIMITS.parse_fields + 4096
            )) {
                Ok(1..) => continue,
                Ok(_) => io::ErrorKind::UnexpectedEof.into(),
                Err(error) => error,
            };
            return Poll::Ready(Err(if nothing {
                HeadError::Closed(error)
            } else {
                HeadError::Failed(GatewayError::new(
                    ErrorCode::BackendReset,
                    "the backend closed the connection inside of its response head",
                ))
            }));
        }
    }

    fn take_head(&mut self, end: usize, head: &mut Head, for_head: bool) -> Result<(), GatewayError> {
        self.framing = parse::response(&self.input.bytes()[..end], head, &RESPONSE_HEAD_LIMITS, for_head)?;
        self.input.consume(end);
        self.scanned = 0;
        if head.status == 101 {
            self.verify_upgrade(head)?;
        }
        let odd = self.has_ambiguous_framing(head);
        let hop = hop_by_hop::strip(head);
        if head.status >= 200 {
            self.keep_alive = !odd && !hop.close && (head.version == Version::Http11 || hop.keep_alive);
            self.decoder =
                Decoder::new(self.framing, (RESPONSE_HEAD_LIMITS.parse_fields, RESPONSE_HEAD_LIMITS.count));
        }
        Ok(())
    }

    /// Whether a 101 answers what was asked for.
    fn verify_upgrade(&self, head: &Head) -> Result<(), GatewayError> {
        let Some(proof) = &self.expected_accept_key else {
            let detail = "the backend answered 101 to a request that asked for no switch";
            return Err(GatewayError::new(ErrorCode::BackendUnexpectedUpgrade, detail));
        };
        let upgrades = || head.get_all_known(KnownHeader::Upgrade);
        let agreed = upgrades().count() == 1
            && upgrades().all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && head
                .get_all_known(KnownHeader::Connection)
                .flat_map(comma_list)
                .any(|o| o.eq_ignore_ascii_case(b"upgrade"))
            && head.get(b"sec-websocket-accept") == Some(proof.as_bytes());
        if agreed {
            return Ok(());
        }
        Err(GatewayError::new(
            ErrorCode::BackendUnexpectedUpgrade,
            "the backend answered 101 without the proof of a WebSocket handshake",
        ))
    }

    /// Framing that contradicts itself: the message is served, the connection never again.
    fn has_ambiguous_framing(&self, head: &Head) -> bool {
        let coded = head.get_known(KnownHeader::TransferEncoding).is_some();
        let length = head.get_known(KnownHeader::ContentLength).is_some_and(|v| v != b"0");
        coded && self.framing != Framing::Chunked || head.status == 204 && (coded || length)
    }

    fn poll_read_more(&mut self, cx: &mut Context, most: usize) -> Poll<io::Result<usize>> {
        let n = ready!(self.input.poll_read(cx, &mut self.io, most))?;
        self.keep_alive &= n > 0;
        Poll::Ready(Ok(n))
    }

    /// Whether another request may follow on this connection.
    fn is_clean(&self) -> bool {
        self.keep_alive
            && !self.single_use
            && self.upload == Upload::Done
            && self.decoder.is_end()
            && self.input.is_empty()
            && self.encoder.is_flushed()
            && self.io.is_flushed()
    }
}

impl BodyRead for BackendConn {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        let ready = loop {
            match self
                .decoder
                .decode(self.input.bytes())
                .map_err(|e| GatewayError::new(ErrorCode::BackendTruncated, e))?
            {
                Decoded::Data(n) => break n,
                Decoded::Skip(n) => self.input.consume(n),
                Decoded::End => return Poll::Ready(Ok(Chunk::End)),
                Decoded::More => match ready!(self.poll_read_more(cx, RESPONSE_HEAD_LIMITS.parse_fields)) {
                    Ok(1..) => {}
                    Ok(_) if self.decoder.ends_with_close() => self.decoder.close(),
                    _ => {
                        return Poll::Ready(Err(GatewayError::new(
                            ErrorCode::BackendTruncated,
                            "the backend closed the connection inside of its response body",
                        )));
                    }
                },
            }
        };
        Poll::Ready(Ok(Chunk::Data(&self.input.bytes()[..ready])))
    }

    fn consume(&mut self, n: usize) {
        self.decoder.advance(n);
        let full = self.input.is_full();
        self.input.consume(n);
        if full {
            self.input.grow();
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.decoder.trailers()
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while self.upload == Upload::Sending {
            let sent = match from.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.encoder.poll_send(cx, &mut self.io, data),
                Poll::Ready(Chunk::End) => {
                    self.encoder.end(from.trailers().as_deref());
                    self.upload = Upload::Done;
                    break;
                }
                Poll::Pending => {
                    self.write_blocked = false;
                    // The backend must not wait for bytes that we hold; a failure shows when the next ones are sent.
                    let _ = self.encoder.poll_flush(cx, &mut self.io);
                    return Poll::Pending;
                }
            };
            self.write_blocked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => from.consume(n),
                Err(_) => self.upload = Upload::Aborted,
            }
        }
        if ready!(self.encoder.poll_flush(cx, &mut self.io)).is_err() {
            self.upload = Upload::Aborted;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(mut self: Box<Self>) {
        if self.is_clean() {
            self.input.release_if_empty();
            pool::check_in(self);
        }
    }
}

impl Duplex for BackendConn {
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        super::poll_receive(&mut self.input, &mut self.io, cx)
    }

    fn consume(&mut self, n: usize) {
        self.input.consume(n);
    }

    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.encoder.poll_flush(cx, &mut self.io))?;
        self.io.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        self.encoder.poll_flush(cx, &mut self.io)
    }

    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.io.poll_shutdown(cx)
    }
}
