//! Idle connections to backends, kept by the worker that opened them: no lock, no map, the last one used first.

use super::{connect::ConnectAddr, h1::backend::BackendConn, proxy_protocol::ProxyHeader};
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, futures::Notified, oneshot};

/// The most idle connections to one endpoint that a worker keeps.
const MAX_IDLE_PER_ENDPOINT: usize = 512;

/// The place of an endpoint in every worker's pool. While it lives, no other endpoint has the same slot; when it is
/// dropped its generation ends, and what still lies in the pools under the slot is closed.
#[derive(Debug)]
pub struct PoolSlot(PoolKey);

/// Which endpoint a connection belongs to: the slot, and the generation in which it had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    index: usize,
    generation: u64,
}

struct Slots {
    free: Vec<usize>,
    /// The generation of each slot; 0: nobody has it.
    used: Vec<u64>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: Vec::new(), used: Vec::new() });
static GENERATION: AtomicU64 = AtomicU64::new(1);

fn slots() -> MutexGuard<'static, Slots> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PoolKey {
    pub(in crate::net) fn index(self) -> usize {
        self.index
    }

    pub(in crate::net) fn generation(self) -> u64 {
        self.generation
    }
}

impl PoolSlot {
    /// A slot for a new endpoint.
    pub fn claim() -> PoolSlot {
        let mut slots = slots();
        let index = slots.free.pop().unwrap_or(slots.used.len());
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        match slots.used.get_mut(index) {
            Some(used) => *used = generation,
            None => slots.used.push(generation),
        }
        PoolSlot(PoolKey { index, generation })
    }

    /// What connections of the endpoint are known by.
    pub fn key(&self) -> PoolKey {
        self.0
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        let mut slots = slots();
        slots.free.push(self.0.index);
        if let Some(used) = slots.used.get_mut(self.0.index) {
            *used = 0;
        }
    }
}

/// Generation and what it holds, for each slot. A connection does not keep its slot alive: the generation tells.
type IdleList = Vec<(u64, Vec<Idle>)>;

struct Idle {
    conn: Box<BackendConn>,
    since: Instant,
}

/// Somebody found no connection free.
static RELEASE_REQUESTED: Notify = Notify::const_new();

type Waiters = HashMap<PoolKey, VecDeque<oneshot::Sender<Box<BackendConn>>>>;

thread_local! {
    /// Requests of this worker that wait for a connection under a limit.
    static WAITERS: RefCell<Waiters> = RefCell::new(HashMap::new());
    static POOL: RefCell<IdleList> = const { RefCell::new(Vec::new()) };
    /// The time of the last sweep: exact enough for idle times, and free.
    static NOW: RefCell<Option<Instant>> = const { RefCell::new(None) };
}

/// An idle connection of that endpoint that still seems alive, and leads to where one would dial now; one of which this
/// was said, where something is said of connections.
pub fn check_out(
    key: PoolKey,
    dial: &ConnectAddr,
    said: Option<&ProxyHeader>,
    cx: &mut Context,
) -> Option<Box<BackendConn>> {
    POOL.with_borrow_mut(|pool| {
        let (generation, idle) = pool.get_mut(key.index)?;
        if *generation != key.generation {
            idle.clear();
            return None;
        }
        while let Some(Idle { mut conn, .. }) = latest_generation(idle, said) {
            if conn.is_current(dial) && !conn.is_dead(cx) {
                conn.reused = true;
                return Some(conn);
            }
        }
        None
    })
}

fn latest_generation(idle: &mut Vec<Idle>, said: Option<&ProxyHeader>) -> Option<Idle> {
    if said.is_none() {
        return idle.pop();
    }
    let at = idle.iter().rposition(|one| one.conn.proxy_header() == said)?;
    Some(idle.remove(at))
}

/// Closes the oldest idle connection of that endpoint: it was said to be another client's, and its permit is wanted.
pub fn evict_oldest(key: PoolKey) {
    let gone = POOL.with_borrow_mut(|pool| {
        let (generation, idle) = pool.get_mut(key.index)?;
        (*generation == key.generation && !idle.is_empty()).then(|| idle.remove(0))
    });
    drop(gone);
}

/// Puts a connection back after both messages ended cleanly.
pub fn check_in(conn: Box<BackendConn>) {
    let PoolKey { index, generation } = conn.key();
    let since = NOW.with_borrow(|now| *now).unwrap_or_else(Instant::now);
    if conn.is_retired(since) {
        return;
    }
    if conn.limiter().is_some_and(|gate| gate.waiting() > 0) {
        // Nobody else can use one that was said to be this client's: its permit is given back.
        return if conn.proxy_header().is_some() { drop(conn) } else { hand_to_waiter(conn) };
    }
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() <= index {
            pool.resize_with(index + 1, || (0, Vec::new()));
        }
        let shelf = &mut pool[index];
        if shelf.0 != generation {
            *shelf = (generation, Vec::new());
        }
        if shelf.1.len() >= MAX_IDLE_PER_ENDPOINT {
            // One of a client that is here is worth more than one of a client that may be gone.
            if conn.proxy_header().is_none() {
                return;
            }
            shelf.1.remove(0);
        }
        shelf.1.push(Idle { conn, since });
    });
}

/// Closes what was idle for too long, what the backend closed, and what belongs to no endpoint any more.
pub fn sweep(now: Instant, longest: Duration) {
    NOW.set(Some(now));
    let mut cx = Context::from_waker(Waker::noop());
    POOL.with_borrow_mut(|pool| {
        let gone = close_retired(pool);
        drop(gone);
        for (_, idle) in pool.iter_mut() {
            idle.retain_mut(|Idle { conn, since }| {
                let young = now.saturating_duration_since(*since) < longest && !conn.is_retired(now);
                young && !conn.is_dead(&mut cx)
            });
        }
    });
}

/// Takes out the connections of endpoints that are gone; they are closed when the lock is not held any more.
fn close_retired(pool: &mut IdleList) -> Vec<Idle> {
    let slots = slots();
    let orphans = pool
        .iter_mut()
        .enumerate()
        .filter(|(index, (generation, idle))| !idle.is_empty() && slots.used.get(*index) != Some(generation));
    orphans.flat_map(|(_, (_, idle))| idle.drain(..)).collect()
}

/// Gives a connection to a request of this worker that waits for one; closes it if none does, or if it is time that
/// another worker gets its permit.
fn hand_to_waiter(mut conn: Box<BackendConn>) {
    let (key, mut given) = (conn.key(), None);
    conn.reused = true;
    let _ = WAITERS.try_with(|waiters| {
        let mut waiters = waiters.borrow_mut();
        let here = waiters.get(&key).map_or(0, VecDeque::len);
        if conn.limiter().is_some_and(|gate| gate.should_yield_to_other_worker(here)) {
            return;
        }
        given = Some(conn);
        while let Some(conn) = given.take() {
            let Some(waiter) = waiters.get_mut(&key).and_then(VecDeque::pop_front) else { break };
            given = waiter.send(conn).err();
        }
        waiters.retain(|_, queue| !queue.is_empty());
    });
}

/// A connection of that endpoint, as soon as a request of this worker is done with one.
pub fn register_waiter(key: PoolKey) -> oneshot::Receiver<Box<BackendConn>> {
    let (give, handed) = oneshot::channel();
    WAITERS.with_borrow_mut(|waiters| {
        let queue = waiters.entry(key).or_default();
        queue.retain(|waiter| !waiter.is_closed());
        queue.push_back(give);
    });
    handed
}

/// Tells all workers that somebody waits for a connection that may lie idle in their pools.
pub fn request_idle_release() {
    RELEASE_REQUESTED.notify_waiters();
}

/// Ready when somebody waits; to be made before [`give_up`] is called, so that no call is missed.
pub fn idle_release_requested() -> Notified<'static> {
    RELEASE_REQUESTED.notified()
}

/// Closes idle connections under limits where somebody waits: their permits go to those.
pub fn release_contended() {
    POOL.with_borrow_mut(|pool| {
        for (_, idle) in pool.iter_mut() {
            let gate = idle.first().and_then(|Idle { conn, .. }| conn.limiter());
            let waiting = gate.map_or(0, super::connection_limit::ConnectionLimiter::waiting).min(idle.len());
            idle.drain(..waiting);
        }
    });
}

/// How many idle connections this worker holds.
pub fn idle_count() -> usize {
    POOL.with_borrow(|pool| pool.iter().map(|(_, idle)| idle.len()).sum())
}
