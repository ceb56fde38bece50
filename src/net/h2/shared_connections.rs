//! The HTTP/2 connections of a worker to backends, by endpoint.

use super::{
    backend::BackendStream,
    stream_slots::{StreamCount, StreamGuard, WaitQueue},
};
use crate::{
    net::{
        buffer::WriteBuffer,
        connect::{ConnectAddr, ConnectTarget},
        connected_peer::ConnectedPeer,
        connection_limit::ConnectionLimiter,
        pool_key::PoolKey,
        proxy_protocol::ProxyHeader,
    },
    pipeline::error::GatewayError,
};
use h2::client::SendRequest;
use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// While other workers wait for a permit, a connection alternates between accepting new requests and accepting none for
/// this time, so that it becomes idle and its permit is released.
pub(super) const YIELD_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of connections to one endpoint with a PROXY header.
const MAX_PROXIED_CONNECTIONS: usize = 512;

/// The connections to one endpoint.
#[derive(Default)]
pub(super) struct EndpointConnections {
    pub(super) generation: u64,
    pub(super) shared: Vec<SharedConnection>,
    /// A connection is being opened.
    pub(super) opening: Option<watch::Receiver<Option<GatewayError>>>,
    /// The last opened connection negotiated HTTP/1.1.
    pub(super) http1: bool,
    /// Requests that wait for a stream, under a connection limit.
    pub(super) wait_queue: Arc<WaitQueue>,
}

/// One connection.
pub(super) struct SharedConnection {
    pub(super) requests: SendRequest<WriteBuffer>,
    pub(super) streams: Arc<StreamCount>,
    pub(super) peer: ConnectedPeer,
    /// The PROXY header sent on it.
    pub(super) proxy_header: Option<ProxyHeader>,
    pub(super) is_tls: bool,
    pub(super) opened_at: Instant,
    /// When it was last in use.
    pub(super) used: Instant,
    /// When it accepts no more requests.
    pub(super) max_age_deadline: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<Vec<EndpointConnections>> = const { RefCell::new(Vec::new()) };
}

/// The connections of an endpoint; those of an earlier owner of the slot are dropped.
pub(super) fn connections<T>(key: PoolKey, with: impl FnOnce(&mut EndpointConnections) -> T) -> T {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= key.index() {
            pool.resize_with(key.index() + 1, EndpointConnections::default);
        }
        let connections = &mut pool[key.index()];
        if connections.generation != key.generation() {
            *connections =
                EndpointConnections { generation: key.generation(), ..EndpointConnections::default() };
        }
        with(connections)
    })
}

impl EndpointConnections {
    /// Adds a new connection, and notifies the requests that wait for a stream.
    pub(super) fn add(&mut self, connection: SharedConnection) {
        self.http1 = false;
        if connection.proxy_header.is_some() && self.shared.len() >= MAX_PROXIED_CONNECTIONS {
            self.shared.remove(0);
        }
        self.shared.push(connection);
        self.wait_queue.notify.notify_waiters();
    }

    /// A stream on the first connection with room; closed connections are dropped.
    pub(super) fn stream(
        &mut self,
        addr: &ConnectAddr,
        header: Option<&ProxyHeader>,
        cx: &mut Context,
    ) -> Option<Box<BackendStream>> {
        let mut stream = None;
        self.shared.retain_mut(|shared| {
            if stream.is_some() || shared.proxy_header.as_ref() != header {
                return true;
            }
            let now = Instant::now();
            if !addr.is_current(&mut shared.peer)
                || shared.max_age_deadline.is_some_and(|deadline| deadline <= now)
            {
                return false;
            }
            if shared.is_yielding(now) {
                return true;
            }
            let mut requests = shared.requests.clone();
            match requests.poll_ready(cx) {
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) if shared.has_room() => {
                    shared.used = now;
                    let guard = StreamGuard::acquire(&shared.streams);
                    stream = Some(BackendStream::new(requests, shared.is_tls, true, guard));
                }
                _ => {}
            }
            true
        });
        stream
    }
}

impl SharedConnection {
    /// A connection opened to `target` now.
    pub(super) fn new(
        requests: SendRequest<WriteBuffer>,
        streams: Arc<StreamCount>,
        peer: ConnectedPeer,
        target: &ConnectTarget,
        max_lifetime: Option<Duration>,
    ) -> SharedConnection {
        let now = Instant::now();
        SharedConnection {
            requests,
            streams,
            peer,
            proxy_header: target.proxy_header,
            is_tls: target.tls.is_some(),
            opened_at: now,
            used: now,
            max_age_deadline: max_lifetime.map(|max_lifetime| now + max_lifetime),
        }
    }

    fn has_room(&self) -> bool {
        (self.streams.current() as usize) < self.requests.current_max_send_streams()
    }

    /// Whether it is idle while requests are queued for its permit elsewhere.
    fn is_contended(&self) -> bool {
        self.streams.current() == 0 && self.streams.has_other_waiters()
    }

    fn is_yielding(&self, now: Instant) -> bool {
        let intervals =
            now.saturating_duration_since(self.opened_at).as_millis() / YIELD_INTERVAL.as_millis();
        intervals % 2 == 1 && self.streams.has_other_waiters()
    }
}

/// Closes connections that were idle for too long, and drops closed ones.
pub fn evict_expired(now: Instant, max_idle: Duration) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    POOL.with_borrow_mut(|pool| {
        for connections in pool.iter_mut() {
            connections.shared.retain_mut(|shared| {
                if shared.streams.current() > 0 {
                    shared.used = now;
                }
                let recently_used = now.saturating_duration_since(shared.used) < max_idle;
                let keep = recently_used && (shared.streams.current() > 0 || !shared.peer.is_leaving());
                keep && !shared.is_contended()
                    && !matches!(shared.requests.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
            });
        }
    });
}

/// The number of connections of this worker, and of their active streams.
pub fn connection_counts() -> (u64, u64) {
    POOL.with_borrow(|pool| {
        let all = || pool.iter().flat_map(|connections| &connections.shared);
        (all().count() as u64, all().map(|shared| u64::from(shared.streams.current())).sum())
    })
}

/// Closes the idle connections of one endpoint that requests are queued for elsewhere, to free their permits; returns how
/// many.
pub fn release_contended(limiter: &ConnectionLimiter) -> usize {
    connections(limiter.key(), |connections| {
        let before = connections.shared.len();
        connections.shared.retain(|shared| !shared.is_contended());
        before - connections.shared.len()
    })
}
