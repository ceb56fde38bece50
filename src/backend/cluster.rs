//! A cluster is a set of endpoints with a balancer. Settings live in the plan; what is counted outlives it, by key.

use super::{
    balance::{Balancer, BalancerKind, Dice, EXPIRY, Keeps, Lease, Ready, Sessions, Sticky},
    discovery::Source,
    endpoint::{Endpoint, Endpoints, Instance, Speech},
    health::{HealthSpec, keeper},
    shared::Shared,
};
use crate::{
    base::keyed::Keyed,
    pipeline::{
        answer::Outcome,
        cause::{Cause, Why},
        exchange::Exchange,
    },
    telemetry::Metrics,
    wire::{background::Background, gate::Pooling, names::Names},
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicUsize},
    time::{Duration, Instant},
};

/// A set of endpoints with a balancer. The set may change while it is in use: a registry speaks, a probe fails.
#[derive(Debug)]
pub struct Cluster {
    /// Under this key its state goes on when the plan changes.
    pub key: Arc<str>,
    /// What it is called.
    pub label: Arc<str>,
    members: ArcSwap<Members>,
    /// Held by whoever changes the members.
    changing: Mutex<()>,
    speech: Speech,
    pooling: Pooling,
    balancer: Balancer,
    health: HealthSpec,
    /// Whether anybody wants to know what attempts see.
    wants: bool,
    shared: Arc<Shared>,
    states: Arc<States>,
    /// What says where its instances are, if that is a registry.
    pub source: OnceLock<Arc<Source>>,
}

/// The endpoints that a cluster has at one time.
#[derive(Debug, Default)]
pub struct Members {
    pub list: Box<[Arc<Endpoint>]>,
    /// Those that may be chosen.
    pub(super) ready: Ready,
    /// Whether so few are well that all may be chosen.
    pub panic: bool,
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
    /// What it is called by people and in metrics.
    pub label: String,
    /// Where its instances are; none: somebody will say, see [`Cluster::set`].
    pub instances: Option<Vec<Instance>>,
    pub speech: Speech,
    /// How connections are kept.
    pub pooling: Pooling,
    pub balancer: BalancerKind,
    pub health: HealthSpec,
}

/// What an attempt saw of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The head of an answer with this status.
    Answered(u16),
    /// No answer, and why.
    Failed(Why),
    /// The client left before there was an answer, or the gateway gave up: that says nothing.
    Abandoned,
}

impl Cluster {
    /// The endpoints of this moment; for a look, not to be held.
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// From now on these are its instances; what is known of those that stay is kept.
    pub fn set(&self, instances: &[Instance]) {
        let list: Box<[_]> = instances
            .iter()
            .map(|i| self.states.endpoints.get(&self.key, i, &self.speech, self.pooling))
            .collect();
        if let Some(metrics) = self.states.metrics.as_ref().filter(|_| !self.health.is_off()) {
            list.iter().for_each(|e| e.state.health.count(|| metrics.endpoint(&self.label, &e.label)));
        }
        self.change(|_| (list, true));
    }

    /// Works out anew which endpoints may be chosen.
    pub fn refresh(&self) {
        self.change(|members| (members.list.clone(), members.known));
    }

    fn change(&self, new: impl FnOnce(&Members) -> (Box<[Arc<Endpoint>]>, bool)) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let (list, known) = new(&old);
        let usable: Box<[_]> = list.iter().filter(|e| self.health.admits(&e.state.health)).cloned().collect();
        let panic = usable.len() < list.len() && self.health.is_panic(usable.len(), list.len());
        let ready = self.balancer.prepare(if panic { list.clone() } else { usable }, &old.ready);
        self.members.store(Arc::new(Members { list, ready, panic, known }));
    }

    /// Chooses an endpoint for an attempt, none of the `tried` ones where there is another.
    pub fn pick(&self, x: &Exchange, tried: &[Arc<Endpoint>]) -> Result<Picked, Cause> {
        let members = self.members.load();
        let mut picked = self.balancer.pick(&members.ready, x, tried).ok_or_else(|| self.none())?;
        if picked.lease.is_none() && !self.health.is_off() {
            picked.lease = Some(Lease::new(&picked.endpoint));
        }
        Ok(picked)
    }

    /// Whether exchanges under way are counted.
    pub fn counts(&self) -> bool {
        self.balancer.counts() || !self.health.is_off()
    }

    /// How one of its endpoints is chosen.
    pub fn balancer(&self) -> &BalancerKind {
        self.balancer.kind()
    }

    /// What is said about the health of its endpoints.
    pub fn health(&self) -> &HealthSpec {
        &self.health
    }

    /// How its endpoints are spoken to.
    pub fn speech(&self) -> &Speech {
        &self.speech
    }

    /// A number by chance.
    pub fn chance(&self) -> u64 {
        self.balancer.chance()
    }

    /// Tells the client where its session is at home, where it is the client who keeps that.
    pub fn mark(&self, x: &Exchange, outcome: &mut Outcome) {
        if let BalancerKind::Sticky(sticky) = self.balancer.kind() {
            sticky.mark(&self.members.load().list, x, outcome);
        }
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
        let Some(passive) = &self.health.passive else { return };
        if let Some(why) = passive.sees(&endpoint.state.health, shown, now) {
            self.eject(endpoint, why, now);
        }
    }

    #[cold]
    fn eject(&self, endpoint: &Endpoint, why: String, now: Instant) {
        let told = why.clone();
        let Some(until) = self.shared.eject(self, endpoint, why, now) else { return };
        log::warn!("{}: {} gets no requests for {:?}: {told}", self.label, endpoint.label, until - now);
        self.shared.refresh();
        let (shared, state) = (Arc::downgrade(&self.shared), Arc::downgrade(&endpoint.state));
        self.states.background.spawn(keeper::readmission(shared, state, until));
    }

    /// Takes in what a probe found.
    pub fn probed(&self, endpoint: &Endpoint, found: Result<(), String>) {
        let Some(probing) = &self.health.active else { return };
        let told = found.as_ref().err().cloned();
        if endpoint.state.health.probed(found, probing) {
            match told {
                Some(why) => log::warn!("{}: {} is not well: {why}", self.label, endpoint.label),
                None => log::info!("{}: {} is well again", self.label, endpoint.label),
            }
            self.shared.refresh();
        }
    }

    /// The registry that a request has to wait for before it chooses, where there is one.
    pub fn awaited(&self, x: &Exchange) -> Option<&Source> {
        let source = self.source.get().filter(|source| source.is_awaited())?;
        (!self.balancer.knows(x)).then_some(source)
    }

    /// Why there is no endpoint to choose.
    #[cold]
    pub fn none(&self) -> Cause {
        match self.source.get() {
            Some(source) if source.is_stranger() => Cause::new(Why::RouteNone, source.why_nobody()),
            Some(source) if self.members.load().list.is_empty() => {
                Cause::new(Why::BackendNone, source.why_nobody())
            }
            _ if !self.members.load().list.is_empty() => Cause::new(Why::BackendNone, self.all_out()),
            _ => Cause::new(Why::BackendNone, "the cluster of this route has no endpoint"),
        }
    }

    fn all_out(&self) -> String {
        let members = self.members.load();
        let first = members
            .list
            .first()
            .map(|e| (e.label.clone(), self.health.told(&e.state.health, Instant::now())));
        let first =
            first.map_or_else(String::new, |(label, (word, why, _))| format!("; {label} is {word}: {why}"));
        format!("none of the {} endpoints of {} is well{first}", members.list.len(), self.label)
    }
}

/// What clusters keep beyond the life of a plan; unused state vanishes with the last plan that held it.
#[derive(Debug)]
pub struct States {
    endpoints: Endpoints,
    shared: Keyed<String, Shared>,
    /// Turns and sessions that clusters share which use a cookie of one name, as Ocelot does.
    turns: Keyed<String, AtomicUsize>,
    sessions: Keyed<(String, Duration), Sessions>,
    background: Background,
    metrics: Option<Arc<Metrics>>,
}

impl States {
    /// The states of a process, its names resolved there.
    pub fn new(names: Names) -> Arc<States> {
        States::with(names, Background::default(), None)
    }

    /// The same; tasks run there, and what is found out is counted there.
    pub fn with(names: Names, background: Background, metrics: Option<Arc<Metrics>>) -> Arc<States> {
        Arc::new(States {
            endpoints: Endpoints::new(names),
            shared: Keyed::default(),
            turns: Keyed::default(),
            sessions: Keyed::default(),
            background,
            metrics,
        })
    }

    /// Builds a cluster, taking over what is known of its endpoints and of its balancer.
    pub fn cluster(self: &Arc<Self>, spec: &ClusterSpec) -> Arc<Cluster> {
        let shared = self.shared.get(spec.key.clone(), Shared::default);
        let balancer = self.balancer(spec, &shared);
        let cluster = Arc::new(Cluster {
            key: spec.key.as_str().into(),
            label: spec.label.as_str().into(),
            members: ArcSwap::default(),
            changing: Mutex::default(),
            speech: spec.speech.clone(),
            pooling: spec.pooling,
            wants: balancer.wants_times() || spec.health.passive.is_some(),
            balancer,
            health: spec.health.clone(),
            shared,
            states: self.clone(),
            source: OnceLock::new(),
        });
        if let Some(instances) = &spec.instances {
            cluster.set(instances);
        }
        if !cluster.health.is_off() {
            cluster.shared.join(&cluster, &self.background);
        }
        cluster
    }

    fn balancer(&self, spec: &ClusterSpec, shared: &Shared) -> Balancer {
        let (mut turn, mut sessions) = (shared.turn.clone(), None);
        if let BalancerKind::Sticky(Sticky { cookie, expiry, keeps }) = &spec.balancer {
            let expiry = expiry.unwrap_or(EXPIRY);
            let key = match keeps {
                Keeps::Ocelot => format!("CookieStickySessions:{cookie}"),
                Keeps::Sessions | Keeps::Cookie => spec.key.clone(),
            };
            if *keeps == Keeps::Ocelot {
                turn = self.turns.get(key.clone(), || AtomicUsize::new(0));
            }
            if *keeps != Keeps::Cookie {
                sessions = Some(self.sessions.get((key, expiry), || Sessions::new(expiry)));
            }
        }
        Balancer::new(spec.balancer.clone(), turn, sessions, Dice::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn spec(balancer: BalancerKind) -> ClusterSpec {
        let instances = Some(vec![Instance::new("127.0.0.1", 1), Instance::new("::1", 80)]);
        ClusterSpec { key: "k".into(), label: "k".into(), instances, balancer, ..ClusterSpec::default() }
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
