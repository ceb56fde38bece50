//! A cluster is a set of endpoints with a balancer. Settings live in the plan; what is counted outlives it, by key.

use super::{
    balance::{Balancer, BalancerKind, Dice, Lease, Ready},
    discovery::Source,
    endpoint::{Endpoint, Endpoints, Instance, Speech},
};
use crate::{
    base::keyed::Keyed,
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
    },
    wire::names::Names,
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    time::{Duration, Instant},
};

/// A set of endpoints with a balancer. The set may change while it is in use: a registry speaks, a probe fails.
#[derive(Debug)]
pub struct Cluster {
    /// Under this key its state goes on when the plan changes.
    pub key: Arc<str>,
    members: ArcSwap<Members>,
    speech: Speech,
    balancer: Balancer,
    /// Whether anybody wants to know what attempts see.
    wants: bool,
    states: Arc<States>,
    /// What says where its instances are, if that is a registry.
    pub source: OnceLock<Arc<Source>>,
}

/// The endpoints that a cluster has at one time.
#[derive(Debug, Default)]
pub struct Members {
    pub list: Box<[Arc<Endpoint>]>,
    /// Those that may be chosen.
    ready: Ready,
    /// Whether anybody has said yet which they are: a registry may not have answered so far.
    pub known: bool,
}

/// The endpoint that was chosen for an attempt.
#[derive(Debug)]
pub struct Picked {
    pub endpoint: Arc<Endpoint>,
    /// Counted while it is held.
    pub lease: Option<Lease>,
}

/// What a plan says about a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterSpec {
    /// Under this key its state goes on when the plan changes; clusters with one key share it.
    pub key: String,
    /// Where its instances are; none: somebody will say, see [`Cluster::set`].
    pub instances: Option<Vec<Instance>>,
    pub speech: Speech,
    pub balancer: BalancerKind,
}

/// What an attempt saw of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The head of an answer with this status.
    Answered(u16),
    /// No answer, and why.
    Failed(Why),
    /// The client left before there was an answer: that says little.
    Abandoned,
}

impl Cluster {
    /// The endpoints of this moment; for a look, not to be held.
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// From now on these are its instances; what is known of those that stay is kept.
    pub fn set(&self, instances: &[Instance]) {
        let list: Box<[_]> =
            instances.iter().map(|i| self.states.endpoints.get(&self.key, i, &self.speech)).collect();
        let ready = self.balancer.prepare(list.clone());
        self.members.store(Arc::new(Members { list, ready, known: true }));
    }

    /// Chooses an endpoint for an attempt, none of the `tried` ones where there is another.
    pub fn pick(&self, x: &Exchange, tried: &[Arc<Endpoint>]) -> Result<Picked, Cause> {
        let members = self.members.load();
        self.balancer.pick(&members.ready, x, tried).ok_or_else(|| self.none())
    }

    /// How one of its endpoints is chosen.
    pub fn balancer(&self) -> &BalancerKind {
        self.balancer.kind()
    }

    /// Takes in what an attempt, begun then, saw of its endpoint; to be told once for every attempt that was made.
    /// Costs nothing where nobody wants to know.
    pub fn show(&self, endpoint: &Endpoint, shown: Shown, began: Instant) {
        if self.wants {
            let now = Instant::now();
            self.see(endpoint, shown, now.saturating_duration_since(began), now);
        }
    }

    /// The same, with the time given.
    pub fn see(&self, endpoint: &Endpoint, shown: Shown, took: Duration, now: Instant) {
        if self.balancer.wants_times() && shown != Shown::Abandoned {
            endpoint.state.latency.add(took, matches!(shown, Shown::Failed(_)), now);
        }
    }

    /// Why there is no endpoint to choose.
    #[cold]
    pub fn none(&self) -> Cause {
        match self.source.get() {
            Some(source) => Cause::new(Why::BackendNone, source.why_nobody()),
            None => Cause::new(Why::BackendNone, "the cluster of this route has no endpoint"),
        }
    }
}

/// What clusters keep beyond the life of a plan; unused state vanishes with the last plan that held it.
#[derive(Debug)]
pub struct States {
    endpoints: Endpoints,
    turns: Keyed<String, AtomicUsize>,
}

impl States {
    /// The states of a process, its names resolved there.
    pub fn new(names: Names) -> Arc<States> {
        Arc::new(States { endpoints: Endpoints::new(names), turns: Keyed::default() })
    }

    /// Builds a cluster, taking over what is known of its endpoints and of its balancer.
    pub fn cluster(self: &Arc<Self>, spec: &ClusterSpec) -> Arc<Cluster> {
        let turn = self.turns.get(spec.key.clone(), || AtomicUsize::new(0));
        let balancer = Balancer::new(spec.balancer.clone(), turn, Dice::default());
        let cluster = Cluster {
            key: spec.key.as_str().into(),
            members: ArcSwap::default(),
            speech: spec.speech.clone(),
            wants: balancer.wants_times(),
            balancer,
            states: self.clone(),
            source: OnceLock::new(),
        };
        if let Some(instances) = &spec.instances {
            cluster.set(instances);
        }
        Arc::new(cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn spec(balancer: BalancerKind) -> ClusterSpec {
        let instances = Some(vec![Instance::new("127.0.0.1", 1), Instance::new("::1", 80)]);
        ClusterSpec { key: "k".into(), instances, speech: Speech::Plain, balancer }
    }

    fn label(cluster: &Cluster) -> String {
        let nobody = "127.0.0.1:0".parse().unwrap();
        let x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
        cluster.pick(&x, &[]).map_or_else(|cause| cause.why.name().into(), |p| p.endpoint.label.to_string())
    }

    #[test]
    fn a_new_plan_goes_on_where_the_old_one_was() {
        let states = States::new(Names::default());
        let old = states.cluster(&spec(BalancerKind::RoundRobin));
        let first = label(&old);
        let new = states.cluster(&spec(BalancerKind::RoundRobin));
        assert_ne!(label(&new), first);
        assert!(Arc::ptr_eq(&old.members().list[0].state, &new.members().list[0].state));
    }

    #[test]
    fn what_attempts_see_moves_requests_where_the_balancer_asks() {
        let cluster = States::new(Names::default()).cluster(&spec(BalancerKind::PeakEwma));
        let slow = cluster.members().list[0].clone();
        cluster.see(&slow, Shown::Failed(Why::BackendReset), Duration::ZERO, Instant::now());
        cluster.see(
            &cluster.members().list[1],
            Shown::Answered(200),
            Duration::from_millis(1),
            Instant::now(),
        );
        assert!((0..20).all(|_| label(&cluster) == "[::1]:80"));
    }

    #[test]
    fn a_cluster_without_endpoints_has_none_to_give_until_somebody_names_one() {
        let states = States::new(Names::default());
        let cluster = states.cluster(&ClusterSpec { instances: None, ..spec(BalancerKind::LeastConnection) });
        assert!(!cluster.members().known);
        assert_eq!(label(&cluster), "backend.none");
        cluster.set(&[Instance::new("127.0.0.1", 7)]);
        assert_eq!(label(&cluster), "127.0.0.1:7");
        cluster.set(&[]);
        assert_eq!(label(&cluster), "backend.none");
    }
}
