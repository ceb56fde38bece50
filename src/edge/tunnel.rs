//! What follows a switch: bytes both ways, as they come, until both sides have ended, nobody speaks, or the gateway goes.

use super::gateway::Drain;
use crate::{
    base::websocket::{Frames, GOING_AWAY, going_away_masked},
    pipeline::{
        body::Caller,
        switch::{Duplex, Switch},
    },
    telemetry::{Tunnels, Way},
    wire::h1::client::ClientConn,
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
const FAREWELL: Duration = Duration::from_secs(10);
/// The same where both had said goodbye before: the other may go too (RFC 6455 7.1.1).
const SHORT_FAREWELL: Duration = Duration::from_secs(1);

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides ended.
    Closed,
    /// One side was lost.
    Lost,
    /// Nobody spoke for too long.
    Idle,
}

/// What a tunnel is allowed, and where it is counted.
pub struct Terms {
    /// The longest silence.
    pub idle: Duration,
    pub counted: Arc<Tunnels>,
}

/// Carries bytes both ways until the end. Only frames are told from each other, so that a word of the gateway's own
/// (it is going away) never falls into the middle of one.
pub async fn carry(conn: &mut ClientConn, switch: Switch, terms: Terms, drain: &Drain) -> End {
    let Switch { mut far, leases } = switch;
    let told = drain.told();
    let mut told = pin!(told.notified());
    let mut tunnel = Tunnel::new(&terms);
    let end = poll_fn(|cx| {
        if !tunnel.leaving && (drain.is_on() || told.as_mut().poll(cx).is_ready()) {
            tunnel.leaving = true;
        }
        tunnel.poll(cx, conn, &mut *far)
    })
    .await;
    drop((far, leases));
    terms.counted.close();
    end
}

struct Tunnel<'t> {
    /// From the client to the service, and back.
    out: OneWay,
    back: OneWay,
    counted: &'t Tunnels,
    idle: Duration,
    /// The gateway is shutting down.
    leaving: bool,
    /// Bytes moved when `since` was taken.
    moved: u64,
    since: Instant,
}

impl<'t> Tunnel<'t> {
    fn new(terms: &'t Terms) -> Tunnel<'t> {
        terms.counted.open();
        Tunnel {
            out: OneWay::new(Way::ToService),
            back: OneWay::new(Way::ToClient),
            counted: &terms.counted,
            idle: terms.idle,
            leaving: false,
            moved: 0,
            since: Instant::now(),
        }
    }

    fn poll(&mut self, cx: &mut Context, conn: &mut ClientConn, far: &mut dyn Duplex) -> Poll<End> {
        let out = self.out.poll(cx, conn, far, self.leaving, self.counted);
        let back = self.back.poll(cx, far, conn, self.leaving, self.counted);
        match (out, back) {
            (Poll::Ready(Half::SenderLost), _) | (_, Poll::Ready(Half::SenderLost)) => Poll::Ready(End::Lost),
            (Poll::Ready(Half::Ended), Poll::Ready(Half::Ended)) => Poll::Ready(End::Closed),
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(End::Lost),
            (out, back) => self.patience(cx, conn, out.is_ready() || back.is_ready()),
        }
    }

    fn is_over(&self) -> bool {
        self.out.frames.is_closed() && self.back.frames.is_closed()
    }

    fn patience(&mut self, cx: &mut Context, conn: &mut ClientConn, half: bool) -> Poll<End> {
        let moved = self.out.moved + self.back.moved + u64::from(half);
        if moved != self.moved {
            (self.moved, self.since) = (moved, Instant::now());
        }
        let longest = match half {
            true if self.is_over() => SHORT_FAREWELL,
            true => FAREWELL.min(self.idle),
            false => self.idle,
        };
        ready!(conn.poll_alarm(cx, self.since + longest));
        Poll::Ready(if half { End::Closed } else { End::Idle })
    }
}

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// The sender ended.
    Ended,
    /// The sender was lost.
    SenderLost,
    /// The receiver takes no more; what it said before may still be on its way.
    ReceiverLost,
}

/// One direction.
struct OneWay {
    way: Way,
    frames: Frames,
    moved: u64,
    /// What is left to be said by the gateway itself, once it goes.
    word: Option<Word>,
    half: Option<Half>,
    /// The receiver knows of the end, and has all that was said before.
    told: bool,
}

/// A close frame of the gateway's own, and how much of it was sent.
struct Word {
    bytes: [u8; 8],
    from: usize,
    to: usize,
}

impl OneWay {
    fn new(way: Way) -> OneWay {
        OneWay { way, frames: Frames::default(), moved: 0, word: None, half: None, told: false }
    }

    /// Ready when this direction has ended, and the receiver has all that was sent.
    fn poll(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        leaving: bool,
        counted: &Tunnels,
    ) -> Poll<Half> {
        loop {
            match self.half {
                None => self.half = ready!(self.poll_pass(cx, from, to, leaving, counted)).err(),
                Some(half) if self.told => return Poll::Ready(half),
                Some(half) => {
                    let told = match half {
                        Half::Ended => ready!(to.poll_close(cx)),
                        Half::SenderLost => ready!(to.poll_push(cx)),
                        Half::ReceiverLost => Ok(()),
                    };
                    self.told = true;
                    self.half = Some(told.map_or(Half::ReceiverLost, |()| half));
                }
            }
        }
    }

    /// Passes on what has come.
    fn poll_pass(
        &mut self,
        cx: &mut Context,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        leaving: bool,
        counted: &Tunnels,
    ) -> Poll<Result<(), Half>> {
        if leaving && self.word.is_none() && self.frames.is_between() {
            self.word = Some(Word::last(self.frames.is_closed(), self.way));
        }
        if let Some(word) = &mut self.word {
            ready!(word.poll_say(cx, to)).map_err(|_| Half::ReceiverLost)?;
        }
        let Poll::Ready(received) = from.poll_receive(cx) else {
            // Nothing more to put together with it: what waits is sent.
            ready!(to.poll_push(cx)).map_err(|_| Half::ReceiverLost)?;
            return Poll::Pending;
        };
        let bytes = received.map_err(|_| Half::SenderLost)?;
        if bytes.is_empty() {
            return Poll::Ready(Err(Half::Ended));
        }
        // Behind a close frame nothing follows (RFC 6455 5.5.1); what still comes is read away.
        let mut n = bytes.len();
        if self.word.is_none() {
            let most = if leaving { self.frames.rest(bytes) } else { n };
            n = ready!(to.poll_transmit(cx, &bytes[..most])).map_err(|_| Half::ReceiverLost)?;
            self.frames.pass(&bytes[..n]);
        }
        from.used(n);
        self.moved += n as u64;
        counted.carried(self.way, n as u64);
        Poll::Ready(Ok(()))
    }
}

impl Word {
    /// Nothing behind a close frame; else what a server says without a mask, and a client with one that nobody can
    /// foresee (RFC 6455 5.3).
    fn last(said: bool, way: Way) -> Word {
        let mut bytes = [0; 8];
        match way {
            _ if said => Word { bytes, from: 0, to: 0 },
            Way::ToClient => {
                bytes[..4].copy_from_slice(&GOING_AWAY);
                Word { bytes, from: 0, to: 4 }
            }
            Way::ToService => {
                let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_ne_bytes();
                Word { bytes: going_away_masked([a, b, c, d]), from: 0, to: 8 }
            }
        }
    }

    fn poll_say(&mut self, cx: &mut Context, to: &mut dyn Duplex) -> Poll<io::Result<()>> {
        while self.from < self.to {
            self.from += ready!(to.poll_transmit(cx, &self.bytes[self.from..self.to]))?;
        }
        Poll::Ready(Ok(()))
    }
}
