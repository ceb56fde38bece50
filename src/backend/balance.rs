//! Balancers: shared atomics, so that the count is exact across workers, and no lock.

use super::{
    cluster::{BalancerKind, Picked},
    endpoint::{Endpoint, EndpointState},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How an endpoint is chosen (spec section 10).
#[derive(Debug)]
pub enum Balancer {
    /// Ocelot's `NoLoadBalancer`: always the first.
    First,
    /// One after the other, beginning with the first.
    RoundRobin(Arc<AtomicUsize>),
    /// The one with the fewest exchanges under way; of equals the first.
    LeastConnection,
}

/// An exchange under way, counted until it is dropped.
#[derive(Debug)]
pub struct Lease(Arc<EndpointState>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balancer {
    /// A balancer of that kind; `turn` gives the shared counter, if it needs one.
    pub fn new(kind: BalancerKind, turn: impl FnOnce() -> Arc<AtomicUsize>) -> Balancer {
        match kind {
            BalancerKind::First => Balancer::First,
            BalancerKind::RoundRobin => Balancer::RoundRobin(turn()),
            BalancerKind::LeastConnection => Balancer::LeastConnection,
        }
    }

    /// Chooses one of the endpoints.
    pub fn pick(&self, endpoints: &[Arc<Endpoint>]) -> Option<Picked> {
        let free = |endpoint: &Arc<Endpoint>| Picked { endpoint: endpoint.clone(), lease: None };
        match self {
            Balancer::First => endpoints.first().map(free),
            Balancer::RoundRobin(turn) if !endpoints.is_empty() => {
                Some(free(&endpoints[turn.fetch_add(1, Ordering::Relaxed) % endpoints.len()]))
            }
            Balancer::RoundRobin(_) => None,
            Balancer::LeastConnection => least(endpoints),
        }
    }
}

/// Takes the minimum and counts it in one step: if another worker was faster, looks again.
fn least(endpoints: &[Arc<Endpoint>]) -> Option<Picked> {
    loop {
        let best = endpoints.iter().min_by_key(|e| e.state.leases.load(Ordering::Relaxed))?;
        let seen = best.state.leases.load(Ordering::Relaxed);
        let fewest = endpoints.iter().all(|e| e.state.leases.load(Ordering::Relaxed) >= seen);
        let counted =
            || best.state.leases.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed);
        if fewest && counted().is_ok() {
            return Some(Picked { endpoint: best.clone(), lease: Some(Lease(best.state.clone())) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::endpoint::{Endpoints, Instance, Speech},
        wire::names::Names,
    };

    fn two() -> [Arc<Endpoint>; 2] {
        let endpoints = Endpoints::new(Names::default());
        [1, 2].map(|port| endpoints.get("k", &Instance::new("127.0.0.1", port), &Speech::Plain))
    }

    fn port(picked: &Picked) -> u16 {
        picked.endpoint.port.unwrap()
    }

    #[test]
    fn round_robin_begins_with_the_first_and_is_exact_across_threads() {
        let (two, balancer) = (two(), Balancer::new(BalancerKind::RoundRobin, Arc::default));
        let next = || port(&balancer.pick(&two).unwrap());
        assert_eq!(next(), 1);
        let firsts: usize = std::thread::scope(|scope| {
            let run = || (0..49).filter(|_| next() == 1).count();
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(firsts, 49);
    }

    #[test]
    fn least_connection_takes_the_idlest_and_the_first_of_equals() {
        let (endpoints, balancer) = (two(), Balancer::LeastConnection);
        let one = balancer.pick(&endpoints).unwrap();
        let two = balancer.pick(&endpoints).unwrap();
        assert_eq!((port(&one), port(&two)), (1, 2));
        drop(two);
        assert_eq!(port(&balancer.pick(&endpoints).unwrap()), 2);
        drop(one);
        assert_eq!(port(&balancer.pick(&endpoints).unwrap()), 1);
    }
}
