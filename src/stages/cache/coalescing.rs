//! Requests for the same at the same time: one is asked for, the others wait and read what comes.

use super::{
    entry::{Entry, EntryMetadata},
    key::Key,
    streaming_fill::StreamingFill,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How the table is cut, so that workers rarely meet.
const SHARDS: usize = 64;

/// An answer whose body is coming in.
#[derive(Debug)]
pub struct StreamingEntry {
    pub about: Arc<EntryMetadata>,
    pub filling: Arc<StreamingFill>,
}

/// What became of a request that others wait for.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing is known yet.
    Pending,
    /// The answer can be read along.
    Open(Arc<StreamingEntry>),
    /// The answer is stored.
    Stored(Arc<Entry>),
    /// The answer is for nobody else: each has to ask for itself.
    NotShareable,
    /// The one who asked left without an answer: another one has to ask.
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

    /// What is known now.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_waiters();
    }

    /// What is known once something is.
    pub async fn wait_finished(&self) -> State {
        loop {
            let changed = self.changed.notified();
            let state = self.state();
            if !matches!(state, State::Pending) {
                return state;
            }
            changed.await;
        }
    }
}

/// All requests that others may wait for.
#[derive(Debug)]
pub struct Coalescer([Mutex<HashMap<Key, Arc<InFlightRequest>>>; SHARDS]);

impl Default for Coalescer {
    fn default() -> Self {
        Coalescer(std::array::from_fn(|_| Mutex::default()))
    }
}

/// Who asks.
pub enum Role {
    /// This one, for all.
    Leader(Leader),
    /// Another one.
    Follower(Arc<InFlightRequest>),
}

impl Coalescer {
    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Arc<InFlightRequest>>> {
        self.0[key.0[0] as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the request for this key, or makes it.
    pub fn join(self: &Arc<Self>, key: Key) -> Role {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(&key) {
            return Role::Follower(flight.clone());
        }
        let flight = Arc::new(InFlightRequest { state: Mutex::new(State::Pending), changed: Notify::new() });
        shard.insert(key, flight.clone());
        Role::Leader(Leader { flights: self.clone(), flight, key, resolved: false })
    }

    fn complete(&self, key: Key, flight: &Arc<InFlightRequest>) {
        let mut shard = self.shard(key);
        if shard.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            shard.remove(&key);
        }
    }

    /// Requests that are under way.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().map_or(0, |shard| shard.len())).sum()
    }
}

/// The word of the one who asks; dropped without one, somebody else has to ask.
#[derive(Debug)]
pub struct Leader {
    flights: Arc<Coalescer>,
    flight: Arc<InFlightRequest>,
    key: Key,
    resolved: bool,
}

impl Leader {
    /// The answer can be read along; the flight goes on until it is whole.
    pub fn publish_stream(&self, incoming: Arc<StreamingEntry>) {
        self.flight.set(State::Open(incoming));
    }

    /// The answer is stored, or for nobody else.
    pub fn end(mut self, entry: Option<Arc<Entry>>) {
        self.resolved = true;
        self.flights.complete(self.key, &self.flight);
        self.flight.set(entry.map_or(State::NotShareable, State::Stored));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.resolved {
            self.flights.complete(self.key, &self.flight);
            self.flight.set(State::Abandoned);
        }
    }
}

/// Requests under keys whose last answer was for one client only: they do not wait for each other.
#[derive(Debug)]
pub struct UncacheableMarkers {
    epoch: Instant,
    slots: Box<[AtomicU64]>,
}

/// How long such an answer is remembered.
const MARKER_TTL: Duration = Duration::from_secs(10);

impl Default for UncacheableMarkers {
    fn default() -> Self {
        UncacheableMarkers { epoch: Instant::now(), slots: (0..4096).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl UncacheableMarkers {
    fn slot(&self, key: Key) -> &AtomicU64 {
        &self.slots[key.0[1] as usize % self.slots.len()]
    }

    fn moment(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// Remembers whether the answer can be shared.
    pub fn record(&self, key: Key, shared: bool, now: Instant) {
        self.slot(key).store(if shared { 0 } else { self.moment(now + MARKER_TTL) }, Relaxed);
    }

    /// Whether nobody should wait for somebody else's answer.
    pub fn should_bypass(&self, key: Key, now: Instant) -> bool {
        self.slot(key).load(Relaxed) > self.moment(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([1, 2]);

    #[tokio::test]
    async fn one_asks_and_the_others_hear_what_became_of_it() {
        let flights = Arc::new(Coalescer::default());
        let Role::Leader(lead) = flights.join(KEY) else { panic!("nobody asked before") };
        let Role::Follower(flight) = flights.join(KEY) else { panic!("somebody asks already") };
        let waiting = tokio::spawn(async move { flight.wait_finished().await });
        tokio::task::yield_now().await;
        lead.end(None);
        assert!(matches!(waiting.await, Ok(State::NotShareable)));
        assert!(matches!(flights.join(KEY), Role::Leader(_)));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn when_the_one_who_asks_leaves_another_one_has_to() {
        let flights = Arc::new(Coalescer::default());
        let Role::Leader(lead) = flights.join(KEY) else { panic!("nobody asked before") };
        let Role::Follower(flight) = flights.join(KEY) else { panic!("somebody asks already") };
        drop(lead);
        assert!(matches!(flight.wait_finished().await, State::Abandoned));
    }

    #[test]
    fn an_answer_for_one_is_remembered_for_a_while() {
        let passes = UncacheableMarkers::default();
        let now = Instant::now();
        passes.record(KEY, false, now);
        assert!(passes.should_bypass(KEY, now) && !passes.should_bypass(Key([1, 3]), now));
        assert!(!passes.should_bypass(KEY, now + MARKER_TTL));
        passes.record(KEY, true, now);
        assert!(!passes.should_bypass(KEY, now));
    }
}
