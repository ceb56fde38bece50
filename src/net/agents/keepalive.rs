//! PING of a tunnel connection: finds a dead peer, keeps the entry of a NAT alive, and measures the round trip.

use crate::net::deadline::DeadlineTimer;
use h2::PingPong;
use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Time between two PINGs, and the time in which the peer must answer.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The PINGs of one connection, of either role.
pub struct Heartbeat {
    ping: Option<PingPong>,
    timer: DeadlineTimer,
    /// When the next PING is sent, or by when its answer must arrive.
    next: Instant,
    sent_at: Option<Instant>,
    pub round_trip: Option<Duration>,
}

impl Heartbeat {
    /// PINGs on a connection; the first is sent at once.
    pub fn new(ping: Option<PingPong>, now: Instant) -> Heartbeat {
        Heartbeat { ping, timer: DeadlineTimer::default(), next: now, sent_at: None, round_trip: None }
    }

    /// Ready when the peer does not answer any more.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ping) = &mut self.ping else { return Poll::Pending };
        if let Some(sent_at) = self.sent_at
            && ping.poll_pong(cx).is_ready()
        {
            self.sent_at = None;
            self.round_trip = Some(sent_at.elapsed());
            self.next = sent_at + HEARTBEAT;
        }
        while self.timer.poll(cx, self.next).is_ready() {
            if self.sent_at.is_some() || ping.send_ping(h2::Ping::opaque()).is_err() {
                return Poll::Ready(());
            }
            let now = Instant::now();
            self.sent_at = Some(now);
            self.next = now + HEARTBEAT;
            // Registers for the answer, and lets the task of the connection write the PING.
            let _ = ping.poll_pong(cx);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
