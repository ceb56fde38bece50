//! Requests for the same at the same time: one is asked for, the others wait and read what comes.

use super::{
    entry::{About, Entry},
    fill::Filling,
    key::Key,
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
pub struct Incoming {
    pub about: Arc<About>,
    pub filling: Arc<Filling>,
}

/// What became of a request that others wait for.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing is known yet.
    Flying,
    /// The answer can be read along.
    Open(Arc<Incoming>),
    /// The answer is stored.
    Landed(Arc<Entry>),
    /// The answer is for nobody else: each has to ask for itself.
    Released,
    /// The one who asked left without an answer: another one has to ask.
    Abandoned,
}

/// A request that others wait for.
#[derive(Debug)]
pub struct Flight {
    state: Mutex<State>,
    changed: Notify,
}

impl Flight {
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
    pub async fn landed(&self) -> State {
        loop {
            let changed = self.changed.notified();
            let state = self.state();
            if !matches!(state, State::Flying) {
                return state;
            }
            changed.await;
        }
    }
}

/// All requests that others may wait for.
#[derive(Debug)]
pub struct Flights([Mutex<HashMap<Key, Arc<Flight>>>; SHARDS]);

impl Default for Flights {
    fn default() -> Self {
        Flights(std::array::from_fn(|_| Mutex::default()))
    }
}

/// Who asks.
pub enum Joined {
    /// This one, for all.
    Lead(Lead),
    /// Another one.
    Follow(Arc<Flight>),
}

impl Flights {
    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.0[key.0[0] as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the request for this key, or makes it.
    pub fn join(self: &Arc<Self>, key: Key) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(&key) {
            return Joined::Follow(flight.clone());
        }
        let flight = Arc::new(Flight { state: Mutex::new(State::Flying), changed: Notify::new() });
        shard.insert(key, flight.clone());
        Joined::Lead(Lead { flights: self.clone(), flight, key, told: false })
    }

    fn land(&self, key: Key, flight: &Arc<Flight>) {
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
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: Key,
    told: bool,
}

impl Lead {
    /// The answer can be read along; the flight goes on until it is whole.
    pub fn open(&self, incoming: Arc<Incoming>) {
        self.flight.set(State::Open(incoming));
    }

    /// The answer is stored, or for nobody else.
    pub fn end(mut self, entry: Option<Arc<Entry>>) {
        self.told = true;
        self.flights.land(self.key, &self.flight);
        self.flight.set(entry.map_or(State::Released, State::Landed));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.told {
            self.flights.land(self.key, &self.flight);
            self.flight.set(State::Abandoned);
        }
    }
}

/// Requests under keys whose last answer was for one client only: they do not wait for each other.
#[derive(Debug)]
pub struct Passes {
    began: Instant,
    slots: Box<[AtomicU64]>,
}

/// How long such an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);

impl Default for Passes {
    fn default() -> Self {
        Passes { began: Instant::now(), slots: (0..4096).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Passes {
    fn slot(&self, key: Key) -> &AtomicU64 {
        &self.slots[key.0[1] as usize % self.slots.len()]
    }

    fn moment(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }

    /// Remembers whether the answer can be shared.
    pub fn note(&self, key: Key, shared: bool, now: Instant) {
        self.slot(key).store(if shared { 0 } else { self.moment(now + REMEMBERED) }, Relaxed);
    }

    /// Whether nobody should wait for somebody else's answer.
    pub fn passes(&self, key: Key, now: Instant) -> bool {
        self.slot(key).load(Relaxed) > self.moment(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([1, 2]);

    #[tokio::test]
    async fn one_asks_and_the_others_hear_what_became_of_it() {
        let flights = Arc::new(Flights::default());
        let Joined::Lead(lead) = flights.join(KEY) else { panic!("nobody asked before") };
        let Joined::Follow(flight) = flights.join(KEY) else { panic!("somebody asks already") };
        let waiting = tokio::spawn(async move { flight.landed().await });
        tokio::task::yield_now().await;
        lead.end(None);
        assert!(matches!(waiting.await, Ok(State::Released)));
        assert!(matches!(flights.join(KEY), Joined::Lead(_)));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn when_the_one_who_asks_leaves_another_one_has_to() {
        let flights = Arc::new(Flights::default());
        let Joined::Lead(lead) = flights.join(KEY) else { panic!("nobody asked before") };
        let Joined::Follow(flight) = flights.join(KEY) else { panic!("somebody asks already") };
        drop(lead);
        assert!(matches!(flight.landed().await, State::Abandoned));
    }

    #[test]
    fn an_answer_for_one_is_remembered_for_a_while() {
        let passes = Passes::default();
        let now = Instant::now();
        passes.note(KEY, false, now);
        assert!(passes.passes(KEY, now) && !passes.passes(Key([1, 3]), now));
        assert!(!passes.passes(KEY, now + REMEMBERED));
        passes.note(KEY, true, now);
        assert!(!passes.passes(KEY, now));
    }
}
