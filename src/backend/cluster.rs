//! Clusters: a set of endpoints with a load balancing policy and health. Settings belong to the plan; measurements
//! outlive it, by key.

pub use super::cluster_spec::ClusterSpec;
use super::{
    balance::{Balancer, BalancerKind, Caller, EndpointSet},
    balancer_states::BalancerStates,
    cluster_state::ClusterState,
    discovery::{InstanceTarget, ServiceWatch},
    drained::{DrainError, DrainedEndpoints},
    endpoint::{Endpoint, EndpointRegistry, Instance, TlsMode},
    health::{
        ActiveCheck, AttemptReport, HealthConfig,
        tasks::{self, ProbedCluster},
    },
    selection::{InFlightGuard, Selection},
};
use crate::{
    base::weak_map::WeakMap,
    net::{
        background::BackgroundRuntime, connection_limit::PoolConfig, resolver::Resolver,
        tls::client::ClientTls,
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::RouteResult,
    },
    telemetry::{ClusterMetrics, Metrics},
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// A cluster. Its endpoints may change while it is in use: by service discovery and by health checks.
#[derive(Debug)]
pub struct Cluster {
    /// Identifies the state that outlives the plan.
    pub key: Arc<str>,
    /// The name in logs and metrics.
    pub label: Arc<str>,
    members: ArcSwap<EndpointsSnapshot>,
    /// Held while the members change.
    update: Mutex<()>,
    tls_mode: TlsMode,
    pooling: PoolConfig,
    balancer: Balancer,
    health: HealthConfig,
    /// Whether load balancing or outlier detection uses the results of attempts.
    observes_attempts: bool,
    state: Arc<ClusterState<Cluster>>,
    states: Arc<ClusterStates>,
    /// The watched service that provides the instances, if the cluster uses service discovery.
    pub source: OnceLock<Arc<ServiceWatch>>,
    /// Attempts by outcome.
    pub attempts: Arc<ClusterMetrics>,
}

/// The endpoints of a cluster at one moment.
#[derive(Debug, Default)]
pub struct EndpointsSnapshot {
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// The endpoints that may be selected.
    pub(super) candidates: EndpointSet,
    /// Whether health is ignored because too few endpoints are eligible.
    pub is_panic: bool,
    /// Whether the endpoints are known: false until service discovery responds for the first time.
    pub is_known: bool,
}

impl Cluster {
    /// The TLS settings of its connections; the defaults without TLS.
    pub fn client_tls(&self) -> ClientTls {
        match &self.tls_mode {
            TlsMode::Plain => ClientTls::default(),
            TlsMode::Always(tls) | TlsMode::SameAsClient(tls) => (**tls).clone(),
        }
    }

    /// The current endpoints. Do not hold the snapshot.
    pub fn members(&self) -> Arc<EndpointsSnapshot> {
        self.members.load_full()
    }

    /// Whether the connections to an endpoint are limited.
    pub fn limits_connections(&self) -> bool {
        self.pooling.limit.is_some()
    }

    /// Takes the instances from a watched service.
    pub fn attach_source(self: &Arc<Self>, source: &Arc<ServiceWatch>) {
        if self.source.set(source.clone()).is_ok() {
            let target: Arc<dyn InstanceTarget> = self.clone();
            source.attach(&target);
        }
    }

    /// Replaces the instances; the state of endpoints that stay is kept.
    pub fn set_instances(&self, instances: &[Instance]) {
        let endpoints: Box<[_]> = instances
            .iter()
            .map(|i| self.states.endpoints.get(self.key.clone(), i, &self.tls_mode, self.pooling))
            .collect();
        for endpoint in &endpoints {
            let is_drained = self.states.drained.contains(&self.key, &endpoint.label);
            endpoint.state.health.set_drained(is_drained);
        }
        if let Some(metrics) = self.states.metrics.as_ref().filter(|_| !self.health.is_disabled()) {
            for endpoint in &endpoints {
                endpoint.state.health.attach_metrics(|| metrics.endpoint(&self.label, &endpoint.label));
            }
        }
        self.update_endpoints(|_| (endpoints, true));
    }

    /// Selects the eligible endpoints again after a change of health.
    pub fn refresh(&self) {
        self.update_endpoints(|members| (members.endpoints.clone(), members.is_known));
    }

    fn update_endpoints(&self, change: impl FnOnce(&EndpointsSnapshot) -> (Box<[Arc<Endpoint>]>, bool)) {
        let _guard = self.update.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let (endpoints, is_known) = change(&old);
        // A drained endpoint gets no request, even if too few others are healthy.
        let open: Box<[_]> = endpoints.iter().filter(|e| !e.state.health.is_drained()).cloned().collect();
        let eligible: Box<[_]> =
            open.iter().filter(|e| e.state.health.is_eligible(&self.health)).cloned().collect();
        let is_panic = eligible.len() < open.len() && self.health.is_panic(eligible.len(), open.len());
        let candidates = self.balancer.build(if is_panic { open } else { eligible }, &old.candidates);
        self.members.store(Arc::new(EndpointsSnapshot { endpoints, candidates, is_panic, is_known }));
    }

    /// Drains an endpoint, or ends it: a drained endpoint gets no new requests, requests in flight finish. It lasts until it
    /// is ended, whatever reloads and service discovery do.
    ///
    /// # Errors
    ///
    /// [`DrainError`]. The drain of an endpoint that the cluster does not have any more can be ended.
    pub fn set_drained(&self, endpoint: &str, on: bool) -> Result<(), DrainError> {
        let members = self.members();
        let found = members.endpoints.iter().find(|known| *known.label == *endpoint);
        if found.is_none() && (on || !self.states.drained.contains(&self.key, endpoint)) {
            return Err(DrainError::UnknownEndpoint);
        }
        self.states.drained.set(&self.key, endpoint, on)?;
        if let Some(metrics) = &self.states.metrics {
            metrics.set_drained(&self.label, endpoint, on);
        }
        let what = if on { "is drained" } else { "is enabled again" };
        log::warn!("{}: endpoint {endpoint} {what} by the administration", self.label);
        if let Some(endpoint) = found {
            endpoint.state.health.set_drained(on);
            refresh_all(&self.state);
        }
        Ok(())
    }

    /// Selects an endpoint for an attempt, avoiding those already tried as long as there is another.
    pub fn pick<'c>(
        &self,
        caller: impl Into<Caller<'c>>,
        tried: &[Arc<Endpoint>],
    ) -> Result<Selection, GatewayError> {
        let members = self.members.load();
        let mut selection = self
            .balancer
            .pick(&members.candidates, caller.into(), tried)
            .ok_or_else(|| self.no_endpoint_error())?;
        if selection.in_flight.is_none() && !self.health.is_disabled() {
            selection.in_flight = Some(InFlightGuard::new(&selection.endpoint));
        }
        Ok(selection)
    }

    /// Whether the endpoint may be selected for new requests.
    pub fn is_candidate(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.members.load().candidates.endpoints.iter().any(|known| Arc::ptr_eq(known, endpoint))
    }

    /// Whether exchanges in flight are counted.
    pub fn tracks_in_flight(&self) -> bool {
        self.balancer.tracks_in_flight() || !self.health.is_disabled()
    }

    /// The load balancing policy.
    pub fn balancer(&self) -> &BalancerKind {
        self.balancer.kind()
    }

    /// The health settings.
    pub fn health(&self) -> &HealthConfig {
        &self.health
    }

    /// Sets the session cookie on the response, for sticky sessions kept by the client.
    pub fn set_session_cookie(&self, exchange: &Exchange, outcome: &mut RouteResult) {
        if let BalancerKind::Sticky(sticky) = self.balancer.kind() {
            sticky.set_session_cookie(&self.members.load().endpoints, exchange, outcome);
        }
    }

    /// Records the result of an attempt for health and load balancing. Call exactly once per started attempt. Free if
    /// neither uses it.
    pub fn record(&self, endpoint: &Endpoint, report: AttemptReport, started_at: Instant, now: Instant) {
        if self.observes_attempts {
            self.record_at(endpoint, report, now.saturating_duration_since(started_at), now);
        }
    }

    /// [`Cluster::record`] with the duration and the time given.
    pub fn record_at(&self, endpoint: &Endpoint, report: AttemptReport, duration: Duration, now: Instant) {
        if self.balancer.tracks_latency() && report != AttemptReport::Abandoned {
            endpoint.state.latency.add(duration, matches!(report, AttemptReport::Failed(_)), now);
        }
        let Some(outliers) = &self.health.passive else { return };
        if let Some(reason) = outliers.record(&endpoint.state.health, report, now) {
            self.eject(endpoint, reason, now);
        }
    }

    #[cold]
    fn eject(&self, endpoint: &Endpoint, reason: String, now: Instant) {
        let Some(outliers) = &self.health.passive else { return };
        let until = {
            let _guard = self.state.lock_ejections();
            outliers.eject(&self.members().endpoints, endpoint, reason.clone(), now)
        };
        let Some(until) = until else { return };
        log::warn!("{}: endpoint {} ejected for {:?}: {reason}", self.label, endpoint.label, until - now);
        refresh_all(&self.state);
        let (state, endpoint) = (Arc::downgrade(&self.state), Arc::downgrade(&endpoint.state));
        let refresh = move || {
            if let Some(state) = state.upgrade() {
                refresh_all(&state);
            }
        };
        self.states.background.spawn(tasks::end_ejection(endpoint, until, refresh));
    }

    /// Registers the cluster for changes of health, and starts a probe task unless one runs for its key.
    fn start_health_checks(self: &Arc<Self>) {
        let has_probes = |cluster: &Cluster| cluster.health.active.is_some();
        if self.state.register(self, has_probes(self)) {
            let state = Arc::downgrade(&self.state);
            let next_cluster = move || state.upgrade()?.newest_probed(has_probes);
            self.states.background.spawn(tasks::probe_loop(next_cluster));
        }
    }

    /// The watched service that a request must wait for before an endpoint is selected.
    pub fn pending_discovery(&self, exchange: &Exchange) -> Option<&ServiceWatch> {
        let source = self.source.get().filter(|source| source.must_be_awaited())?;
        (!self.balancer.has_session(exchange)).then_some(source)
    }

    /// The error of a request for which there is no endpoint.
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
                GatewayError::new(ErrorCode::BackendNoEndpoint, self.all_unhealthy_reason())
            }
            _ => GatewayError::new(ErrorCode::BackendNoEndpoint, "the cluster of this route has no endpoint"),
        }
    }

    fn all_unhealthy_reason(&self) -> String {
        let members = self.members.load();
        let first = members.endpoints.first().map_or_else(String::new, |endpoint| {
            let status = endpoint.state.health.status(&self.health, Instant::now());
            format!("; {} is {}: {}", endpoint.label, status.name, status.reason)
        });
        format!("none of the {} endpoints of {} is healthy{first}", members.endpoints.len(), self.label)
    }
}

/// Updates the eligible endpoints of all clusters of a key.
fn refresh_all(state: &ClusterState<Cluster>) {
    state.clusters().iter().for_each(|cluster| cluster.refresh());
}

impl ProbedCluster for Cluster {
    fn active_check(&self) -> Option<&Arc<ActiveCheck>> {
        self.health.active.as_ref()
    }

    fn tls_mode(&self) -> &TlsMode {
        &self.tls_mode
    }

    fn endpoints(&self) -> Box<[Arc<Endpoint>]> {
        self.members().endpoints.clone()
    }

    fn record_probe(&self, endpoint: &Endpoint, result: Result<(), String>) {
        let Some(check) = &self.health.active else { return };
        let error = result.as_ref().err().cloned();
        if endpoint.state.health.record_probe(result, check) {
            match error {
                Some(error) => {
                    log::warn!("{}: endpoint {} is unhealthy: {error}", self.label, endpoint.label);
                }
                None => log::info!("{}: endpoint {} is healthy again", self.label, endpoint.label),
            }
            refresh_all(&self.state);
        }
    }
}

impl InstanceTarget for Cluster {
    fn set_instances(&self, instances: &[Instance]) {
        Cluster::set_instances(self, instances);
    }
}

/// The state of clusters that outlives plans; dropped with the last plan that uses it.
#[derive(Debug)]
pub struct ClusterStates {
    endpoints: EndpointRegistry,
    clusters: WeakMap<Arc<str>, ClusterState<Cluster>>,
    balancers: BalancerStates,
    drained: DrainedEndpoints,
    background: BackgroundRuntime,
    metrics: Option<Arc<Metrics>>,
}

impl ClusterStates {
    /// The states of a process, without background tasks and metrics.
    pub fn new(resolver: Resolver) -> Arc<ClusterStates> {
        ClusterStates::with_runtime(resolver, BackgroundRuntime::default(), None)
    }

    /// The states of a process.
    pub fn with_runtime(
        resolver: Resolver,
        background: BackgroundRuntime,
        metrics: Option<Arc<Metrics>>,
    ) -> Arc<ClusterStates> {
        Arc::new(ClusterStates {
            endpoints: EndpointRegistry::new(resolver),
            clusters: WeakMap::default(),
            balancers: BalancerStates::default(),
            drained: DrainedEndpoints::default(),
            background,
            metrics,
        })
    }

    /// Builds a cluster with the state of its key.
    pub fn cluster(self: &Arc<Self>, spec: &ClusterSpec) -> Arc<Cluster> {
        let key: Arc<str> = spec.key.as_str().into();
        let state = self.clusters.get_or_insert_with(key.clone(), ClusterState::default);
        let balancer = self.balancers.balancer(spec, &state.round_robin_counter);
        let cluster = Arc::new(Cluster {
            key,
            label: spec.label.as_str().into(),
            members: ArcSwap::default(),
            update: Mutex::default(),
            tls_mode: spec.tls_mode.clone(),
            pooling: spec.pooling,
            observes_attempts: balancer.tracks_latency() || spec.health.passive.is_some(),
            balancer,
            health: spec.health.clone(),
            state,
            states: self.clone(),
            source: OnceLock::new(),
            attempts: self.attempts(&spec.label),
        });
        if let Some(instances) = &spec.instances {
            cluster.set_instances(instances);
        }
        cluster.start_health_checks();
        cluster
    }

    fn attempts(&self, label: &str) -> Arc<ClusterMetrics> {
        match &self.metrics {
            Some(metrics) => metrics.cluster(label),
            None => Arc::new(ClusterMetrics::new(label, 1)),
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
