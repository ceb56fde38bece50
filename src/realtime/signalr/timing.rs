//! Timers of a link: pings, acknowledgments, and the end of a client that is silent.

use super::link::{Link, Phase};
use crate::realtime::{
    engine::{TimerKind, TimerTarget, connection::Connection, hub::SessionEnd},
    protocols::{
        Subprotocol,
        signalr::{Transport, encode},
    },
};
use crate::telemetry::hubs::HubClose;
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

impl TimerTarget for Link {
    fn fire(self: Arc<Self>, kind: TimerKind, _epoch: u32, now: Instant) {
        match kind {
            TimerKind::Resume => self.send_ack(),
            _ => self.tick(now),
        }
    }
}

impl Link {
    /// Sets the next tick.
    pub(super) fn schedule(self: &Arc<Self>, at: Instant) {
        self.set_timer(at, TimerKind::KeepAlive);
    }

    /// Sets the time of an acknowledgment.
    pub(super) fn schedule_ack(self: &Arc<Self>, at: Instant) {
        self.set_timer(at, TimerKind::Resume);
    }

    fn set_timer(self: &Arc<Self>, at: Instant, kind: TimerKind) {
        let target: Weak<dyn TimerTarget> = Arc::downgrade(self) as Weak<dyn TimerTarget>;
        self.hub.set_timer_of(self.worker, at, kind, target);
    }

    /// The time between two ticks of an open connection: a ping is due, or a poll.
    pub(super) fn tick_interval(&self) -> Duration {
        let context = self.hub.context.load();
        let config = &context.config;
        match self.transport {
            Transport::LongPolling => config.signalr.poll_gap,
            Transport::WebSockets | Transport::ServerSentEvents => config.keep_alive_interval,
        }
    }

    fn tick(self: Arc<Self>, now: Instant) {
        let state = self.state();
        let is_polled = state.polls.is_waiting || state.polls.is_responding;
        let (phase, poll_ended_at) = (state.phase.clone(), state.polls.ended_at);
        drop(state);
        let next = match phase {
            Phase::Handshake if now >= self.handshake_ends_at => {
                self.reject("Handshake was canceled.");
                // A client that does not poll does not receive the response.
                Some(now + self.tick_interval())
            }
            Phase::Handshake => Some(self.handshake_ends_at),
            Phase::Open(connection, _) => match self.transport {
                Transport::LongPolling if is_polled => Some(now + self.tick_interval()),
                Transport::LongPolling => self.check_poll_gap(poll_ended_at, now),
                Transport::WebSockets | Transport::ServerSentEvents => self.ping(&connection, now),
            },
            // The rest is sent by polls; without one nothing remains.
            Phase::Rejected(_) | Phase::Closing(_) if self.transport == Transport::LongPolling => {
                if !is_polled {
                    self.finish();
                }
                is_polled.then(|| now + self.tick_interval())
            }
            Phase::Rejected(_) | Phase::Closing(_) | Phase::Ended => None,
        };
        if let Some(next) = next {
            self.schedule(next);
        }
    }

    /// Sends a ping, unless the client is silent; the time of the next check.
    fn ping(&self, connection: &Connection, now: Instant) -> Option<Instant> {
        let next = self.check_silence(now)?;
        if let Subprotocol::SignalR(kind) = connection.subprotocol {
            connection.session().push_message(&encode::ping(kind.protocol), connection.subprotocol);
        }
        Some(next)
    }

    /// Ends a connection without polls; the time of the next check.
    fn check_poll_gap(&self, ended_at: Instant, now: Instant) -> Option<Instant> {
        let ends_at = ended_at + self.tick_interval();
        if now < ends_at {
            return Some(ends_at);
        }
        self.close(SessionEnd::new(HubClose::PingTimeout, "The client does not poll"));
        self.finish();
        None
    }

    /// Ends a silent connection; the time of the next check. A stateful one without a socket waits for its client.
    fn check_silence(&self, now: Instant) -> Option<Instant> {
        let timeout = self.hub.context.load().config.signalr.client_timeout;
        let remaining = timeout.saturating_sub(self.silence());
        if remaining.is_zero() && self.state().attached > 0 {
            self.close(SessionEnd::new(HubClose::PingTimeout, "The client is silent"));
            return None;
        }
        let next =
            if remaining.is_zero() { self.tick_interval() } else { remaining.min(self.tick_interval()) };
        Some(now + next)
    }
}
