//! What happens to connections after a time: pings, the end of sessions without a socket, idle streams.

use super::{
    connection::{Connection, ConnectionOwner},
    hub::{Hub, SessionEnd},
    inbox::TimerKind,
};
use crate::net::websocket::{close_code, close_frame};
use crate::realtime::{
    message::{NamedError, ServerMessage, StreamEndError},
    protocols::Subprotocol,
    session::streams::Streams,
};
use crate::telemetry::hubs::HubClose;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Pings without a pong after which the socket is closed.
const MAX_MISSED_PONGS: u8 = 3;
/// Longest time between two checks of open streams.
const STREAM_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Pings are sent at multiples of this, so that the worker wakes once for many connections.
const PING_RESOLUTION: Duration = Duration::from_millis(100);
/// A ping frame without a payload.
const PING: [u8; 2] = [0x89, 0];

impl ConnectionOwner for Hub {
    fn fire(self: Arc<Self>, connection: &Arc<Connection>, kind: TimerKind, epoch: u32, now: Instant) {
        match kind {
            TimerKind::KeepAlive => self.keep_alive(connection, now),
            TimerKind::Expiry => self.expire(connection, epoch, now),
            TimerKind::Abort => connection.session().abort_socket(epoch),
            TimerKind::Streams => self.expire_streams(connection, now),
            TimerKind::Resume => connection.session().wake(),
            TimerKind::Settled => connection.session().seen = None,
            TimerKind::Drain => self.close_for_drain(connection),
        }
    }
}

impl Hub {
    /// Sets the timer of the next ping.
    pub fn schedule_keep_alive(&self, connection: &Arc<Connection>, now: Instant) {
        let interval = self.context.load().config.keep_alive_interval;
        // A grid of the process: connections that opened together are pinged in groups.
        let spread = Duration::from_millis(fastrand::u64(0..PING_RESOLUTION.as_millis() as u64 / 2));
        let step = if interval > 4 * PING_RESOLUTION { spread } else { Duration::ZERO };
        self.set_timer(connection, now + interval - step, TimerKind::KeepAlive, 0);
    }

    fn keep_alive(self: &Arc<Self>, connection: &Arc<Connection>, now: Instant) {
        let mut session = connection.session();
        if session.is_ended {
            return;
        }
        let epoch = session.epoch;
        let is_paused = session.calls.as_ref().is_some_and(|calls| calls.task.is_some());
        let is_lost = match &mut session.socket {
            // Pongs are not read while a call is in progress.
            Some(socket) if !is_paused && socket.missed_pongs >= MAX_MISSED_PONGS => true,
            Some(socket) if !socket.is_closing => {
                socket.missed_pongs = if is_paused { 0 } else { socket.missed_pongs + 1 };
                session.push_frame(PING.to_vec());
                false
            }
            _ => false,
        };
        drop(session);
        if is_lost {
            self.close_lost_socket(connection, epoch);
        }
        self.schedule_keep_alive(connection, now);
    }

    /// Closes a socket whose client does not respond.
    fn close_lost_socket(self: &Arc<Self>, connection: &Arc<Connection>, epoch: u32) {
        if connection.subprotocol.is_reliable() {
            self.shared.metrics.count_close(HubClose::PingTimeout);
        } else {
            self.end(connection, SessionEnd::new(HubClose::PingTimeout, "PingTimeout"));
        }
        connection.session().abort_socket(epoch);
    }

    fn expire(self: &Arc<Self>, connection: &Arc<Connection>, epoch: u32, now: Instant) {
        let session = connection.session();
        let is_expired = session.epoch == epoch
            && session.socket.is_none()
            && session.expires_at.is_some_and(|expires_at| expires_at <= now);
        drop(session);
        if is_expired {
            self.end(
                connection,
                SessionEnd::new(HubClose::Normal, "The connection was not recovered in time"),
            );
        }
    }

    /// Sets the timer of the streams, if it is not set.
    pub fn schedule_streams(&self, connection: &Arc<Connection>, expires_at: Instant, now: Instant) {
        let at = expires_at.min(now + STREAM_CHECK_INTERVAL);
        self.set_timer(connection, at, TimerKind::Streams, 0);
    }

    fn expire_streams(self: &Arc<Self>, connection: &Arc<Connection>, now: Instant) {
        let mut session = connection.session();
        let expired = session.streams.as_mut().map(|streams| streams.take_expired(now)).unwrap_or_default();
        let error = NamedError::new("IdleTimeout", "The stream was idle for too long");
        for stream in &expired {
            let closed =
                ServerMessage::StreamClosed { stream_id: (*stream.id).into(), error: Some(error.clone()) };
            session.push_control(&closed, connection.subprotocol);
        }
        let next = session.streams.as_deref().and_then(Streams::next_expiry);
        if next.is_none() {
            session.streams = None;
        }
        drop(session);
        for stream in &expired {
            let error = StreamEndError {
                name: error.name.into(),
                message: error.message.clone(),
                user_error_code: None,
            };
            self.end_stream(connection, stream, Some(error));
        }
        if let Some(next) = next {
            self.schedule_streams(connection, next, now);
        }
    }

    /// Closes the socket with 1001: another node accepts the client.
    fn close_for_drain(self: &Arc<Self>, connection: &Arc<Connection>) {
        let is_signalr = matches!(connection.subprotocol, Subprotocol::SignalR(_));
        if connection.subprotocol.is_reliable() && !is_signalr {
            let close = close_frame(close_code::GOING_AWAY, "Drain");
            let mut session = connection.session();
            let epoch = session.epoch;
            session.close_socket(None, close, connection.subprotocol);
            drop(session);
            self.shared.metrics.count_close(HubClose::Drain);
            self.set_timer(connection, Instant::now() + Duration::from_secs(2), TimerKind::Abort, epoch);
        } else {
            let end = SessionEnd::new(HubClose::Drain, "Drain").with_code(close_code::GOING_AWAY);
            self.end(connection, end);
        }
    }
}
