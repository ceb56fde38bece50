//! An HTTP/1.1 connection to a backend: one request and response at a time.

use super::{
    super::{
        buffer::ReadBuffer,
        connect::{ConnectAddr, ConnectTarget, open_stream},
        connected_peer::ConnectedPeer,
        connection_limit::{ConnectionLimiter, ConnectionPermit},
        io::Stream,
        pool_key::PoolKey,
        proxy_protocol::ProxyHeader,
        tls::alpn::AlpnOffer,
    },
    decode::Decoder,
    encode::{Encoder, put_request},
    hop_by_hop::{self, HopByHop, MAX_CONNECTION_OPTIONS},
    incomplete,
    parse::{self, HeadLimits},
};
use crate::base::{bytes::comma_list, websocket::accept_key};
use crate::pipeline::{
    body::Framing,
    error::{ErrorCode, GatewayError},
    head::{Head, KnownHeader, Version},
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Limits of a response head: backends are trusted, but not without bounds.
pub(super) const RESPONSE_HEAD_LIMITS: HeadLimits =
    HeadLimits { max_line_bytes: 16 * 1024, max_fields_bytes: 128 * 1024, max_fields: 512 };

/// Progress of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    Sending,
    Done,
    /// The backend accepts no more; it may have responded nevertheless.
    Aborted,
}

/// Why no response head was received.
#[derive(Debug)]
pub enum HeadError {
    /// The connection was closed before the first byte of a response.
    Closed(io::Error),
    /// The backend has certainly not processed the request; whether it ended the connection (GOAWAY), and why.
    NotStarted(bool, String),
    Failed(GatewayError),
}

/// One connection to a backend.
#[derive(Debug)]
pub struct BackendConn {
    pub(super) io: Stream,
    key: PoolKey,
    peer: ConnectedPeer,
    /// The PROXY header sent on it: it serves no other client.
    proxy_header: Option<Box<ProxyHeader>>,
    pub(super) input: ReadBuffer,
    scanned: usize,
    pub(super) decoder: Decoder,
    pub(super) framing: Framing,
    pub(super) encoder: Encoder,
    pub(super) upload: Upload,
    /// The response permits another request on this connection.
    keep_alive: bool,
    /// It was taken from the pool: the backend may have closed it in the meantime.
    pub reused: bool,
    /// It serves one request only.
    pub single_use: bool,
    /// The upload waits for the backend, not for the client.
    pub(super) write_blocked: bool,
    /// The `Sec-WebSocket-Accept` value expected in the response to an upgrade.
    expected_accept_key: Option<String>,
    /// When it becomes too old for another request.
    max_age_deadline: Option<Instant>,
    /// How long the backend keeps it idle (`Keep-Alive: timeout`), less a margin.
    max_idle: Option<Duration>,
    /// Its permit under a connection limit.
    permit: Option<ConnectionPermit>,
}

impl BackendConn {
    /// Opens a connection within `timeout`.
    pub async fn connect(
        target: &ConnectTarget<'_>,
        key: PoolKey,
        timeout: Duration,
    ) -> Result<Box<BackendConn>, GatewayError> {
        let (io, peer) = open_stream(target, AlpnOffer::Http1, timeout).await?;
        Ok(BackendConn::new(io, key, peer, target.proxy_header))
    }

    /// A connection on an open stream.
    pub fn new(
        io: Stream,
        key: PoolKey,
        peer: ConnectedPeer,
        header: Option<ProxyHeader>,
    ) -> Box<BackendConn> {
        Box::new(BackendConn {
            io,
            key,
            peer,
            proxy_header: header.map(Box::new),
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
            max_idle: None,
            permit: None,
        })
    }

    /// Sets the permit of a connection limit, if any, and the maximum age of the connection.
    pub fn attach_permit(&mut self, permit: Option<ConnectionPermit>, max_lifetime: Option<Duration>) {
        self.permit = permit;
        self.max_age_deadline = max_lifetime.map(|max_lifetime| Instant::now() + max_lifetime);
        self.single_use |= max_lifetime.is_some_and(|max_lifetime| max_lifetime.is_zero());
    }

    /// Whether it is too old for another request, or its peer is leaving.
    pub(in crate::net) fn is_retired(&self, now: Instant) -> bool {
        self.peer.is_leaving() || self.max_age_deadline.is_some_and(|then| then <= now)
    }

    /// How long it may be idle, if the backend limits that to less than `limit`.
    pub(in crate::net) fn max_idle(&self, limit: Duration) -> Duration {
        self.max_idle.map_or(limit, |max_idle| max_idle.min(limit))
    }

    /// The limiter of its permit.
    pub(in crate::net) fn limiter(&self) -> Option<&Arc<ConnectionLimiter>> {
        self.permit.as_ref().map(ConnectionPermit::limiter)
    }

    /// Whether the backend closed the idle connection, or sent unexpected bytes.
    pub(in crate::net) fn is_dead(&mut self, cx: &mut Context) -> bool {
        let mut byte = [0];
        self.io.poll_read(cx, &mut byte).is_ready()
    }

    /// Whether it is connected to a current address of the endpoint.
    pub(in crate::net) fn is_current(&mut self, addr: &ConnectAddr) -> bool {
        addr.is_current(&mut self.peer)
    }

    /// The PROXY header sent on it.
    pub(in crate::net) fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.proxy_header.as_deref()
    }

    pub(in crate::net) fn key(&self) -> PoolKey {
        self.key
    }

    /// Writes the request head, with the framing of the request body and this Host.
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

    /// Whether the upload is blocked because the backend does not read.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Bytes of the request body sent.
    pub fn sent(&self) -> u64 {
        self.encoder.bytes_sent
    }

    /// Waits for a response head, informational (1xx) heads included, and removes its hop-by-hop fields.
    pub fn poll_head(
        &mut self,
        cx: &mut Context,
        head: &mut Head,
        for_head: bool,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            let from = self.scanned;
            if let Some(end) = parse::head_end(self.input.bytes(), &mut self.scanned) {
                return Poll::Ready(self.take_head(end, head, for_head).map_err(HeadError::Failed));
            }
            if self.input.len() > RESPONSE_HEAD_LIMITS.max_line_bytes + RESPONSE_HEAD_LIMITS.max_fields_bytes
            {
                return Poll::Ready(Err(HeadError::Failed(GatewayError::malformed_response(
                    "the response head is too large",
                ))));
            }
            if let Err(error) = incomplete::check_incomplete_response(self.input.bytes(), from) {
                return Poll::Ready(Err(HeadError::Failed(error)));
            }
            let nothing = self.input.is_empty();
            let error = match ready!(self.poll_read_more(
                cx,
                RESPONSE_HEAD_LIMITS.max_line_bytes + RESPONSE_HEAD_LIMITS.max_fields_bytes + 4096
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
                    "the backend closed the connection within its response head",
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
        let ambiguous = self.has_ambiguous_framing(head);
        let hop = hop_by_hop::strip(head, MAX_CONNECTION_OPTIONS)
            .map_err(|error| GatewayError::malformed_response(error.detail()))?;
        if head.status < 200 {
            // RFC 9110 8.6: a client could take the bytes behind the head for a body.
            head.remove_known(KnownHeader::ContentLength);
        }
        if head.status >= 200 {
            self.keep_alive = !ambiguous && !hop.close && (head.version == Version::Http11 || hop.keep_alive);
            self.max_idle = hop.keep_alive_timeout.map(idle_limit);
            self.decoder = Decoder::new(
                self.framing,
                (RESPONSE_HEAD_LIMITS.max_fields_bytes, RESPONSE_HEAD_LIMITS.max_fields),
            );
        }
        Ok(())
    }

    /// Verifies that a 101 response accepts the requested upgrade.
    fn verify_upgrade(&self, head: &Head) -> Result<(), GatewayError> {
        let Some(expected) = &self.expected_accept_key else {
            let detail = "the backend responded 101 to a request without an upgrade";
            return Err(GatewayError::new(ErrorCode::BackendUnexpectedUpgrade, detail));
        };
        let upgrades = || head.get_all_known(KnownHeader::Upgrade);
        let accepted = upgrades().count() == 1
            && upgrades().all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && head
                .get_all_known(KnownHeader::Connection)
                .flat_map(comma_list)
                .any(|o| o.eq_ignore_ascii_case(b"upgrade"))
            && head.get(b"sec-websocket-accept") == Some(expected.as_bytes());
        if accepted {
            return Ok(());
        }
        Err(GatewayError::new(
            ErrorCode::BackendUnexpectedUpgrade,
            "the backend responded 101 without a valid WebSocket handshake",
        ))
    }

    /// Whether the framing contradicts itself: the response is forwarded, but the connection is not reused.
    fn has_ambiguous_framing(&self, head: &Head) -> bool {
        let coded = head.get_known(KnownHeader::TransferEncoding).is_some();
        let length = head.get_known(KnownHeader::ContentLength).is_some_and(|v| v != b"0");
        coded && self.framing != Framing::Chunked || head.status == 204 && (coded || length)
    }

    pub(super) fn poll_read_more(&mut self, cx: &mut Context, max_len: usize) -> Poll<io::Result<usize>> {
        let n = ready!(self.input.poll_read(cx, &mut self.io, max_len))?;
        self.keep_alive &= n > 0;
        Poll::Ready(Ok(n))
    }

    /// Whether another request may follow on this connection.
    pub(super) fn is_clean(&self) -> bool {
        self.keep_alive
            && !self.single_use
            && self.upload == Upload::Done
            && self.decoder.is_end()
            && self.input.is_empty()
            && self.encoder.is_flushed()
            && self.io.is_flushed()
    }
}

/// How long a connection may be idle that the backend closes after this number of seconds. The pool closes up to a second
/// late, and a request needs time to arrive.
fn idle_limit(seconds: u32) -> Duration {
    let timeout = Duration::from_secs(seconds.into());
    timeout.saturating_sub(Duration::from_secs(1) + timeout / 10)
}
