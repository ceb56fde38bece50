//! The connection of an agent on the side of the gateway: the HTTP/2 client of the turned roles.

use super::{
    config::AgentConfig,
    entry::{AgentConnection, AgentHello},
    keepalive::Heartbeat,
    registry::AgentRegistry,
    renew,
    stream::{MAX_FRAME_BYTES, MAX_SEND_BUFFER},
};
use crate::{
    net::deadline::DeadlineTimer,
    pipeline::{sas::GRACE_SECONDS, upgrade::UpgradedIo},
    telemetry::agents::AgentLoss,
};
use bytes::Bytes;
use h2::client::{self, Connection};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Time for the SETTINGS of the agent.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The window of a stream at the beginning.
const MIN_STREAM_WINDOW: u32 = 1 << 20;
const MAX_HEADER_LIST: u32 = 8 * 1024;
/// How often rates are measured, and windows adjusted.
const TICK: Duration = Duration::from_secs(1);
/// How long streams may continue after the connection accepts no new ones because the gateway shuts down.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

type Http2 = Connection<Box<dyn UpgradedIo>, Bytes>;

/// Serves the connection of an agent that was admitted, until it ends.
pub async fn serve(
    io: Box<dyn UpgradedIo>,
    registry: Arc<AgentRegistry>,
    hello: AgentHello,
    config: Arc<AgentConfig>,
) {
    let limits = config.limits;
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(MIN_STREAM_WINDOW.min(limits.max_stream_window))
        .initial_connection_window_size(limits.max_connection_window)
        .max_frame_size(MAX_FRAME_BYTES as u32)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, builder.handshake::<_, Bytes>(io)).await;
    let Ok(Ok((requests, connection))) = handshake else {
        registry.metrics().count_loss(AgentLoss::Closed);
        return;
    };
    let entry = AgentConnection::new(hello, requests);
    registry.add(&entry, &config);
    log::info!("agent {} connected from {}", entry.agent, entry.peer);
    let reason = drive(connection, &registry, &entry, &config).await;
    entry.end(reason);
    registry.remove(&entry);
    registry.metrics().count_loss(reason);
    log::info!("agent {} disconnected: {}", entry.agent, reason.name());
}

/// Drives the connection until it is lost, or has ended because of a reason.
async fn drive(
    connection: Http2,
    registry: &Arc<AgentRegistry>,
    entry: &Arc<AgentConnection>,
    config: &AgentConfig,
) -> AgentLoss {
    let mut renewing = pin!(renew::follow(registry, entry));
    let mut driver = Driver::new(connection, entry.clone(), config);
    let reason = poll_fn(|cx| {
        if renewing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(AgentLoss::Closed);
        }
        driver.poll(cx)
    });
    let reason = tokio::select! {
        biased;
        reason = entry.ended() => reason,
        reason = reason => return reason,
    };
    if matches!(reason, AgentLoss::Revoked | AgentLoss::Expired) {
        return reason;
    }
    // No new streams; those that are open end by themselves.
    registry.metrics().draining.fetch_add(1, Relaxed);
    let rest = poll_fn(|cx| driver.poll(cx));
    let drain = async {
        while entry.streams.load(Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = rest => {}
        () = drain => {}
        () = drain_timeout(reason) => {}
    }
    registry.metrics().draining.fetch_sub(1, Relaxed);
    reason
}

/// Streams of a replaced connection have no limit of time.
async fn drain_timeout(reason: AgentLoss) {
    match reason {
        AgentLoss::Shutdown => tokio::time::sleep(DRAIN_TIMEOUT).await,
        _ => std::future::pending().await,
    }
}

/// The HTTP/2 connection with its PINGs and windows.
struct Driver {
    connection: Http2,
    entry: Arc<AgentConnection>,
    heartbeat: Heartbeat,
    timer: DeadlineTimer,
    next_tick: Instant,
    /// Bytes moved at the last tick.
    moved: u64,
    window: u32,
    max_window: u32,
    /// Streams whose clients do not read hold at most half of the window of the connection.
    shared_window: u32,
}

impl Driver {
    fn new(mut connection: Http2, entry: Arc<AgentConnection>, config: &AgentConfig) -> Driver {
        let (ping, now) = (connection.ping_pong(), Instant::now());
        Driver {
            connection,
            entry,
            heartbeat: Heartbeat::new(ping, now),
            timer: DeadlineTimer::default(),
            next_tick: now + TICK,
            moved: 0,
            window: MIN_STREAM_WINDOW.min(config.limits.max_stream_window),
            max_window: config.limits.max_stream_window,
            shared_window: config.limits.max_connection_window / 2,
        }
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AgentLoss> {
        if Pin::new(&mut self.connection).poll(cx).is_ready() {
            return Poll::Ready(AgentLoss::Closed);
        }
        if self.heartbeat.poll(cx).is_ready() {
            return Poll::Ready(AgentLoss::Timeout);
        }
        if let Some(round_trip) = self.heartbeat.round_trip.take() {
            self.entry.set_round_trip(round_trip);
        }
        while self.timer.poll(cx, self.next_tick).is_ready() {
            self.next_tick = Instant::now() + TICK;
            self.entry.poll_goaway(cx);
            if self.has_expired() {
                return Poll::Ready(AgentLoss::Expired);
            }
            self.adjust_window();
        }
        Poll::Pending
    }

    /// The token has expired, and the agent has sent no new one.
    fn has_expired(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.entry.proof().expires_at().is_some_and(|at| at.saturating_add(GRACE_SECONDS) < now)
    }

    /// Windows grow with the throughput, and shrink with the number of streams.
    fn adjust_window(&mut self) {
        let moved = self.entry.moved_bytes.load(Relaxed);
        let recent = moved.saturating_sub(std::mem::replace(&mut self.moved, moved));
        self.entry.recent_bytes.store(recent, Relaxed);
        let streams = u32::try_from(self.entry.streams.load(Relaxed)).unwrap_or(u32::MAX).max(1);
        let fair =
            (self.shared_window / streams).clamp(super::stream::MAX_FRAME_BYTES as u32, self.max_window);
        let grown = if recent > u64::from(self.window) { self.window.saturating_mul(2) } else { self.window };
        let wanted = grown.min(fair);
        if wanted != self.window && self.connection.set_initial_window_size(wanted).is_ok() {
            self.window = wanted;
        }
    }
}
