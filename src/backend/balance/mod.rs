//! Balancers: shared atomics, so that the count is exact across workers, and no lock. What depends on the set of endpoints
//! is worked out when the set changes.

mod dice;
mod hash;
mod latency;
mod least;
mod sticky;
mod turns;
#[cfg(test)]
mod tests;

pub use dice::Dice;
pub use hash::HashOn;
pub use latency::Latency;
pub use sticky::{EXPIRY, Keeps, Sessions, Sticky};

use super::{
    cluster::Picked,
    endpoint::{Endpoint, EndpointState},
};
use crate::pipeline::exchange::Exchange;
use hash::Slots;
use smallvec::SmallVec;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use turns::Turns;

/// The balancers there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BalancerKind {
    /// Ocelot's `NoLoadBalancer`: always the first.
    #[default]
    First,
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
    ConsistentHash(HashOn),
    /// Always the same for the same session.
    Sticky(Sticky),
}

impl BalancerKind {
    /// As it is written in a document.
    pub fn name(&self) -> &'static str {
        match self {
            BalancerKind::First => "NoLoadBalancer",
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
    turn: Arc<AtomicUsize>,
    dice: Dice,
    /// Where the gateway remembers sessions.
    sessions: Option<Arc<Sessions>>,
}

/// The endpoints that may be chosen at one time, and what the balancer has worked out about them.
#[derive(Debug, Default)]
pub struct Ready {
    pub endpoints: Box<[Arc<Endpoint>]>,
    turns: Turns,
    slots: Slots,
    /// What stands for each of them in a cookie.
    ids: Box<[u64]>,
}

/// An exchange under way, counted until it is dropped.
#[derive(Debug)]
pub struct Lease(Arc<EndpointState>);

impl Lease {
    /// Counts one exchange with the endpoint.
    pub fn new(endpoint: &Endpoint) -> Lease {
        endpoint.state.leases.fetch_add(1, Ordering::Relaxed);
        Lease(endpoint.state.clone())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balancer {
    /// A balancer of that kind; what it counts outlives it in `turn`, what it remembers in `sessions`.
    pub fn new(
        kind: BalancerKind,
        turn: Arc<AtomicUsize>,
        sessions: Option<Arc<Sessions>>,
        dice: Dice,
    ) -> Balancer {
        Balancer { kind, turn, dice, sessions }
    }

    /// Whose turn it is.
    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The kind that it is.
    pub fn kind(&self) -> &BalancerKind {
        &self.kind
    }

    /// Whether it wants to know how long answers take.
    pub fn wants_times(&self) -> bool {
        self.kind == BalancerKind::PeakEwma
    }

    /// Whether it knows where a request goes whatever a registry may say.
    pub fn knows(&self, x: &Exchange) -> bool {
        match (&self.kind, &self.sessions) {
            (BalancerKind::Sticky(sticky), Some(sessions)) => sticky.knows(sessions, x),
            _ => false,
        }
    }

    /// Whether it counts exchanges under way.
    pub fn counts(&self) -> bool {
        matches!(
            self.kind,
            BalancerKind::LeastConnection | BalancerKind::LeastRequest | BalancerKind::PeakEwma
        )
    }

    /// A number by chance.
    pub fn chance(&self) -> u64 {
        self.dice.roll()
    }

    /// Works out what there is to know about these endpoints; what was known before makes it quick.
    pub fn prepare(&self, endpoints: Box<[Arc<Endpoint>]>, before: &Ready) -> Ready {
        let (mut turns, mut slots, mut ids) = Default::default();
        match &self.kind {
            BalancerKind::First | BalancerKind::LeastConnection => {}
            BalancerKind::ConsistentHash(_) => slots = Slots::of(&endpoints, &before.slots),
            BalancerKind::Sticky(sticky) => {
                (turns, ids) = (Turns::of(&endpoints), sticky.ids(&endpoints));
            }
            _ => turns = Turns::of(&endpoints),
        }
        Ready { endpoints, turns, slots, ids }
    }

    /// Chooses one of the endpoints, none of the `tried` ones where there is another.
    pub fn pick(&self, ready: &Ready, x: &Exchange, tried: &[Arc<Endpoint>]) -> Option<Picked> {
        let all = &*ready.endpoints;
        if all.is_empty() {
            return None;
        }
        let free = |endpoint: &Arc<Endpoint>| Some(Picked { endpoint: endpoint.clone(), lease: None });
        match &self.kind {
            BalancerKind::First => free(all.iter().find(|e| untried(e, tried)).unwrap_or(&all[0])),
            BalancerKind::RoundRobin => free(ready.from(self.turn(), tried)),
            BalancerKind::ConsistentHash(on) => free(ready.slots.pick(on, all, x, tried)),
            BalancerKind::Sticky(sticky) => free(&sticky.pick(self, ready, x, tried)),
            BalancerKind::Random => free(ready.from(self.dice.below(ready.turns.len(all.len())), tried)),
            BalancerKind::LeastConnection => match tried {
                [] => least::first(all.iter()),
                _ => least::first(others(all, tried).into_iter()),
            },
            BalancerKind::LeastRequest => {
                let (one, two) = self.two(ready, tried);
                Some(counted(least::idler(one, two)))
            }
            BalancerKind::PeakEwma => {
                let (one, two) = self.two(ready, tried);
                Some(counted(latency::faster(one, two, x.now)))
            }
        }
    }

    /// Two different endpoints by chance, where there are two; heavy ones come more often.
    fn two<'r>(&self, ready: &'r Ready, tried: &[Arc<Endpoint>]) -> (&'r Arc<Endpoint>, &'r Arc<Endpoint>) {
        let all = &*ready.endpoints;
        if !tried.is_empty() {
            let others = others(all, tried);
            let (one, two) = self.dice.two(others.len());
            return (others[one], others[two]);
        }
        if ready.turns.is_even() {
            let (one, two) = self.dice.two(all.len());
            return (&all[one], &all[two]);
        }
        let one = ready.turns.at(self.dice.below(ready.turns.len(all.len())), all.len());
        let two = ready.turns.at(self.dice.below(ready.turns.len(all.len())), all.len());
        let two = if one == two { (one + 1 + self.dice.below(all.len() - 1)) % all.len() } else { two };
        (&all[one], &all[two])
    }
}

impl Ready {
    /// The endpoint whose turn it is, or the next one that was not tried; there is one.
    fn from(&self, turn: usize, tried: &[Arc<Endpoint>]) -> &Arc<Endpoint> {
        let all = &*self.endpoints;
        let at = |turn: usize| &all[self.turns.at(turn, all.len())];
        if tried.is_empty() {
            return at(turn);
        }
        let later = (0..self.turns.len(all.len())).map(|n| at(turn.wrapping_add(n)));
        later.into_iter().find(|e| untried(e, tried)).unwrap_or_else(|| at(turn))
    }
}

fn untried(endpoint: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
    !tried.iter().any(|other| Arc::ptr_eq(&other.state, &endpoint.state))
}

/// Those that were not tried; all, if all were.
fn others<'e>(all: &'e [Arc<Endpoint>], tried: &[Arc<Endpoint>]) -> SmallVec<[&'e Arc<Endpoint>; 16]> {
    let others: SmallVec<_> = all.iter().filter(|e| untried(e, tried)).collect();
    if others.is_empty() { all.iter().collect() } else { others }
}

/// Chosen, and counted as such.
fn counted(endpoint: &Arc<Endpoint>) -> Picked {
    Picked { endpoint: endpoint.clone(), lease: Some(Lease::new(endpoint)) }
}
