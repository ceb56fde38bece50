//! WebSocket tunnels: bytes in both directions until both sides have closed, the idle timeout expires, or the gateway
//! drains.

use super::drain::Drain;
use crate::{
    base::websocket::{FrameTracker, GOING_AWAY, masked_going_away_frame},
    pipeline::{
        body::ClientBody,
        upgrade::{ConnectionService, Duplex},
    },
    telemetry::{Direction, WebSocketMetrics},
};
use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// The idle timeout of one direction after the other one ended.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same after both sides sent a close frame: the connection may close (RFC 6455 7.1.1).
const DRAIN_HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The reason for the end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides closed.
    Closed,
    /// One side was lost.
    Aborted,
    /// The idle timeout expired.
    IdleTimeout,
    /// The client certificate expired.
    CertificateExpired,
}

/// Limits and metrics of a tunnel.
pub struct TunnelConfig {
    /// The idle timeout.
    pub idle_timeout: Duration,
    /// When the client certificate expires, if that ends the connection.
    pub certificate_expires_at: Option<Instant>,
    pub metrics: Arc<WebSocketMetrics>,
}

/// Forwards bytes in both directions until the end. Frame boundaries are tracked so that the gateway's own close frame is
/// never inserted into another frame.
pub async fn run<C: Duplex + ClientBody>(
    conn: &mut C,
    mut backend: Box<dyn Duplex>,
    config: TunnelConfig,
    drain: &Drain,
) -> CloseReason {
    let drain_started = drain.notified();
    let mut drain_started = pin!(drain_started.notified());
    let mut tunnel = Tunnel::new(&config);
    let end = poll_fn(|cx| {
        if !tunnel.draining && (drain.is_on() || drain_started.as_mut().poll(cx).is_ready()) {
            tunnel.draining = true;
        }
        match tunnel.poll(cx, conn, &mut *backend) {
            // Both sides get a close frame, and some time to answer it.
            Poll::Ready(CloseReason::CertificateExpired) if !tunnel.draining => {
                tunnel.draining = true;
                tunnel.poll(cx, conn, &mut *backend)
            }
            polled => polled,
        }
    })
    .await;
    config.metrics.close();
    end
}

/// Serves a connection whose other side is this process, until it ends.
/// The client certificate may expire first.
pub async fn serve_peer<C: Duplex + ClientBody>(
    conn: &mut C,
    mut service: Box<dyn ConnectionService>,
    config: &TunnelConfig,
) -> CloseReason {
    config.metrics.open();
    // A copy next to the rest of the future: a fan-out polls thousands of them, and each cache line costs.
    let expires_at = config.certificate_expires_at;
    let end = poll_fn(move |cx| match (service.poll(cx, conn), expires_at) {
        (Poll::Ready(()), _) => Poll::Ready(CloseReason::Closed),
        (Poll::Pending, Some(at)) => conn.poll_deadline(cx, at).map(|()| CloseReason::CertificateExpired),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await;
    config.metrics.close();
    end
}

struct Tunnel<'t> {
    /// From the client to the backend, and back.
    upload: CopyHalf,
    download: CopyHalf,
    metrics: &'t WebSocketMetrics,
    idle_timeout: Duration,
    certificate_expires_at: Option<Instant>,
    /// The gateway is shutting down, or the client certificate expired.
    draining: bool,
    /// Bytes moved when `idle_since` was set.
    progressed: u64,
    idle_since: Instant,
}

impl<'t> Tunnel<'t> {
    fn new(config: &'t TunnelConfig) -> Tunnel<'t> {
        config.metrics.open();
        Tunnel {
            upload: CopyHalf::new(Direction::ToBackend),
            download: CopyHalf::new(Direction::ToClient),
            metrics: &config.metrics,
            idle_timeout: config.idle_timeout,
            certificate_expires_at: config.certificate_expires_at,
            draining: false,
            progressed: 0,
            idle_since: Instant::now(),
        }
    }

    fn poll<C: Duplex + ClientBody>(
        &mut self,
        cx: &mut Context,
        conn: &mut C,
        backend: &mut dyn Duplex,
    ) -> Poll<CloseReason> {
        let upload = self.upload.poll(cx, conn, backend, self.draining, self.metrics);
        let download = self.download.poll(cx, backend, conn, self.draining, self.metrics);
        match (upload, download) {
            (Poll::Ready(HalfState::SenderLost), _) | (_, Poll::Ready(HalfState::SenderLost)) => {
                Poll::Ready(CloseReason::Aborted)
            }
            (Poll::Ready(HalfState::Ended), Poll::Ready(HalfState::Ended)) => {
                Poll::Ready(CloseReason::Closed)
            }
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(CloseReason::Aborted),
            (upload, download) => self.poll_timeouts(cx, conn, upload.is_ready() || download.is_ready()),
        }
    }

    fn is_over(&self) -> bool {
        self.upload.frames.is_closed() && self.download.frames.is_closed()
    }

    fn poll_timeouts(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientBody,
        half: bool,
    ) -> Poll<CloseReason> {
        let moved = self.upload.progressed + self.download.progressed + u64::from(half);
        if moved != self.progressed {
            (self.progressed, self.idle_since) = (moved, Instant::now());
        }
        let timeout = match half {
            true if self.is_over() => DRAIN_HALF_CLOSE_TIMEOUT,
            true => HALF_CLOSE_TIMEOUT.min(self.idle_timeout),
            false => self.idle_timeout,
        };
        let idle_end = self.idle_since + timeout;
        if let Some(end) = self.certificate_end().filter(|end| *end < idle_end) {
            ready!(conn.poll_deadline(cx, end));
            return Poll::Ready(CloseReason::CertificateExpired);
        }
        ready!(conn.poll_deadline(cx, idle_end));
        Poll::Ready(if half { CloseReason::Closed } else { CloseReason::IdleTimeout })
    }

    /// When the tunnel ends because of the client certificate: with a close frame, and then without.
    fn certificate_end(&self) -> Option<Instant> {
        let grace = if self.draining { HALF_CLOSE_TIMEOUT } else { Duration::ZERO };
        self.certificate_expires_at.map(|at| at + grace)
    }
}

/// The end of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfState {
    /// The sender closed.
    Ended,
    /// The sender was lost.
    SenderLost,
    /// The receiver accepts no more bytes; bytes from it may still be in flight.
    ReceiverLost,
}

/// One direction.
struct CopyHalf {
    direction: Direction,
    frames: FrameTracker,
    progressed: u64,
    /// The gateway's own close frame, once it drains.
    close_frame: Option<CloseFrame>,
    half: Option<HalfState>,
    /// The receiver has received everything, including the end.
    close_sent: bool,
}

/// The gateway's own close frame, and how much of it was sent.
struct CloseFrame {
    bytes: [u8; 8],
    from: usize,
    to: usize,
}

impl CopyHalf {
    fn new(direction: Direction) -> CopyHalf {
        CopyHalf {
            direction,
            frames: FrameTracker::default(),
            progressed: 0,
            close_frame: None,
            half: None,
            close_sent: false,
        }
    }

    /// Ready when this direction has ended and everything was sent to the receiver.
    fn poll(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        draining: bool,
        metrics: &WebSocketMetrics,
    ) -> Poll<HalfState> {
        loop {
            match self.half {
                None => self.half = ready!(self.poll_copy(cx, from, to, draining, metrics)).err(),
                Some(half) if self.close_sent => return Poll::Ready(half),
                Some(half) => {
                    let sent = match half {
                        HalfState::Ended => ready!(to.poll_close(cx)),
                        HalfState::SenderLost => ready!(to.poll_flush(cx)),
                        HalfState::ReceiverLost => Ok(()),
                    };
                    self.close_sent = true;
                    self.half = Some(sent.map_or(HalfState::ReceiverLost, |()| half));
                }
            }
        }
    }

    /// Forwards received bytes.
    fn poll_copy(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        draining: bool,
        metrics: &WebSocketMetrics,
    ) -> Poll<Result<(), HalfState>> {
        if draining && self.close_frame.is_none() && self.frames.is_at_frame_boundary() {
            self.close_frame = Some(CloseFrame::close_frame_for(self.frames.is_closed(), self.direction));
        }
        if let Some(frame) = &mut self.close_frame {
            ready!(frame.poll_send_close(cx, to)).map_err(|_| HalfState::ReceiverLost)?;
        }
        let Poll::Ready(received) = from.poll_read(cx) else {
            // Nothing more to coalesce with: flush the buffer.
            ready!(to.poll_flush(cx)).map_err(|_| HalfState::ReceiverLost)?;
            return Poll::Pending;
        };
        let bytes = received.map_err(|_| HalfState::SenderLost)?;
        if bytes.is_empty() {
            return Poll::Ready(Err(HalfState::Ended));
        }
        // After a close frame nothing follows (RFC 6455 5.5.1); later bytes are discarded.
        let mut n = bytes.len();
        if self.close_frame.is_none() {
            let len = if draining { self.frames.remaining_in_frame(bytes) } else { n };
            n = ready!(to.poll_write(cx, &bytes[..len])).map_err(|_| HalfState::ReceiverLost)?;
            self.frames.observe(&bytes[..n]);
        }
        from.consume(n);
        self.progressed += n as u64;
        metrics.record_bytes(self.direction, n as u64);
        Poll::Ready(Ok(()))
    }
}

impl CloseFrame {
    /// Nothing if the peer sent a close frame; otherwise `Going Away`, unmasked for a client and with a random mask for
    /// a backend (RFC 6455 5.3).
    fn close_frame_for(close_sent: bool, direction: Direction) -> CloseFrame {
        let mut bytes = [0; 8];
        match direction {
            _ if close_sent => CloseFrame { bytes, from: 0, to: 0 },
            Direction::ToClient => {
                bytes[..4].copy_from_slice(&GOING_AWAY);
                CloseFrame { bytes, from: 0, to: 4 }
            }
            Direction::ToBackend => {
                let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_ne_bytes();
                CloseFrame { bytes: masked_going_away_frame([a, b, c, d]), from: 0, to: 8 }
            }
        }
    }

    fn poll_send_close(&mut self, cx: &mut Context, to: &mut dyn Duplex) -> Poll<io::Result<()>> {
        while self.from < self.to {
            self.from += ready!(to.poll_write(cx, &self.bytes[self.from..self.to]))?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
