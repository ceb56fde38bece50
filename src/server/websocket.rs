//! What follows a switch: bytes both ways, as they come, until both sides have ended, nobody speaks, or the gateway goes.

use super::gateway::Drain;
use crate::{
    base::websocket::{FrameTracker, GOING_AWAY, masked_going_away_frame},
    pipeline::{
        body::ClientBody,
        upgrade::{Duplex, Upgrade},
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

/// How long one side may be silent after the other ended.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where both had said goodbye before: the other may go too (RFC 6455 7.1.1).
const DRAIN_HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides ended.
    Closed,
    /// One side was lost.
    Aborted,
    /// Nobody spoke for too long.
    IdleTimeout,
}

/// What a tunnel is allowed, and where it is counted.
pub struct TunnelConfig {
    /// The longest silence.
    pub idle: Duration,
    pub metrics: Arc<WebSocketMetrics>,
}

/// Carries bytes both ways until the end. Only frames are told from each other, so that a word of the gateway's own
/// (it is going away) never falls into the middle of one.
pub async fn run<C: Duplex + ClientBody>(
    conn: &mut C,
    switch: Upgrade,
    terms: TunnelConfig,
    drain: &Drain,
) -> CloseReason {
    let Upgrade { backend: mut far, guards: leases } = switch;
    let told = drain.notified();
    let mut told = pin!(told.notified());
    let mut tunnel = Tunnel::new(&terms);
    let end = poll_fn(|cx| {
        if !tunnel.draining && (drain.is_on() || told.as_mut().poll(cx).is_ready()) {
            tunnel.draining = true;
        }
        tunnel.poll(cx, conn, &mut *far)
    })
    .await;
    drop((far, leases));
    terms.metrics.close();
    end
}

struct Tunnel<'t> {
    /// From the client to the service, and back.
    upload: CopyHalf,
    download: CopyHalf,
    metrics: &'t WebSocketMetrics,
    idle: Duration,
    /// The gateway is shutting down.
    draining: bool,
    /// Bytes moved when `since` was taken.
    progressed: u64,
    idle_since: Instant,
}

impl<'t> Tunnel<'t> {
    fn new(terms: &'t TunnelConfig) -> Tunnel<'t> {
        terms.metrics.open();
        Tunnel {
            upload: CopyHalf::new(Direction::ToBackend),
            download: CopyHalf::new(Direction::ToClient),
            metrics: &terms.metrics,
            idle: terms.idle,
            draining: false,
            progressed: 0,
            idle_since: Instant::now(),
        }
    }

    fn poll<C: Duplex + ClientBody>(
        &mut self,
        cx: &mut Context,
        conn: &mut C,
        far: &mut dyn Duplex,
    ) -> Poll<CloseReason> {
        let out = self.upload.poll(cx, conn, far, self.draining, self.metrics);
        let back = self.download.poll(cx, far, conn, self.draining, self.metrics);
        match (out, back) {
            (Poll::Ready(HalfState::SenderLost), _) | (_, Poll::Ready(HalfState::SenderLost)) => {
                Poll::Ready(CloseReason::Aborted)
            }
            (Poll::Ready(HalfState::Ended), Poll::Ready(HalfState::Ended)) => {
                Poll::Ready(CloseReason::Closed)
            }
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(CloseReason::Aborted),
            (out, back) => self.poll_timeouts(cx, conn, out.is_ready() || back.is_ready()),
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
        let longest = match half {
            true if self.is_over() => DRAIN_HALF_CLOSE_TIMEOUT,
            true => HALF_CLOSE_TIMEOUT.min(self.idle),
            false => self.idle,
        };
        ready!(conn.poll_deadline(cx, self.idle_since + longest));
        Poll::Ready(if half { CloseReason::Closed } else { CloseReason::IdleTimeout })
    }
}

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfState {
    /// The sender ended.
    Ended,
    /// The sender was lost.
    SenderLost,
    /// The receiver takes no more; what it said before may still be on its way.
    ReceiverLost,
}

/// One direction.
struct CopyHalf {
    direction: Direction,
    frames: FrameTracker,
    progressed: u64,
    /// What is left to be said by the gateway itself, once it goes.
    close_frame: Option<CloseFrame>,
    half: Option<HalfState>,
    /// The receiver knows of the end, and has all that was said before.
    close_sent: bool,
}

/// A close frame of the gateway's own, and how much of it was sent.
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

    /// Ready when this direction has ended, and the receiver has all that was sent.
    fn poll(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        leaving: bool,
        counted: &WebSocketMetrics,
    ) -> Poll<HalfState> {
        loop {
            match self.half {
                None => self.half = ready!(self.poll_copy(cx, from, to, leaving, counted)).err(),
                Some(half) if self.close_sent => return Poll::Ready(half),
                Some(half) => {
                    let told = match half {
                        HalfState::Ended => ready!(to.poll_close(cx)),
                        HalfState::SenderLost => ready!(to.poll_flush(cx)),
                        HalfState::ReceiverLost => Ok(()),
                    };
                    self.close_sent = true;
                    self.half = Some(told.map_or(HalfState::ReceiverLost, |()| half));
                }
            }
        }
    }

    /// Passes on what has come.
    fn poll_copy(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        leaving: bool,
        counted: &WebSocketMetrics,
    ) -> Poll<Result<(), HalfState>> {
        if leaving && self.close_frame.is_none() && self.frames.is_at_frame_boundary() {
            self.close_frame = Some(CloseFrame::close_frame_for(self.frames.is_closed(), self.direction));
        }
        if let Some(word) = &mut self.close_frame {
            ready!(word.poll_send_close(cx, to)).map_err(|_| HalfState::ReceiverLost)?;
        }
        let Poll::Ready(received) = from.poll_read(cx) else {
            // Nothing more to put together with it: what waits is sent.
            ready!(to.poll_flush(cx)).map_err(|_| HalfState::ReceiverLost)?;
            return Poll::Pending;
        };
        let bytes = received.map_err(|_| HalfState::SenderLost)?;
        if bytes.is_empty() {
            return Poll::Ready(Err(HalfState::Ended));
        }
        // Behind a close frame nothing follows (RFC 6455 5.5.1); what still comes is read away.
        let mut n = bytes.len();
        if self.close_frame.is_none() {
            let most = if leaving { self.frames.remaining_in_frame(bytes) } else { n };
            n = ready!(to.poll_write(cx, &bytes[..most])).map_err(|_| HalfState::ReceiverLost)?;
            self.frames.observe(&bytes[..n]);
        }
        from.consume(n);
        self.progressed += n as u64;
        counted.record_bytes(self.direction, n as u64);
        Poll::Ready(Ok(()))
    }
}

impl CloseFrame {
    /// Nothing behind a close frame; else what a server says without a mask, and a client with one that nobody can
    /// foresee (RFC 6455 5.3).
    fn close_frame_for(said: bool, way: Direction) -> CloseFrame {
        let mut bytes = [0; 8];
        match way {
            _ if said => CloseFrame { bytes, from: 0, to: 0 },
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
