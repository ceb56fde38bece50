//! All metrics of the process, and the handles with which the other floors count.

use super::caches::{CacheMetrics, CacheTable};
use super::changes::ConfigMetrics;
use super::clusters::ClusterMetrics;
use super::compression::CompressionMetrics;
use super::counters::{Connections, RouteMetrics, Totals};
use super::discovery::{DiscoveryMetrics, DiscoveryTable};
use super::endpoints::{DrainTable, EndpointMetrics, EndpointTable};
use super::fabric::{FabricMetrics, FabricRouteMetrics, FabricTable};
use super::feed::RecordFeed;
use super::firewall::FirewallTable;
use super::otlp_counts::OtlpCounts;
use super::registry::{Registry, lock};
use super::{http2::Http2Metrics, hubs::HubMetrics};
use super::{removals::RemovalMetrics, resilience::ResilienceMetrics, shared_state::SharedStateMetrics};
use super::{stages::StageMetrics, tls::TlsTable, transport::TransportTable, websockets::WebSocketMetrics};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The label of requests that matched no route.
pub const UNROUTED_LABEL: &str = "(none)";

/// The maximum number of distinct error codes; the registry has fewer.
const ERROR_CODES: usize = 256;

/// The outcome of a configuration reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new document was applied.
    Applied,
    /// The content of the files has not changed.
    Unchanged,
    /// The document has errors; the active plan stays.
    Rejected,
}

impl Reload {
    /// All outcomes, in the order they are exported.
    pub const ALL: [Reload; 3] = [Reload::Applied, Reload::Unchanged, Reload::Rejected];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Reload::Applied => "applied",
            Reload::Unchanged => "unchanged",
            Reload::Rejected => "rejected",
        }
    }
}

/// One slot of the table of error codes, claimed by the first error with its code.
#[derive(Debug, Default)]
struct ErrorCount {
    code: OnceLock<&'static str>,
    count: AtomicU64,
}

/// All metrics, for the lifetime of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    routes: Registry<RouteMetrics>,
    unrouted: Arc<RouteMetrics>,
    stages: Registry<StageMetrics>,
    attempts: Registry<ResilienceMetrics>,
    clusters: Registry<ClusterMetrics>,
    caches: CacheTable,
    compression: Arc<CompressionMetrics>,
    removals: Arc<RemovalMetrics>,
    shared_state: Arc<SharedStateMetrics>,
    connections: Box<[Connections]>,
    refusals: Box<[ErrorCount]>,
    tunnels: Arc<WebSocketMetrics>,
    firewall: FirewallTable,
    http2: Http2Metrics,
    hubs: Arc<HubMetrics>,
    pub agents: Arc<super::agents::AgentMetrics>,
    pub policies: Arc<super::policies::PolicyMetrics>,
    reloads: [AtomicU64; 3],
    config: ConfigMetrics,
    pub(super) discovery: DiscoveryTable,
    pub(super) endpoints: EndpointTable,
    pub(super) drained: DrainTable,
    pub(super) fabric: FabricTable,
    pub tls: TlsTable,
    pub transport: TransportTable,
    plan: Mutex<PlanInfo>,
    dropped_log_lines: Arc<AtomicU64>,
    feed: Arc<RecordFeed>,
    otlp: OtlpCounts,
    started_at: SystemTime,
    /// Idle routes and clusters are exported too.
    emits_zero: AtomicBool,
    has_native_histograms: Arc<AtomicBool>,
}

/// Metrics of the active plan.
#[derive(Clone, Debug, Default)]
pub(super) struct PlanInfo {
    pub(super) id: String,
    pub(super) applied_at: u64,
}

impl Metrics {
    /// Counters for this many workers, numbered from 0.
    pub fn new(workers: usize) -> Arc<Metrics> {
        let (workers, has_native_histograms) = (workers.max(1), Arc::<AtomicBool>::default());
        Arc::new(Metrics {
            workers,
            routes: Registry::default(),
            unrouted: Arc::new(RouteMetrics::new(UNROUTED_LABEL, workers, has_native_histograms.clone())),
            has_native_histograms,
            stages: Registry::default(),
            attempts: Registry::default(),
            clusters: Registry::default(),
            caches: CacheTable::new(workers),
            compression: Arc::new(CompressionMetrics::new(workers)),
            removals: Arc::new(RemovalMetrics::new(workers)),
            shared_state: Arc::new(SharedStateMetrics::new(workers)),
            connections: (0..workers).map(|_| Connections::default()).collect(),
            refusals: (0..ERROR_CODES).map(|_| ErrorCount::default()).collect(),
            tunnels: Arc::default(),
            firewall: FirewallTable::default(),
            http2: Http2Metrics::new(workers),
            hubs: Arc::default(),
            agents: Arc::default(),
            policies: Arc::default(),
            reloads: Default::default(),
            config: ConfigMetrics::default(),
            discovery: DiscoveryTable::default(),
            endpoints: EndpointTable::default(),
            drained: DrainTable::default(),
            fabric: FabricTable::default(),
            tls: TlsTable::default(),
            transport: TransportTable::new(workers),
            plan: Mutex::default(),
            dropped_log_lines: Arc::default(),
            feed: Arc::default(),
            otlp: OtlpCounts::default(),
            started_at: SystemTime::now(),
            emits_zero: AtomicBool::new(false),
        })
    }

    /// The handle of a route; equal labels share one handle, so that counters survive a reload.
    pub fn route(&self, label: &str) -> Arc<RouteMetrics> {
        let is_native = || self.has_native_histograms.clone();
        self.routes.get_or_insert_with(label, || RouteMetrics::new(label, self.workers, is_native()))
    }

    /// The handle of a stage type; equal names share one handle.
    pub fn stage(&self, name: &str) -> Arc<StageMetrics> {
        self.stages.get_or_insert_with(name, || StageMetrics::new(name, self.workers))
    }

    /// The handle of an endpoint with health checks or outlier detection.
    pub fn endpoint(&self, cluster: &str, endpoint: &str) -> Arc<EndpointMetrics> {
        self.endpoints.handle(cluster, endpoint)
    }

    /// Records that an operator drains an endpoint, or ends it.
    pub fn set_drained(&self, cluster: &str, endpoint: &str, on: bool) {
        self.drained.set(cluster, endpoint, on);
    }

    /// The handle of a service of a discovery provider; without a service, only the provider's errors are exported.
    pub fn discovery(&self, registry: &str, service: Option<&str>) -> Arc<DiscoveryMetrics> {
        self.discovery.handle(registry, service)
    }

    /// The handle of a resolver of services with partitions.
    pub fn fabric(&self, resolver: &str) -> Arc<FabricMetrics> {
        self.fabric.resolver(resolver, self.workers)
    }

    /// The handle of a route to services with partitions.
    pub fn fabric_route(&self, label: &str) -> Arc<FabricRouteMetrics> {
        self.fabric.route(label)
    }

    /// The handle of a route with resilience settings; equal labels share one handle.
    pub fn attempts(&self, label: &str) -> Arc<ResilienceMetrics> {
        self.attempts.get_or_insert_with(label, || ResilienceMetrics::new(label))
    }

    /// The handle of a cluster; equal labels share one handle.
    pub fn cluster(&self, label: &str) -> Arc<ClusterMetrics> {
        self.clusters.get_or_insert_with(label, || ClusterMetrics::new(label, self.workers))
    }

    /// The subscribers of access records.
    pub fn feed(&self) -> &Arc<RecordFeed> {
        &self.feed
    }

    /// What was sent to collectors.
    pub fn otlp(&self) -> &OtlpCounts {
        &self.otlp
    }

    /// When counting began.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Sets whether routes and clusters without traffic are exported, and whether histograms are native too.
    pub fn configure(&self, emits_zero: bool, has_native_histograms: bool) {
        self.emits_zero.store(emits_zero, Relaxed);
        self.has_native_histograms.store(has_native_histograms, Relaxed);
    }

    pub(super) fn has_native_histograms(&self) -> bool {
        self.has_native_histograms.load(Relaxed)
    }

    /// The metrics of caches.
    pub fn caches(&self) -> &CacheTable {
        &self.caches
    }

    /// The metrics of compression.
    pub fn compression(&self) -> &Arc<CompressionMetrics> {
        &self.compression
    }

    /// The metrics of the web application firewall.
    pub fn firewall(&self) -> &FirewallTable {
        &self.firewall
    }

    /// What is removed from messages instead of forwarded.
    pub fn removals(&self) -> &Arc<RemovalMetrics> {
        &self.removals
    }

    /// The metrics of the shared state.
    pub fn shared_state(&self) -> &Arc<SharedStateMetrics> {
        &self.shared_state
    }

    /// The handle of requests that matched no route or were rejected before routing.
    pub fn unrouted(&self) -> &Arc<RouteMetrics> {
        &self.unrouted
    }

    /// The metrics of upgraded connections.
    pub fn tunnels(&self) -> &Arc<WebSocketMetrics> {
        &self.tunnels
    }

    /// The metrics of HTTP/2.
    pub fn http2(&self) -> &Http2Metrics {
        &self.http2
    }

    /// The metrics of realtime hubs.
    pub fn hubs(&self) -> &Arc<HubMetrics> {
        &self.hubs
    }

    /// Removes all routes whose label is not in the set; requests in flight keep their handle.
    pub fn remove_absent(&self, live: &HashSet<&str>) {
        self.routes.remove_absent(live);
        self.attempts.remove_absent(live);
        self.caches.remove_absent(live);
    }

    /// Removes all clusters whose label is not in the set.
    pub fn remove_absent_clusters(&self, live: &HashSet<&str>) {
        self.clusters.remove_absent(live);
    }

    /// Counts a connection accepted on this worker; `closed` must follow on the same worker.
    pub fn accepted(&self, worker: usize) {
        if let Some(c) = self.connections.get(worker) {
            c.accepted.add(1);
        }
    }

    /// Counts a closed connection.
    pub fn closed(&self, worker: usize) {
        if let Some(c) = self.connections.get(worker) {
            c.closed.add(1);
        }
    }

    /// Counts an error response of the gateway by its error code.
    pub fn record_error(&self, code: &'static str) {
        if let Some(slot) = self.refusals.iter().find(|slot| *slot.code.get_or_init(|| code) == code) {
            slot.count.fetch_add(1, Relaxed);
        }
    }

    /// Counts the outcome of a reload.
    pub fn reload(&self, outcome: Reload) {
        self.reloads[outcome as usize].fetch_add(1, Relaxed);
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The Unix time at which the active plan was activated, in seconds.
    pub fn config_applied_at(&self) -> u64 {
        lock(&self.plan).applied_at
    }

    /// The counters of changes of the configuration.
    pub fn config(&self) -> &ConfigMetrics {
        &self.config
    }

    /// The counters of every route that had a request, by its label.
    pub fn route_totals(&self) -> Vec<(Arc<RouteMetrics>, Totals)> {
        let all = self.routes.handles().into_iter().map(|route| {
            let totals = route.totals();
            (route, totals)
        });
        all.filter(|(_, totals)| totals.ended() > 0).collect()
    }

    /// Records the activation of a plan; `id` identifies its content.
    pub fn plan(&self, id: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        *lock(&self.plan) = PlanInfo { id: id.to_owned(), applied_at: since };
    }

    /// The counter of dropped access log lines.
    pub fn dropped_log_lines(&self) -> Arc<AtomicU64> {
        self.dropped_log_lines.clone()
    }
}

/// Values for the exporter.
impl Metrics {
    /// The counters of all routes, and of requests without one.
    pub fn all_routes(&self) -> Vec<Arc<RouteMetrics>> {
        let mut all = vec![self.unrouted.clone()];
        all.extend(self.routes.handles());
        all
    }

    pub(super) fn all_clusters(&self) -> Vec<Arc<ClusterMetrics>> {
        let mut all = self.clusters.handles();
        all.retain(|cluster| self.emits_zero() || cluster.is_used());
        all
    }

    pub(super) fn all_caches(&self) -> Vec<Arc<CacheMetrics>> {
        let mut all = self.caches.all();
        all.retain(|cache| self.emits_zero() || cache.is_used());
        all
    }

    pub(super) fn emits_zero(&self) -> bool {
        self.emits_zero.load(Relaxed)
    }

    pub(super) fn all_stages(&self) -> Vec<Arc<StageMetrics>> {
        self.stages.handles()
    }

    pub(super) fn all_attempts(&self) -> Vec<Arc<ResilienceMetrics>> {
        self.attempts.handles()
    }

    /// Connections accepted since the start, and open ones.
    pub fn connection_totals(&self) -> (u64, u64) {
        let closed: u64 = self.connections.iter().map(|c| c.closed.get()).sum();
        let accepted: u64 = self.connections.iter().map(|c| c.accepted.get()).sum();
        (accepted, accepted.saturating_sub(closed))
    }

    pub(super) fn refusal_totals(&self) -> Vec<(&'static str, u64)> {
        let named =
            self.refusals.iter().filter_map(|slot| Some((*slot.code.get()?, slot.count.load(Relaxed))));
        named.collect()
    }

    /// The number of reloads with this outcome.
    pub fn reload_total(&self, outcome: Reload) -> u64 {
        self.reloads[outcome as usize].load(Relaxed)
    }

    pub(super) fn current_plan(&self) -> PlanInfo {
        lock(&self.plan).clone()
    }

    pub(super) fn dropped_total(&self) -> u64 {
        self.dropped_log_lines.load(Relaxed)
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
