//! Idle HTTP/1.1 connections to backends, one pool per worker: no lock, no map, last in, first out.

use super::{
    connect::ConnectAddr,
    connection_limit::{ConnectionLimiter, IdleSource},
    h1::backend::BackendConn,
    pool_key::{PoolKey, slots},
    proxy_protocol::ProxyHeader,
    release_requests,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

/// Maximum number of idle connections per endpoint and worker.
const MAX_IDLE_PER_ENDPOINT: usize = 512;

/// The interval of [`evict_idle`].
const EVICTION_INTERVAL: Duration = Duration::from_millis(200);

/// The generation and the idle connections of each slot. A connection does not keep its slot alive.
type IdleList = Vec<(u64, Vec<Idle>)>;

struct Idle {
    conn: Box<BackendConn>,
    since: Instant,
}

thread_local! {
    /// Connections released for queued requests of this worker, by their tickets.
    static RELEASED: RefCell<HashMap<u64, Box<BackendConn>>> = RefCell::new(HashMap::new());
    static POOL: RefCell<IdleList> = const { RefCell::new(Vec::new()) };
    /// The time of the last sweep: precise enough for idle times, and free.
    static NOW: RefCell<Option<Instant>> = const { RefCell::new(None) };
}

/// Takes an idle connection of the endpoint that is still open and connected to a current address; with `header`, one on
/// which the same PROXY header was sent.
pub fn check_out(
    key: PoolKey,
    addr: &ConnectAddr,
    header: Option<&ProxyHeader>,
    cx: &mut Context,
) -> Option<Box<BackendConn>> {
    POOL.with_borrow_mut(|pool| {
        let (generation, idle) = pool.get_mut(key.index())?;
        if *generation != key.generation() {
            idle.clear();
            return None;
        }
        while let Some(Idle { mut conn, .. }) = pop_idle(idle, header) {
            if idle.is_empty()
                && let Some(limiter) = conn.limiter()
            {
                limiter.set_idle(release_requests::worker(), false);
            }
            if conn.is_current(addr) && !conn.is_dead(cx) {
                conn.reused = true;
                return Some(conn);
            }
        }
        None
    })
}

/// Whether this worker holds idle connections of an endpoint.
fn holds_idle(key: PoolKey) -> bool {
    POOL.try_with(|pool| {
        let pool = pool.borrow();
        let entry = pool.get(key.index());
        entry.is_some_and(|(generation, idle)| *generation == key.generation() && !idle.is_empty())
    })
    .unwrap_or(false)
}

fn pop_idle(idle: &mut Vec<Idle>, header: Option<&ProxyHeader>) -> Option<Idle> {
    if header.is_none() {
        return idle.pop();
    }
    let at = idle.iter().rposition(|entry| entry.conn.proxy_header() == header)?;
    Some(idle.remove(at))
}

/// Closes the oldest idle connection of the endpoint, which carries another client's PROXY header, to free its permit.
pub fn evict_oldest(key: PoolKey) {
    drop(remove_oldest(key));
}

fn remove_oldest(key: PoolKey) -> Option<Idle> {
    POOL.with_borrow_mut(|pool| {
        let (generation, idle) = pool.get_mut(key.index())?;
        (*generation == key.generation() && !idle.is_empty()).then(|| idle.remove(0))
    })
}

/// Returns a connection to the pool after both messages ended cleanly.
pub fn check_in(conn: Box<BackendConn>) {
    let since = NOW.with_borrow(|now| *now).unwrap_or_else(Instant::now);
    if conn.is_retired(since) {
        return;
    }
    let (index, generation) = (conn.key().index(), conn.key().generation());
    if let Some(limiter) = conn.limiter() {
        // Before the queue is read: a request that is queued after that finds this worker.
        if !holds_idle(conn.key()) {
            limiter.set_idle(release_requests::worker(), true);
        }
        if limiter.waiting() > 0 {
            return hand_to_waiter(conn);
        }
    }
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() <= index {
            pool.resize_with(index + 1, || (0, Vec::new()));
        }
        let entry = &mut pool[index];
        if entry.0 != generation {
            *entry = (generation, Vec::new());
        }
        if entry.1.len() >= MAX_IDLE_PER_ENDPOINT {
            // A connection of a current client is worth more than one of a client that may have closed.
            if conn.proxy_header().is_none() {
                return;
            }
            entry.1.remove(0);
        }
        entry.1.push(Idle { conn, since });
    });
}

/// Closes connections that were idle for too long, that the backend closed, or whose endpoint no longer exists.
pub fn sweep(now: Instant, max_idle: Duration) {
    NOW.set(Some(now));
    let mut cx = Context::from_waker(Waker::noop());
    POOL.with_borrow_mut(|pool| {
        let evicted = close_retired(pool);
        drop(evicted);
        for (_, idle) in pool.iter_mut() {
            idle.retain_mut(|Idle { conn, since }| {
                let idle = now.saturating_duration_since(*since);
                let keep = idle < conn.max_idle(max_idle) && !conn.is_retired(now);
                keep && !is_contended(conn) && !conn.is_dead(&mut cx)
            });
        }
    });
}

/// Closes connections that were idle for so long, because their descriptors are needed; not often, because every idle
/// connection is looked at.
pub fn evict_idle(now: Instant, max_idle: Duration) {
    let swept_at = NOW.with_borrow(|now| *now);
    if swept_at.is_none_or(|swept_at| now.saturating_duration_since(swept_at) >= EVICTION_INTERVAL) {
        sweep(now, max_idle);
    }
}

/// Removes the connections of endpoints that no longer exist; they are closed after the lock is released.
fn close_retired(pool: &mut IdleList) -> Vec<Idle> {
    let slots = slots();
    let retired = pool
        .iter_mut()
        .enumerate()
        .filter(|(index, (generation, idle))| !idle.is_empty() && slots.used.get(*index) != Some(generation));
    retired.flat_map(|(_, (_, idle))| idle.drain(..)).collect()
}

/// Whether requests are queued for the permit of a connection.
fn is_contended(conn: &BackendConn) -> bool {
    conn.limiter().is_some_and(|limiter| limiter.waiting() > 0)
}

/// Hands a connection to a queued request of this worker; closes it if none is queued, or if its permit is due to another
/// worker.
fn hand_to_waiter(mut conn: Box<BackendConn>) {
    // A connection with a PROXY header serves no other client: it is closed to free its permit.
    let Some(limiter) = conn.limiter().filter(|_| conn.proxy_header().is_none()).cloned() else { return };
    conn.reused = true;
    limiter.hand_over(release_requests::worker(), |ticket| {
        let _ = ticket.map(|ticket| RELEASED.try_with(|released| released.borrow_mut().insert(ticket, conn)));
    });
}

/// A connection of an endpoint that is released on this worker while the request waits.
#[derive(Debug)]
pub struct ReleasedConnection {
    is_accepted: bool,
    ticket: Option<u64>,
}

impl ReleasedConnection {
    /// `is_accepted`: whether the request can use a pooled HTTP/1.1 connection; otherwise it only needs a permit.
    pub fn new(is_accepted: bool) -> ReleasedConnection {
        ReleasedConnection { is_accepted, ticket: None }
    }

    fn remove(&self) -> Option<Box<BackendConn>> {
        let ticket = self.ticket?;
        RELEASED.try_with(|released| released.borrow_mut().remove(&ticket)).ok().flatten()
    }
}

impl IdleSource for ReleasedConnection {
    type Connection = Box<BackendConn>;

    fn worker(&self) -> usize {
        release_requests::worker()
    }

    fn accepts_released(&self) -> bool {
        self.is_accepted
    }

    fn register(&mut self, ticket: u64, limiter: &Arc<ConnectionLimiter>) {
        self.ticket = Some(ticket);
        release_requests::send(limiter);
    }

    fn take(&mut self) -> Option<Box<BackendConn>> {
        self.remove()
    }
}

impl Drop for ReleasedConnection {
    fn drop(&mut self) {
        // Released for a request that was canceled in the same moment: the next one uses it.
        if let Some(conn) = self.remove() {
            check_in(conn);
        }
    }
}

/// Closes idle connections of one endpoint while requests are queued for their permits: each permit goes to one request.
pub fn release_contended(limiter: &Arc<ConnectionLimiter>) {
    let key = limiter.key();
    while limiter.waiting() > 0 {
        let Some(oldest) = remove_oldest(key) else { return };
        drop(oldest);
    }
    if holds_idle(key) {
        limiter.set_idle(release_requests::worker(), true);
        if limiter.waiting() > 0 {
            // It was queued in the meantime.
            release_requests::send(limiter);
        }
    }
}

/// The number of idle connections of this worker.
pub fn idle_count() -> usize {
    POOL.with_borrow(|pool| pool.iter().map(|(_, idle)| idle.len()).sum())
}
