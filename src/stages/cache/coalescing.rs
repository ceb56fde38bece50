//! Request coalescing: of concurrent requests with the same key one, the leader, goes to the backend; the others wait.

use super::{entry::Entry, key::Key, streaming_fill::StreamingEntry};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Shards of the table, against lock contention between workers.
const SHARDS: usize = 64;

/// The state of a request that others wait for.
#[derive(Clone, Debug)]
pub enum State {
    /// No response yet.
    Pending,
    /// The body is arriving and can be read.
    Open(Arc<StreamingEntry>),
    /// The response is stored.
    Stored(Arc<Entry>),
    /// The response cannot be shared: each request has to go to the backend.
    NotShareable,
    /// The leader was canceled without a response: another request has to lead.
    Abandoned,
}

/// A request that others wait for.
#[derive(Debug)]
pub struct InFlightRequest {
    state: Mutex<State>,
    changed: Notify,
}

impl InFlightRequest {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current state.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_waiters();
    }

    /// Waits until `deadline` for a response that can be used: one that followers can read, or a complete one. After
    /// the deadline each request has to go to the backend.
    pub async fn wait_usable(&self, deadline: Instant) -> State {
        let usable = tokio::time::timeout_at(deadline.into(), self.wait_finished());
        usable.await.unwrap_or(State::NotShareable)
    }

    async fn wait_finished(&self) -> State {
        loop {
            let changed = self.changed.notified();
            match self.state() {
                State::Pending => {}
                // Its client may be slow: from now on the body is read without it.
                State::Open(streaming) if !streaming.fill.is_open() => streaming.fill.request_detach(),
                state => return state,
            }
            changed.await;
        }
    }
}

/// All requests in flight that others may wait for.
#[derive(Debug)]
pub struct Coalescer([Mutex<HashMap<Key, Arc<InFlightRequest>>>; SHARDS]);

impl Default for Coalescer {
    fn default() -> Self {
        Coalescer(std::array::from_fn(|_| Mutex::default()))
    }
}

/// The role of a request.
pub enum Role {
    /// It goes to the backend.
    Leader(Leader),
    /// It waits for the leader.
    Follower(Arc<InFlightRequest>),
}

impl Coalescer {
    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Arc<InFlightRequest>>> {
        self.0[key.0[0] as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the request in flight for the key, or becomes its leader.
    pub fn join(self: &Arc<Self>, key: Key) -> Role {
        let mut shard = self.shard(key);
        if let Some(request) = shard.get(&key) {
            return Role::Follower(request.clone());
        }
        let request = Arc::new(InFlightRequest { state: Mutex::new(State::Pending), changed: Notify::new() });
        shard.insert(key, request.clone());
        Role::Leader(Leader { coalescer: self.clone(), request, key, resolved: false })
    }

    fn complete(&self, key: Key, request: &Arc<InFlightRequest>) {
        let mut shard = self.shard(key);
        if shard.get(&key).is_some_and(|known| Arc::ptr_eq(known, request)) {
            shard.remove(&key);
        }
    }

    /// Requests in flight.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().map_or(0, |shard| shard.len())).sum()
    }
}

/// The leader of an in-flight request. Dropped without `end`, it leaves the lead to another request.
#[derive(Debug)]
pub struct Leader {
    coalescer: Arc<Coalescer>,
    request: Arc<InFlightRequest>,
    key: Key,
    resolved: bool,
}

impl Leader {
    /// Lets followers read the body while it arrives.
    pub fn publish_stream(&self, incoming: Arc<StreamingEntry>) {
        self.request.set(State::Open(incoming));
    }

    /// Ends the request: its response is stored, or cannot be shared.
    pub fn end(mut self, entry: Option<Arc<Entry>>) {
        self.resolved = true;
        self.coalescer.complete(self.key, &self.request);
        self.request.set(entry.map_or(State::NotShareable, State::Stored));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.resolved {
            self.coalescer.complete(self.key, &self.request);
            self.request.set(State::Abandoned);
        }
    }
}

/// Keys whose last response could not be shared: their requests are not coalesced (Varnish: hit-for-miss).
#[derive(Debug)]
pub struct UncacheableMarkers {
    start: Instant,
    slots: Box<[AtomicU64]>,
}

/// Lifetime of a marker.
const MARKER_TTL: Duration = Duration::from_secs(10);

impl Default for UncacheableMarkers {
    fn default() -> Self {
        UncacheableMarkers { start: Instant::now(), slots: (0..4096).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl UncacheableMarkers {
    fn slot(&self, key: Key) -> &AtomicU64 {
        &self.slots[key.0[1] as usize % self.slots.len()]
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }

    /// Records whether the response could be shared.
    pub fn record(&self, key: Key, shared: bool, now: Instant) {
        self.slot(key).store(if shared { 0 } else { self.elapsed_ms(now + MARKER_TTL) }, Relaxed);
    }

    /// Whether requests should not wait for each other.
    pub fn should_bypass(&self, key: Key, now: Instant) -> bool {
        self.slot(key).load(Relaxed) > self.elapsed_ms(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([1, 2]);

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_waits_until_its_deadline() {
        let coalescer = Arc::new(Coalescer::default());
        let Role::Leader(_leader) = coalescer.join(KEY) else { panic!("expected a leader") };
        let Role::Follower(request) = coalescer.join(KEY) else { panic!("expected a follower") };
        assert!(matches!(request.wait_usable(later()).await, State::NotShareable));
    }

    #[tokio::test]
    async fn followers_see_the_result_of_the_leader() {
        let coalescer = Arc::new(Coalescer::default());
        let Role::Leader(leader) = coalescer.join(KEY) else { panic!("expected a leader") };
        let Role::Follower(request) = coalescer.join(KEY) else { panic!("expected a follower") };
        let waiter = tokio::spawn(async move { request.wait_usable(later()).await });
        tokio::task::yield_now().await;
        leader.end(None);
        assert!(matches!(waiter.await, Ok(State::NotShareable)));
        assert!(matches!(coalescer.join(KEY), Role::Leader(_)));
        assert_eq!(coalescer.count(), 0);
    }

    #[tokio::test]
    async fn a_canceled_leader_leaves_the_lead_to_another_request() {
        let coalescer = Arc::new(Coalescer::default());
        let Role::Leader(leader) = coalescer.join(KEY) else { panic!("expected a leader") };
        let Role::Follower(request) = coalescer.join(KEY) else { panic!("expected a follower") };
        drop(leader);
        assert!(matches!(request.wait_usable(later()).await, State::Abandoned));
    }

    #[test]
    fn a_marker_expires_or_is_cleared_by_a_shared_response() {
        let markers = UncacheableMarkers::default();
        let now = Instant::now();
        markers.record(KEY, false, now);
        assert!(markers.should_bypass(KEY, now) && !markers.should_bypass(Key([1, 3]), now));
        assert!(!markers.should_bypass(KEY, now + MARKER_TTL));
        markers.record(KEY, true, now);
        assert!(!markers.should_bypass(KEY, now));
    }
}
