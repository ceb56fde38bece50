//! Idle HTTP/1.1 connections to backends, one pool per worker: no lock, no map, last in, first out.

use super::{
    connect::ConnectAddr,
    connection_limit::{ConnectionLimiter, IdleSource},
    h1::backend::BackendConn,
    pool_key::{PoolKey, slots},
    proxy_protocol::ProxyHeader,
};
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, futures::Notified, oneshot};

/// Maximum number of idle connections per endpoint and worker.
const MAX_IDLE_PER_ENDPOINT: usize = 512;

/// The generation and the idle connections of each slot. A connection does not keep its slot alive.
type IdleList = Vec<(u64, Vec<Idle>)>;

struct Idle {
    conn: Box<BackendConn>,
    since: Instant,
    _guard: Option<ReleasableGuard>,
}

/// Requests for permits that idle connections of any worker may hold.
#[derive(Debug)]
struct IdleRelease {
    /// Connections with a permit that may be idle.
    releasable: AtomicUsize,
    requested: Notify,
}

static IDLE_RELEASE: IdleRelease = IdleRelease::new();

impl IdleRelease {
    const fn new() -> IdleRelease {
        IdleRelease { releasable: AtomicUsize::new(0), requested: Notify::const_new() }
    }

    /// Wakes all workers, unless none of them has a connection to release: each one walks its pools.
    fn request(&self) {
        if self.releasable.load(SeqCst) > 0 {
            self.requested.notify_waiters();
        }
    }

    fn guard(&'static self) -> ReleasableGuard {
        self.releasable.fetch_add(1, SeqCst);
        ReleasableGuard(self)
    }
}

/// Counts a connection with a permit that may be idle.
#[derive(Debug)]
pub struct ReleasableGuard(&'static IdleRelease);

impl ReleasableGuard {
    /// Counts one more until the guard is dropped.
    pub fn acquire() -> ReleasableGuard {
        IDLE_RELEASE.guard()
    }
}

impl Drop for ReleasableGuard {
    fn drop(&mut self) {
        self.0.releasable.fetch_sub(1, SeqCst);
    }
}

type Waiters = HashMap<PoolKey, VecDeque<oneshot::Sender<Box<BackendConn>>>>;

thread_local! {
    /// Requests of this worker that wait for a connection under a limit.
    static WAITERS: RefCell<Waiters> = RefCell::new(HashMap::new());
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
            if conn.is_current(addr) && !conn.is_dead(cx) {
                conn.reused = true;
                return Some(conn);
            }
        }
        None
    })
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
    let evicted = POOL.with_borrow_mut(|pool| {
        let (generation, idle) = pool.get_mut(key.index())?;
        (*generation == key.generation() && !idle.is_empty()).then(|| idle.remove(0))
    });
    drop(evicted);
}

/// Returns a connection to the pool after both messages ended cleanly.
pub fn check_in(conn: Box<BackendConn>) {
    let (index, generation) = (conn.key().index(), conn.key().generation());
    let since = NOW.with_borrow(|now| *now).unwrap_or_else(Instant::now);
    if conn.is_retired(since) {
        return;
    }
    // Counted before the waiting requests are: a request that waits from now on wakes this worker.
    let guard = conn.limiter().map(|_| ReleasableGuard::acquire());
    if conn.limiter().is_some_and(|limiter| limiter.waiting() > 0) {
        // A connection with a PROXY header serves no other client: drop it to free its permit.
        return if conn.proxy_header().is_some() { drop(conn) } else { hand_to_waiter(conn) };
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
        entry.1.push(Idle { conn, since, _guard: guard });
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
            idle.retain_mut(|Idle { conn, since, .. }| {
                let idle = now.saturating_duration_since(*since);
                let keep = idle < conn.max_idle(max_idle) && !conn.is_retired(now);
                keep && !conn.is_dead(&mut cx)
            });
        }
    });
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

/// Hands a connection to a queued request of this worker; closes it if none is queued, or if its permit is due to another
/// worker.
fn hand_to_waiter(mut conn: Box<BackendConn>) {
    let (key, mut pending) = (conn.key(), None);
    conn.reused = true;
    let _ = WAITERS.try_with(|waiters| {
        let mut waiters = waiters.borrow_mut();
        let local_waiters = waiters.get(&key).map_or(0, VecDeque::len);
        if conn.limiter().is_some_and(|limiter| limiter.should_yield_to_other_worker(local_waiters)) {
            return;
        }
        pending = Some(conn);
        while let Some(conn) = pending.take() {
            let Some(waiter) = waiters.get_mut(&key).and_then(VecDeque::pop_front) else { break };
            pending = waiter.send(conn).err();
        }
        waiters.retain(|_, queue| !queue.is_empty());
    });
}

/// Waits for a connection of an endpoint that is released on this worker.
#[derive(Debug)]
pub struct ReleasedConnection {
    key: Option<PoolKey>,
    receiver: Option<oneshot::Receiver<Box<BackendConn>>>,
}

impl ReleasedConnection {
    /// A connection of that key; `None`: the request can use no HTTP/1.1 connection and only needs a permit.
    pub fn new(key: Option<PoolKey>) -> ReleasedConnection {
        ReleasedConnection { key, receiver: None }
    }
}

impl IdleSource for ReleasedConnection {
    type Connection = Box<BackendConn>;

    fn register(&mut self) {
        self.receiver = self.key.map(register_waiter);
        request_idle_release();
    }

    fn poll_released(&mut self, cx: &mut Context) -> Poll<Box<BackendConn>> {
        let Some(receiver) = &mut self.receiver else { return Poll::Pending };
        match Pin::new(receiver).poll(cx) {
            Poll::Ready(Ok(conn)) => Poll::Ready(conn),
            Poll::Ready(Err(_)) => {
                self.receiver = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn register_waiter(key: PoolKey) -> oneshot::Receiver<Box<BackendConn>> {
    let (sender, receiver) = oneshot::channel();
    WAITERS.with_borrow_mut(|waiters| {
        let queue = waiters.entry(key).or_default();
        queue.retain(|waiter| !waiter.is_closed());
        queue.push_back(sender);
    });
    receiver
}

/// Notifies all workers that a request waits for a permit that an idle connection may hold.
pub fn request_idle_release() {
    IDLE_RELEASE.request();
}

/// Ready when a permit is requested. Create it before calling [`release_contended`], so that no request is missed.
pub fn idle_release_requested() -> Notified<'static> {
    IDLE_RELEASE.requested.notified()
}

/// Closes idle connections under limits that have queued requests, to free their permits.
pub fn release_contended() {
    POOL.with_borrow_mut(|pool| {
        for (_, idle) in pool.iter_mut() {
            let limiter = idle.first().and_then(|Idle { conn, .. }| conn.limiter());
            let waiting = limiter.map_or(0, ConnectionLimiter::waiting).min(idle.len());
            idle.drain(..waiting);
        }
    });
}

/// The number of idle connections of this worker.
pub fn idle_count() -> usize {
    POOL.with_borrow(|pool| pool.iter().map(|(_, idle)| idle.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_woken_only_if_there_is_a_connection_to_release() {
        static RELEASE: IdleRelease = IdleRelease::new();
        let is_woken = || {
            let mut notified = std::pin::pin!(RELEASE.requested.notified());
            notified.as_mut().enable();
            RELEASE.request();
            notified.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(!is_woken());
        let guard = RELEASE.guard();
        assert!(is_woken());
        drop(guard);
        assert!(!is_woken());
    }
}
