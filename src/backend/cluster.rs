//! A cluster is a set of endpoints with a balancer. Settings live in the plan; what is counted outlives it, by key.

use super::{
    balance::{
        Balancer, BalancerKind, DEFAULT_EXPIRY, EndpointSet, InFlightGuard, SessionStore, Sessions, Sticky,
        ThreadRng,
    },
    cluster_state::ClusterState,
    discovery::ServiceWatch,
    endpoint::{Endpoint, EndpointRegistry, Instance, TlsMode},
    health::{HealthConfig, tasks},
};
use crate::{
    base::weak_map::WeakMap,
    net::{background::BackgroundRuntime, connection_limit::PoolConfig, resolver::Resolver},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::RouteResult,
    },
    telemetry::Metrics,
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
    members: ArcSwap<EndpointsSnapshot>,
    /// Held by whoever changes the members.
    changing: Mutex<()>,
    tls_mode: TlsMode,
    pooling: PoolConfig,
    balancer: Balancer,
    health: HealthConfig,
    /// Whether anybody wants to know what attempts see.
    observes: bool,
    shared: Arc<ClusterState>,
    states: Arc<ClusterStates>,
    /// What says where its instances are, if that is a registry.
    pub source: OnceLock<Arc<ServiceWatch>>,
}

/// The endpoints that a cluster has at one time.
#[derive(Debug, Default)]
pub struct EndpointsSnapshot {
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Those that may be chosen.
    pub(super) candidates: EndpointSet,
    /// Whether so few are well that all may be chosen.
    pub panic: bool,
    /// Whether anybody has said yet which they are: a registry may not have answered so far.
    pub known_count: bool,
}

/// The endpoint that was chosen for an attempt.
#[derive(Debug)]
pub struct Selection {
    pub endpoint: Arc<Endpoint>,
    /// Counted while it is held.
    pub lease: Option<InFlightGuard>,
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
    pub tls_mode: TlsMode,
    /// How connections are kept.
    pub pooling: PoolConfig,
    pub balancer: BalancerKind,
    pub health: HealthConfig,
}

/// What an attempt saw of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptReport {
    /// The head of an answer with this status.
    Answered(u16),
    /// No answer, and why.
    Failed(ErrorCode),
    /// The client left before there was an answer, or the gateway gave up: that says nothing.
    Abandoned,
}

impl Cluster {
    /// The endpoints of this moment; for a look, not to be held.
    pub fn members(&self) -> Arc<EndpointsSnapshot> {
        self.members.load_full()
    }

    /// From now on these are its instances; what is known of those that stay is kept.
    pub fn set(&self, instances: &[Instance]) {
        let list: Box<[_]> = instances
            .iter()
            .map(|i| self.states.endpoints.get(&self.key, i, &self.tls_mode, self.pooling))
            .collect();
        if let Some(metrics) = self.states.metrics.as_ref().filter(|_| !self.health.is_disabled()) {
            list.iter().for_each(|e| e.state.health.count(|| metrics.endpoint(&self.label, &e.label)));
        }
        self.update_endpoints(|_| (list, true));
    }

    /// Works out anew which endpoints may be chosen.
    pub fn refresh(&self) {
        self.update_endpoints(|members| (members.endpoints.clone(), members.known_count));
    }

    fn update_endpoints(&self, new: impl FnOnce(&EndpointsSnapshot) -> (Box<[Arc<Endpoint>]>, bool)) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let (list, known) = new(&old);
        let usable: Box<[_]> =
            list.iter().filter(|e| self.health.is_eligible(&e.state.health)).cloned().collect();
        let panic = usable.len() < list.len() && self.health.is_panic(usable.len(), list.len());
        let ready = self.balancer.build(if panic { list.clone() } else { usable }, &old.candidates);
        self.members.store(Arc::new(EndpointsSnapshot {
            endpoints: list,
            candidates: ready,
            panic,
            known_count: known,
        }));
    }

    /// Chooses an endpoint for an attempt, none of the `tried` ones where there is another.
    pub fn pick(&self, exchange: &Exchange, tried: &[Arc<Endpoint>]) -> Result<Selection, GatewayError> {
        let members = self.members.load();
        let mut picked = self
            .balancer
            .pick(&members.candidates, exchange, tried)
            .ok_or_else(|| self.no_endpoint_error())?;
        if picked.lease.is_none() && !self.health.is_disabled() {
            picked.lease = Some(InFlightGuard::new(&picked.endpoint));
        }
        Ok(picked)
    }

    /// Whether exchanges under way are counted.
    pub fn counts(&self) -> bool {
        self.balancer.tracks_in_flight() || !self.health.is_disabled()
    }

    /// How one of its endpoints is chosen.
    pub fn balancer(&self) -> &BalancerKind {
        self.balancer.kind()
    }

    /// What is said about the health of its endpoints.
    pub fn health(&self) -> &HealthConfig {
        &self.health
    }

    /// How its endpoints are spoken to.
    pub fn tls_mode(&self) -> &TlsMode {
        &self.tls_mode
    }

    /// A number by chance.
    pub fn random_u64(&self) -> u64 {
        self.balancer.random_u64()
    }

    /// Tells the client where its session is at home, where it is the client who keeps that.
    pub fn set_session_cookie(&self, exchange: &Exchange, outcome: &mut RouteResult) {
        if let BalancerKind::Sticky(sticky) = self.balancer.kind() {
            sticky.set_session_cookie(&self.members.load().endpoints, exchange, outcome);
        }
    }

    /// Takes in what an attempt, begun then, saw of its endpoint; to be told once for every attempt that was made.
    /// Costs nothing where nobody wants to know.
    pub fn record(&self, endpoint: &Endpoint, shown: AttemptReport, began: Instant) {
        if self.observes {
            let now = Instant::now();
            self.record_at(endpoint, shown, now.saturating_duration_since(began), now);
        }
    }

    /// The same, with the time given.
    pub fn record_at(&self, endpoint: &Endpoint, shown: AttemptReport, took: Duration, now: Instant) {
        if self.balancer.tracks_latency() && shown != AttemptReport::Abandoned {
            endpoint.state.latency.add(took, matches!(shown, AttemptReport::Failed(_)), now);
        }
        let Some(passive) = &self.health.passive else { return };
        if let Some(why) = passive.record(&endpoint.state.health, shown, now) {
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
        self.states.background.spawn(tasks::end_ejection(shared, state, until));
    }

    /// Takes in what a probe found.
    pub fn record_probe(&self, endpoint: &Endpoint, found: Result<(), String>) {
        let Some(probing) = &self.health.active else { return };
        let told = found.as_ref().err().cloned();
        if endpoint.state.health.record_probe(found, probing) {
            match told {
                Some(why) => log::warn!("{}: {} is not well: {why}", self.label, endpoint.label),
                None => log::info!("{}: {} is well again", self.label, endpoint.label),
            }
            self.shared.refresh();
        }
    }

    /// The registry that a request has to wait for before it chooses, where there is one.
    pub fn pending_discovery(&self, exchange: &Exchange) -> Option<&ServiceWatch> {
        let source = self.source.get().filter(|source| source.is_awaited())?;
        (!self.balancer.has_session(exchange)).then_some(source)
    }

    /// Why there is no endpoint to choose.
    #[cold]
    pub fn no_endpoint_error(&self) -> GatewayError {
        match self.source.get() {
            Some(source) if source.is_unknown_service() => {
                GatewayError::new(ErrorCode::RouteNotFound, source.no_instance_reason())
            }
            Some(source) if self.members.load().endpoints.is_empty() => {
                GatewayError::new(ErrorCode::BackendNoEndpoint, source.no_instance_reason())
            }
            _ if !self.members.load().endpoints.is_empty() => {
                GatewayError::new(ErrorCode::BackendNoEndpoint, self.all_unhealthy())
            }
            _ => GatewayError::new(ErrorCode::BackendNoEndpoint, "the cluster of this route has no endpoint"),
        }
    }

    fn all_unhealthy(&self) -> String {
        let members = self.members.load();
        let first = members
            .endpoints
            .first()
            .map(|e| (e.label.clone(), self.health.status_and_reason(&e.state.health, Instant::now())));
        let first =
            first.map_or_else(String::new, |(label, (word, why, _))| format!("; {label} is {word}: {why}"));
        format!("none of the {} endpoints of {} is well{first}", members.endpoints.len(), self.label)
    }
}

/// What clusters keep beyond the life of a plan; unused state vanishes with the last plan that held it.
#[derive(Debug)]
pub struct ClusterStates {
    endpoints: EndpointRegistry,
    shared: WeakMap<String, ClusterState>,
    /// Turns and sessions that clusters share which use a cookie of one name, as Ocelot does.
    round_robin_counter: WeakMap<String, AtomicUsize>,
    sessions: WeakMap<(String, Duration), Sessions>,
    background: BackgroundRuntime,
    metrics: Option<Arc<Metrics>>,
}

impl ClusterStates {
    /// The states of a process, its names resolved there.
    pub fn new(names: Resolver) -> Arc<ClusterStates> {
        ClusterStates::with_runtime(names, BackgroundRuntime::default(), None)
    }

    /// The same; tasks run there, and what is found out is counted there.
    pub fn with_runtime(
        names: Resolver,
        background: BackgroundRuntime,
        metrics: Option<Arc<Metrics>>,
    ) -> Arc<ClusterStates> {
        Arc::new(ClusterStates {
            endpoints: EndpointRegistry::new(names),
            shared: WeakMap::default(),
            round_robin_counter: WeakMap::default(),
            sessions: WeakMap::default(),
            background,
            metrics,
        })
    }

    /// Builds a cluster, taking over what is known of its endpoints and of its balancer.
    pub fn cluster(self: &Arc<Self>, spec: &ClusterSpec) -> Arc<Cluster> {
        let shared = self.shared.get_or_insert_with(spec.key.clone(), ClusterState::default);
        let balancer = self.balancer(spec, &shared);
        let cluster = Arc::new(Cluster {
            key: spec.key.as_str().into(),
            label: spec.label.as_str().into(),
            members: ArcSwap::default(),
            changing: Mutex::default(),
            tls_mode: spec.tls_mode.clone(),
            pooling: spec.pooling,
            observes: balancer.tracks_latency() || spec.health.passive.is_some(),
            balancer,
            health: spec.health.clone(),
            shared,
            states: self.clone(),
            source: OnceLock::new(),
        });
        if let Some(instances) = &spec.instances {
            cluster.set(instances);
        }
        if !cluster.health.is_disabled() {
            cluster.shared.register(&cluster, &self.background);
        }
        cluster
    }

    fn balancer(&self, spec: &ClusterSpec, shared: &ClusterState) -> Balancer {
        let (mut turn, mut sessions) = (shared.round_robin_counter.clone(), None);
        if let BalancerKind::Sticky(Sticky { cookie, expiry, keeps }) = &spec.balancer {
            let expiry = expiry.unwrap_or(DEFAULT_EXPIRY);
            let key = match keeps {
                SessionStore::Unbounded => format!("CookieStickySessions:{cookie}"),
                SessionStore::Bounded | SessionStore::Cookie => spec.key.clone(),
            };
            if *keeps == SessionStore::Unbounded {
                turn = self.round_robin_counter.get_or_insert_with(key.clone(), || AtomicUsize::new(0));
            }
            if *keeps != SessionStore::Cookie {
                sessions = Some(self.sessions.get_or_insert_with((key, expiry), || Sessions::new(expiry)));
            }
        }
        Balancer::new(spec.balancer.clone(), turn, sessions, ThreadRng::default())
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
        let states = ClusterStates::new(Resolver::default());
        let old = states.cluster(&spec(BalancerKind::RoundRobin));
        let first = label(&old);
        let new = states.cluster(&spec(BalancerKind::RoundRobin));
        assert_ne!(label(&new), first);
        assert!(Arc::ptr_eq(&old.members().endpoints[0].state, &new.members().endpoints[0].state));
    }

    #[test]
    fn what_attempts_see_moves_requests_where_the_balancer_asks() {
        let cluster = ClusterStates::new(Resolver::default()).cluster(&spec(BalancerKind::PeakEwma));
        let slow = cluster.members().endpoints[0].clone();
        cluster.record_at(
            &slow,
            AttemptReport::Failed(ErrorCode::BackendReset),
            Duration::ZERO,
            Instant::now(),
        );
        cluster.record_at(
            &cluster.members().endpoints[1],
            AttemptReport::Answered(200),
            Duration::from_millis(1),
            Instant::now(),
        );
        assert!((0..20).all(|_| label(&cluster) == "[::1]:80"));
    }

    #[test]
    fn a_cluster_without_endpoints_has_none_to_give_until_somebody_names_one() {
        let states = ClusterStates::new(Resolver::default());
        let cluster = states.cluster(&ClusterSpec { instances: None, ..spec(BalancerKind::LeastConnection) });
        assert!(!cluster.members().known_count);
        assert_eq!(label(&cluster), "backend.no_endpoint");
        cluster.set(&[Instance::new("127.0.0.1", 7)]);
        assert_eq!(label(&cluster), "127.0.0.1:7");
        cluster.set(&[]);
        assert_eq!(label(&cluster), "backend.no_endpoint");
    }
}
