//! Balancers: shared atomics, so that the count is exact across workers, and no lock. What depends on the set of endpoints
//! is worked out when the set changes.

mod random;
mod consistent_hash;
mod peak_ewma;
mod least_request;
mod sticky;
mod round_robin;
#[cfg(test)]
mod tests;

pub use consistent_hash::HashPolicy;
pub use peak_ewma::PeakEwma;
pub use random::ThreadRng;
pub use sticky::{DEFAULT_EXPIRY, SessionStore, Sessions, Sticky};

use super::{
    cluster::Selection,
    endpoint::{Endpoint, EndpointState},
};
use crate::pipeline::exchange::Exchange;
use consistent_hash::LookupTable;
use round_robin::WeightedSchedule;
use smallvec::SmallVec;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The balancers there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BalancerKind {
    /// Ocelot's `NoLoadBalancer`: always the first.
    #[default]
    NoLoadBalancer,
    /// One after the other, beginning with the first.
    RoundRobin,
    /// The one with the fewest exchanges under way; of equals the first.
    LeastConnection,
    /// Of two chosen at random the one with fewer exchanges under way.
    LeastRequest,
    /// Of two chosen at random the one that is faster and has less to do.
    PeakEwma,
    /// Any.
    Random,
    /// Always the same for the same key.
    ConsistentHash(HashPolicy),
    /// Always the same for the same session.
    Sticky(Sticky),
}

impl BalancerKind {
    /// As it is written in a document.
    pub fn name(&self) -> &'static str {
        match self {
            BalancerKind::NoLoadBalancer => "NoLoadBalancer",
            BalancerKind::RoundRobin => "RoundRobin",
            BalancerKind::LeastConnection => "LeastConnection",
            BalancerKind::LeastRequest => "LeastRequest",
            BalancerKind::PeakEwma => "PeakEwma",
            BalancerKind::Random => "Random",
            BalancerKind::ConsistentHash(_) => "ConsistentHash",
            BalancerKind::Sticky(_) => "CookieStickySessions",
        }
    }
}

/// How an endpoint is chosen (spec section 10).
#[derive(Debug)]
pub struct Balancer {
    kind: BalancerKind,
    /// Whose turn it is; shared by everybody with the same key.
    counter: Arc<AtomicUsize>,
    rng: ThreadRng,
    /// Where the gateway remembers sessions.
    sessions: Option<Arc<Sessions>>,
}

/// The endpoints that may be chosen at one time, and what the balancer has worked out about them.
#[derive(Debug, Default)]
pub struct EndpointSet {
    pub endpoints: Box<[Arc<Endpoint>]>,
    schedule: WeightedSchedule,
    hash_table: LookupTable,
    /// What stands for each of them in a cookie.
    session_ids: Box<[u64]>,
}

/// An exchange under way, counted until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard(Arc<EndpointState>);

impl InFlightGuard {
    /// Counts one exchange with the endpoint.
    pub fn new(endpoint: &Endpoint) -> InFlightGuard {
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(endpoint.state.clone())
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balancer {
    /// A balancer of that kind; what it counts outlives it in `turn`, what it remembers in `sessions`.
    pub fn new(
        kind: BalancerKind,
        counter: Arc<AtomicUsize>,
        sessions: Option<Arc<Sessions>>,
        rng: ThreadRng,
    ) -> Balancer {
        Balancer { kind, counter, rng, sessions }
    }

    /// Whose turn it is.
    fn next_index(&self) -> usize {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// The kind that it is.
    pub fn kind(&self) -> &BalancerKind {
        &self.kind
    }

    /// Whether it wants to know how long answers take.
    pub fn tracks_latency(&self) -> bool {
        self.kind == BalancerKind::PeakEwma
    }

    /// Whether it knows where a request goes whatever a registry may say.
    pub fn has_session(&self, exchange: &Exchange) -> bool {
        match (&self.kind, &self.sessions) {
            (BalancerKind::Sticky(sticky), Some(sessions)) => sticky.has_session(sessions, exchange),
            _ => false,
        }
    }

    /// Whether it counts exchanges under way.
    pub fn tracks_in_flight(&self) -> bool {
        matches!(
            self.kind,
            BalancerKind::LeastConnection | BalancerKind::LeastRequest | BalancerKind::PeakEwma
        )
    }

    /// A number by chance.
    pub fn random_u64(&self) -> u64 {
        self.rng.next_u64()
    }

    /// Works out what there is to know about these endpoints; what was known before makes it quick.
    pub fn build(&self, endpoints: Box<[Arc<Endpoint>]>, before: &EndpointSet) -> EndpointSet {
        let (mut turns, mut slots, mut ids) = Default::default();
        match &self.kind {
            BalancerKind::NoLoadBalancer | BalancerKind::LeastConnection => {}
            BalancerKind::ConsistentHash(_) => slots = LookupTable::build(&endpoints, &before.hash_table),
            BalancerKind::Sticky(sticky) => {
                (turns, ids) = (WeightedSchedule::build(&endpoints), sticky.endpoint_ids(&endpoints));
            }
            _ => turns = WeightedSchedule::build(&endpoints),
        }
        EndpointSet { endpoints, schedule: turns, hash_table: slots, session_ids: ids }
    }

    /// Chooses one of the endpoints, none of the `tried` ones where there is another.
    pub fn pick(
        &self,
        ready: &EndpointSet,
        exchange: &Exchange,
        tried: &[Arc<Endpoint>],
    ) -> Option<Selection> {
        let all = &*ready.endpoints;
        if all.is_empty() {
            return None;
        }
        let free = |endpoint: &Arc<Endpoint>| Some(Selection { endpoint: endpoint.clone(), lease: None });
        match &self.kind {
            BalancerKind::NoLoadBalancer => {
                free(all.iter().find(|e| exclude_tried(e, tried)).unwrap_or(&all[0]))
            }
            BalancerKind::RoundRobin => free(ready.pick_from(self.next_index(), tried)),
            BalancerKind::ConsistentHash(on) => free(ready.hash_table.pick(on, all, exchange, tried)),
            BalancerKind::Sticky(sticky) => free(&sticky.pick_session(self, ready, exchange, tried)),
            BalancerKind::Random => {
                free(ready.pick_from(self.rng.below(ready.schedule.len(all.len())), tried))
            }
            BalancerKind::LeastConnection => match tried {
                [] => least_request::take_least_loaded(all.iter()),
                _ => least_request::take_least_loaded(candidates(all, tried).into_iter()),
            },
            BalancerKind::LeastRequest => {
                let (one, two) = self.two_choices(ready, tried);
                Some(with_guard(least_request::less_loaded(one, two)))
            }
            BalancerKind::PeakEwma => {
                let (one, two) = self.two_choices(ready, tried);
                Some(with_guard(peak_ewma::lower_cost(one, two, exchange.now)))
            }
        }
    }

    /// Two different endpoints by chance, where there are two; heavy ones come more often.
    fn two_choices<'r>(
        &self,
        ready: &'r EndpointSet,
        tried: &[Arc<Endpoint>],
    ) -> (&'r Arc<Endpoint>, &'r Arc<Endpoint>) {
        let all = &*ready.endpoints;
        if !tried.is_empty() {
            let others = candidates(all, tried);
            let (one, two) = self.rng.distinct_pair(others.len());
            return (others[one], others[two]);
        }
        if ready.schedule.is_unweighted() {
            let (one, two) = self.rng.distinct_pair(all.len());
            return (&all[one], &all[two]);
        }
        let one = ready.schedule.endpoint_at(self.rng.below(ready.schedule.len(all.len())), all.len());
        let two = ready.schedule.endpoint_at(self.rng.below(ready.schedule.len(all.len())), all.len());
        let two = if one == two { (one + 1 + self.rng.below(all.len() - 1)) % all.len() } else { two };
        (&all[one], &all[two])
    }
}

impl EndpointSet {
    /// The endpoint whose turn it is, or the next one that was not tried; there is one.
    fn pick_from(&self, turn: usize, tried: &[Arc<Endpoint>]) -> &Arc<Endpoint> {
        let all = &*self.endpoints;
        let at = |turn: usize| &all[self.schedule.endpoint_at(turn, all.len())];
        if tried.is_empty() {
            return at(turn);
        }
        let later = (0..self.schedule.len(all.len())).map(|n| at(turn.wrapping_add(n)));
        later.into_iter().find(|e| exclude_tried(e, tried)).unwrap_or_else(|| at(turn))
    }
}

fn exclude_tried(endpoint: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
    !tried.iter().any(|other| Arc::ptr_eq(&other.state, &endpoint.state))
}

/// Those that were not tried; all, if all were.
fn candidates<'e>(all: &'e [Arc<Endpoint>], tried: &[Arc<Endpoint>]) -> SmallVec<[&'e Arc<Endpoint>; 16]> {
    let others: SmallVec<_> = all.iter().filter(|e| exclude_tried(e, tried)).collect();
    if others.is_empty() { all.iter().collect() } else { others }
}

/// Chosen, and counted as such.
fn with_guard(endpoint: &Arc<Endpoint>) -> Selection {
    Selection { endpoint: endpoint.clone(), lease: Some(InFlightGuard::new(endpoint)) }
}
