//! The requests that wait for a connection to one endpoint, and who is served next.
//!
//! In arrival order as a rule. The backend is overloaded if the last request would wait too long: then every response
//! would be too late for its client. While it is, the newest request is served first (adaptive LIFO) and the oldest are
//! evicted, so that the requests that are sent are those whose clients still wait. The queue is judged by the rate at
//! which it is served, after it has not been empty for a while (controlled delay).

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
    task::Waker,
    time::{Duration, Instant},
};

/// How long the queue must not have been empty before its rate is judged.
const STANDING_QUEUE_DELAY: Duration = Duration::from_millis(400);

/// The longest expected wait where no timeout is configured.
const DEFAULT_MAX_WAIT: Duration = Duration::from_millis(500);

/// The rate is measured over at least half of this time.
const RATE_PERIOD: Duration = Duration::from_secs(2);

/// The most requests that one new request evicts: a burst that is being served is not discarded at once.
const MAX_EVICTIONS: usize = 2;

/// The order of requests, and the key of what they receive: unique in the process.
static TICKET: AtomicU64 = AtomicU64::new(0);

/// Maximum number of connections and of pending requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionLimit {
    pub max_connections: usize,
    pub max_pending: usize,
    /// How long a request may wait, and the longest expected wait; a backend with a longer one is overloaded. `None`: until
    /// the request's own deadline, and 500 ms.
    pub pending_timeout: Option<Duration>,
}

/// What a request of the queue received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Permission for a connection.
    Permit,
    /// A connection that was released on its worker.
    Released,
    /// The backend is overloaded, and newer requests are served first.
    Evicted,
}

/// A request that waits.
#[derive(Debug)]
struct Waiter {
    worker: usize,
    /// Whether it can use a connection that another request of its worker releases.
    accepts_released: bool,
    since: Instant,
    waker: Option<Waker>,
}

/// The free permits of an endpoint, and the requests that wait for one.
#[derive(Debug)]
pub(super) struct ConnectionQueue {
    limit: ConnectionLimit,
    free: usize,
    waiting: BTreeMap<u64, Waiter>,
    outcomes: HashMap<u64, Outcome>,
    /// Since when the queue is not empty, and the requests served since then; both are halved now and then.
    since: Option<Instant>,
    served: u32,
    is_overloaded: bool,
    /// Counts released connections: every fourth goes to another worker.
    handoffs: usize,
}

impl ConnectionQueue {
    /// A queue with all permits free.
    pub(super) fn new(limit: ConnectionLimit) -> ConnectionQueue {
        ConnectionQueue {
            limit,
            free: limit.max_connections,
            waiting: BTreeMap::new(),
            outcomes: HashMap::new(),
            since: None,
            served: 0,
            is_overloaded: false,
            handoffs: 0,
        }
    }

    /// The number of waiting requests.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all permits are taken.
    pub(super) fn is_exhausted(&self) -> bool {
        self.free == 0
    }

    /// Whether the newest requests are served first.
    pub(super) fn is_overloaded(&self) -> bool {
        self.is_overloaded
    }

    /// Takes a free permit. None is free while requests wait.
    pub(super) fn try_take(&mut self) -> bool {
        let is_free = self.free > 0;
        self.free -= usize::from(is_free);
        is_free
    }

    /// Adds a request, and returns its ticket and the wakers of the requests that it evicts; `None` if the queue is full.
    pub(super) fn join(
        &mut self,
        worker: usize,
        accepts_released: bool,
        now: Instant,
    ) -> Option<(u64, Vec<Waker>)> {
        self.measure(now);
        let mut evicted = Vec::new();
        if self.len() >= self.limit.max_pending {
            let oldest = if self.is_overloaded { self.waiting.first_key_value() } else { None };
            let oldest = oldest.map(|(ticket, _)| *ticket)?;
            evicted.extend(self.settle(oldest, Outcome::Evicted));
        }
        let ticket = TICKET.fetch_add(1, Ordering::Relaxed);
        self.waiting.insert(ticket, Waiter { worker, accepts_released, since: now, waker: None });
        self.evict_oldest(now, &mut evicted);
        Some((ticket, evicted))
    }

    /// Starts measuring when the queue is empty; otherwise determines whether the backend is overloaded.
    fn measure(&mut self, now: Instant) {
        let since = match self.since {
            Some(since) if !self.waiting.is_empty() => since,
            _ => {
                (self.since, self.served, self.is_overloaded) = (Some(now), 0, false);
                return;
            }
        };
        let elapsed = now.saturating_duration_since(since);
        if elapsed > RATE_PERIOD {
            (self.since, self.served) = (Some(now - elapsed / 2), self.served / 2);
        }
        if elapsed >= STANDING_QUEUE_DELAY {
            // It has ended when half of the queue is served.
            let waiting = if self.is_overloaded { 2 * self.len() } else { self.len() };
            self.is_overloaded = waiting > self.max_len(now);
        }
    }

    /// The requests that are served within the longest expected wait, and at least one for each connection.
    fn max_len(&self, now: Instant) -> usize {
        let served = self.rate(now) * self.max_wait().as_secs_f64();
        (served as usize).max(self.limit.max_connections)
    }

    /// The requests served per second since the queue is not empty.
    fn rate(&self, now: Instant) -> f64 {
        let elapsed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        f64::from(self.served) / elapsed.as_secs_f64().max(0.001)
    }

    fn max_wait(&self) -> Duration {
        self.limit.pending_timeout.unwrap_or(DEFAULT_MAX_WAIT)
    }

    /// While the backend is overloaded: evicts the oldest requests beyond the length of the queue, or its longest wait.
    fn evict_oldest(&mut self, now: Instant, evicted: &mut Vec<Waker>) {
        if !self.is_overloaded {
            return;
        }
        let max_len = self.max_len(now);
        let max_age = max_len as f64 / self.rate(now).max(0.001);
        for _ in 0..MAX_EVICTIONS {
            let Some((ticket, waiter)) = self.waiting.first_key_value() else { return };
            let age = now.saturating_duration_since(waiter.since).as_secs_f64();
            if self.len() <= max_len && age <= max_age {
                return;
            }
            let ticket = *ticket;
            evicted.extend(self.settle(ticket, Outcome::Evicted));
        }
    }

    /// Ends the wait of a request; returns its waker.
    fn settle(&mut self, ticket: u64, outcome: Outcome) -> Option<Waker> {
        let waiter = self.waiting.remove(&ticket)?;
        self.served += u32::from(outcome != Outcome::Evicted);
        self.outcomes.insert(ticket, outcome);
        waiter.waker
    }

    /// Returns a permit: the next request receives it. Returns the waker of exactly this one.
    pub(super) fn release(&mut self) -> Option<Waker> {
        let next = match self.is_overloaded {
            true => self.waiting.last_key_value(),
            false => self.waiting.first_key_value(),
        };
        let Some((ticket, _)) = next else {
            self.free += 1;
            return None;
        };
        let ticket = *ticket;
        self.settle(ticket, Outcome::Permit)
    }

    /// The request that receives a connection released on this worker, with its waker. `None` if no request can use it, or
    /// if its permit is due to another worker.
    pub(super) fn hand_over(&mut self, worker: usize) -> Option<(u64, Option<Waker>)> {
        self.handoffs = self.handoffs.wrapping_add(1);
        if self.handoffs.is_multiple_of(4) && self.waiting.values().any(|waiter| waiter.worker != worker) {
            return None;
        }
        let can_use = |(_, waiter): &(&u64, &Waiter)| waiter.worker == worker && waiter.accepts_released;
        let next = match self.is_overloaded {
            true => self.waiting.iter().rev().find(can_use),
            false => self.waiting.iter().find(can_use),
        };
        let ticket = *next?.0;
        Some((ticket, self.settle(ticket, Outcome::Released)))
    }

    /// What the request received, if its wait has ended.
    pub(super) fn poll(&mut self, ticket: u64, waker: &Waker) -> Option<Outcome> {
        if let Some(waiter) = self.waiting.get_mut(&ticket) {
            match &mut waiter.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return None;
        }
        self.outcomes.remove(&ticket)
    }

    /// Removes a request that does not wait any longer, and returns what it received without taking it. `is_served`: it
    /// found a place elsewhere.
    pub(super) fn leave(&mut self, ticket: u64, is_served: bool) -> Option<Outcome> {
        if self.waiting.remove(&ticket).is_some() {
            self.served += u32::from(is_served);
            return None;
        }
        self.outcomes.remove(&ticket)
    }
}

#[cfg(test)]
#[path = "connection_queue_tests.rs"]
mod tests;
