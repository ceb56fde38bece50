//! Load balancing: round robin, least request, peak EWMA, consistent hashing, random, sticky sessions.
//!
//! Called load balancing policy by Envoy and YARP. Entry point: [`Balancer::pick`], called by the cluster for each
//! attempt; [`Balancer::build`] precomputes an [`EndpointSet`] whenever the eligible endpoints change. Counters are
//! shared atomics without a lock, so turns and in-flight counts are exact across workers. The round-robin counter, the
//! sessions and the measurements of each endpoint outlive a reload; the sets do not.

mod caller;
mod consistent_hash;
mod endpoint_set;
mod least_request;
pub(super) mod peak_ewma;
mod round_robin;
mod session_directory;
mod sticky;
#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use consistent_hash::HashPolicy;
pub use endpoint_set::EndpointSet;
pub use session_directory::{SessionDirectories, SessionDirectory};
pub use sticky::{DEFAULT_EXPIRY, SessionStore, Sessions, Sticky};

use super::{
    endpoint::Endpoint,
    selection::{Selection, is_untried},
};
use crate::pipeline::exchange::Exchange;
use consistent_hash::LookupTable;
use round_robin::WeightedSchedule;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// The load balancing policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BalancerKind {
    /// Ocelot's `NoLoadBalancer`: always the first endpoint.
    #[default]
    NoLoadBalancer,
    /// Weighted round robin, starting with the first endpoint.
    RoundRobin,
    /// The endpoint with the fewest exchanges in flight; ties go to the first.
    LeastConnection,
    /// The less loaded of two random endpoints (power of two choices).
    LeastRequest,
    /// Of two random endpoints, the one with the lower product of response time and exchanges in flight.
    PeakEwma,
    /// Weighted random.
    Random,
    /// Requests with equal keys go to the same endpoint.
    ConsistentHash(HashPolicy),
    /// Requests of one session go to the same endpoint.
    Sticky(Sticky),
}

impl BalancerKind {
    /// The name used in documents.
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

/// Selects endpoints (docs/ocelot-behavior.md, section 10).
#[derive(Debug)]
pub struct Balancer {
    kind: BalancerKind,
    /// The round-robin position; shared by all balancers with the same key.
    counter: Arc<AtomicUsize>,
    /// The sticky sessions that the gateway remembers.
    sessions: Option<Arc<Sessions>>,
}

impl Balancer {
    /// A balancer whose state, `counter` and `sessions`, outlives it.
    pub fn new(kind: BalancerKind, counter: Arc<AtomicUsize>, sessions: Option<Arc<Sessions>>) -> Balancer {
        Balancer { kind, counter, sessions }
    }

    fn next_index(&self) -> usize {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// The load-balancing algorithm, with its parameters.
    pub fn kind(&self) -> &BalancerKind {
        &self.kind
    }

    /// Whether it uses response times.
    pub fn tracks_latency(&self) -> bool {
        self.kind == BalancerKind::PeakEwma
    }

    /// Whether it counts exchanges in flight.
    pub fn tracks_in_flight(&self) -> bool {
        matches!(
            self.kind,
            BalancerKind::LeastConnection | BalancerKind::LeastRequest | BalancerKind::PeakEwma
        )
    }

    /// Whether the request belongs to a session that keeps its endpoint whatever the registry reports.
    pub fn has_session(&self, exchange: &Exchange) -> bool {
        match (&self.kind, &self.sessions) {
            (BalancerKind::Sticky(sticky), Some(sessions)) => sticky.has_session(sessions, exchange),
            _ => false,
        }
    }

    /// Precomputes what the policy needs for these endpoints, starting from the previous set.
    pub fn build(&self, endpoints: Box<[Arc<Endpoint>]>, previous: &EndpointSet) -> EndpointSet {
        let mut set = EndpointSet { endpoints, ..EndpointSet::default() };
        match &self.kind {
            BalancerKind::NoLoadBalancer | BalancerKind::LeastConnection => {}
            BalancerKind::ConsistentHash(_) => {
                set.hash_table = LookupTable::build(&set.endpoints, &previous.hash_table);
            }
            BalancerKind::Sticky(sticky) => {
                set.schedule = WeightedSchedule::build(&set.endpoints);
                set.session_ids = sticky.endpoint_ids(&set.endpoints);
            }
            _ => set.schedule = WeightedSchedule::build(&set.endpoints),
        }
        set
    }

    /// Selects an endpoint, avoiding those already tried as long as there is another. `None` if the set is empty.
    pub fn pick(&self, set: &EndpointSet, caller: Caller, tried: &[Arc<Endpoint>]) -> Option<Selection> {
        let first = set.endpoints.first()?;
        let all = &*set.endpoints;
        Some(match &self.kind {
            BalancerKind::NoLoadBalancer => {
                let untried = all.iter().find(|e| is_untried(e, tried));
                Selection::uncounted(untried.unwrap_or(first))
            }
            BalancerKind::RoundRobin => Selection::uncounted(set.pick_from(self.next_index(), tried)),
            BalancerKind::Random => Selection::uncounted(set.pick_from(random_below(set.slots()), tried)),
            BalancerKind::ConsistentHash(policy) => {
                Selection::uncounted(set.hash_table.pick(policy, all, caller, tried))
            }
            BalancerKind::Sticky(sticky) => {
                let next = || set.pick_from(self.next_index(), tried).clone();
                let sessions = self.sessions.as_deref();
                Selection::uncounted(&match caller.exchange {
                    Some(exchange) => sticky.pick_session(sessions, set, exchange, tried, next),
                    None => next(),
                })
            }
            BalancerKind::LeastConnection => match tried {
                [] => return least_request::take_least_loaded(all.iter()),
                _ => return least_request::take_least_loaded(set.candidates(tried).into_iter()),
            },
            BalancerKind::LeastRequest => {
                let (one, two) = two_choices(set, tried);
                Selection::counted(least_request::less_loaded(one, two))
            }
            BalancerKind::PeakEwma => {
                let (one, two) = two_choices(set, tried);
                Selection::counted(lower_cost(one, two, caller.now))
            }
        })
    }
}

/// Two random endpoints, different ones if there are two; the chance of each is proportional to its weight.
fn two_choices<'s>(set: &'s EndpointSet, tried: &[Arc<Endpoint>]) -> (&'s Arc<Endpoint>, &'s Arc<Endpoint>) {
    let all = &*set.endpoints;
    if !tried.is_empty() {
        let candidates = set.candidates(tried);
        let (one, two) = distinct_pair(candidates.len());
        return (candidates[one], candidates[two]);
    }
    if set.schedule.is_unweighted() {
        let (one, two) = distinct_pair(all.len());
        return (&all[one], &all[two]);
    }
    let [one, two] = [(); 2].map(|()| set.schedule.endpoint_at(random_below(set.slots()), all.len()));
    let two = if one == two { (one + 1 + random_below(all.len() - 1)) % all.len() } else { two };
    (&all[one], &all[two])
}

/// The endpoint with the lower expected response time; ties go to the first.
fn lower_cost<'e>(one: &'e Arc<Endpoint>, two: &'e Arc<Endpoint>, now: Instant) -> &'e Arc<Endpoint> {
    let cost = |endpoint: &Endpoint| {
        let in_flight = endpoint.state.in_flight.load(Ordering::Relaxed);
        endpoint.state.latency.cost(in_flight, endpoint.weight, now)
    };
    if cost(two) < cost(one) { two } else { one }
}

/// A random number below `end`; 0 if `end` is 0.
fn random_below(end: usize) -> usize {
    if end == 0 { 0 } else { fastrand::usize(..end) }
}

/// Two different random numbers below `end`; equal ones only if there is just one.
fn distinct_pair(end: usize) -> (usize, usize) {
    let (one, two) = (random_below(end), random_below(end.saturating_sub(1)));
    (one, if two >= one && end > 1 { two + 1 } else { two })
}
