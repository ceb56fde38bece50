//! Metrics of services with partitions: look-ups by resolver, retries by route.

use super::histogram::{HistogramTotals, bucket_index};
use super::registry::WeakRegistry;
use super::shard::{LocalCounter, Shards};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The outcome of a look-up of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FabricResolve {
    /// Asked for something that was not known.
    Asked,
    /// Something newer was found.
    Newer,
    /// There was nothing newer.
    Same,
    /// The service does not exist.
    Missing,
    Failed,
}

impl FabricResolve {
    const ALL: [(FabricResolve, &str); 5] = [
        (FabricResolve::Asked, "asked"),
        (FabricResolve::Newer, "newer"),
        (FabricResolve::Same, "same"),
        (FabricResolve::Missing, "missing"),
        (FabricResolve::Failed, "failed"),
    ];
}

/// Why another attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FabricRetry {
    Connect,
    Reset,
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 503.
    Unavailable,
    /// No replica.
    Offline,
    /// The naming service did not respond.
    Naming,
}

impl FabricRetry {
    const ALL: [(FabricRetry, &str); 7] = [
        (FabricRetry::Connect, "connect"),
        (FabricRetry::Reset, "reset"),
        (FabricRetry::NotFound, "404"),
        (FabricRetry::Gone, "410"),
        (FabricRetry::Unavailable, "503"),
        (FabricRetry::Offline, "offline"),
        (FabricRetry::Naming, "naming"),
    ];
}

/// The shard of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
struct HitShard(LocalCounter);

/// The counters of a resolver.
#[derive(Debug)]
pub struct FabricMetrics {
    hits: Shards<HitShard>,
    outcomes: [AtomicU64; FabricResolve::ALL.len()],
    durations: [AtomicU64; 16],
    duration_sum_ns: AtomicU64,
    services: AtomicU64,
    partitions: AtomicU64,
    stale: AtomicU64,
    is_up: AtomicBool,
}

impl FabricMetrics {
    fn new(workers: usize) -> FabricMetrics {
        FabricMetrics {
            hits: Shards::new(workers),
            outcomes: Default::default(),
            durations: Default::default(),
            duration_sum_ns: AtomicU64::new(0),
            services: AtomicU64::new(0),
            partitions: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
        }
    }

    /// Counts a partition that was known.
    pub fn count_hit(&self, worker: usize) {
        if let Some(HitShard(hits)) = self.hits.of(worker) {
            hits.add(1);
        }
    }

    /// Counts a look-up.
    pub fn count(&self, outcome: FabricResolve) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Records the duration of a request to the cluster.
    pub fn observe(&self, duration: Duration) {
        self.durations[bucket_index(duration)].fetch_add(1, Relaxed);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.duration_sum_ns.fetch_add(ns, Relaxed);
    }

    /// Counts that something was used although it could not be confirmed.
    pub fn count_stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    /// Sets whether the resolver responds.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
    }

    /// Sets the number of known services.
    pub fn set_services(&self, services: usize) {
        self.services.store(services as u64, Relaxed);
    }

    /// Sets the number of kept partitions.
    pub fn set_partitions(&self, partitions: usize) {
        self.partitions.store(partitions as u64, Relaxed);
    }

    fn hits(&self) -> u64 {
        self.hits.iter().map(|HitShard(hits)| hits.get()).sum()
    }
}

/// The counters of a route to services.
#[derive(Debug, Default)]
pub struct FabricRouteMetrics {
    retries: [AtomicU64; FabricRetry::ALL.len()],
    exhausted: AtomicU64,
}

impl FabricRouteMetrics {
    /// Counts another attempt.
    pub fn count_retry(&self, reason: FabricRetry) {
        self.retries[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request for which no more attempts were made.
    pub fn count_exhausted(&self) {
        self.exhausted.fetch_add(1, Relaxed);
    }
}

/// A sample: its labels and its value.
pub(super) type FabricSample = (Vec<(&'static str, Box<str>)>, u64);

/// The metrics of all resolvers and routes.
#[derive(Debug, Default)]
pub(super) struct FabricTable {
    resolvers: WeakRegistry<Box<str>, FabricMetrics>,
    routes: WeakRegistry<Box<str>, FabricRouteMetrics>,
}

/// Maximum number of exported routes.
const MAX_ROUTES: usize = 10_000;

impl FabricTable {
    /// The metrics of a resolver, as long as something holds them.
    pub fn resolver(&self, name: &str, workers: usize) -> Arc<FabricMetrics> {
        let known = self.resolvers.entries().into_iter().find(|(known, _)| **known == *name);
        known.map(|(_, metrics)| metrics).unwrap_or_else(|| {
            let new = Arc::new(FabricMetrics::new(workers));
            self.resolvers.replace(name.into(), &new);
            new
        })
    }

    /// The metrics of a route, as long as something holds them.
    pub fn route(&self, label: &str) -> Arc<FabricRouteMetrics> {
        self.routes.get_or_default(label.into(), MAX_ROUTES)
    }

    /// The samples of a family that is no histogram.
    pub fn samples(&self, family: &str) -> Vec<FabricSample> {
        let of_resolver = |value: fn(&FabricMetrics) -> u64| -> Vec<FabricSample> {
            let one =
                |(name, metrics): (Box<str>, Arc<FabricMetrics>)| (vec![("resolver", name)], value(&metrics));
            self.resolvers.entries().into_iter().map(one).collect()
        };
        match family {
            "margay_fabric_resolve_total" => self.resolve_samples(),
            "margay_fabric_services" => of_resolver(|metrics| metrics.services.load(Relaxed)),
            "margay_fabric_partitions" => of_resolver(|metrics| metrics.partitions.load(Relaxed)),
            "margay_fabric_stale_total" => of_resolver(|metrics| metrics.stale.load(Relaxed)),
            "margay_fabric_up" => of_resolver(|metrics| metrics.is_up.load(Relaxed).into()),
            "margay_fabric_retries_total" => self.retry_samples(),
            "margay_fabric_exhausted_total" => {
                let routes = self.routes.entries().into_iter();
                routes.map(|(name, route)| (vec![("route", name)], route.exhausted.load(Relaxed))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The durations of requests to clusters, by resolver.
    pub fn durations(&self) -> Vec<(Box<str>, HistogramTotals)> {
        let totals = |(name, metrics): (Box<str>, Arc<FabricMetrics>)| {
            let mut totals = HistogramTotals {
                sum_ns: metrics.duration_sum_ns.load(Relaxed),
                ..HistogramTotals::default()
            };
            for (to, from) in totals.buckets.iter_mut().zip(&metrics.durations) {
                *to = from.load(Relaxed);
            }
            (name, totals)
        };
        let all = self.resolvers.entries().into_iter().map(totals);
        all.filter(|(_, totals)| totals.count() > 0).collect()
    }

    fn resolve_samples(&self) -> Vec<FabricSample> {
        let mut samples = Vec::new();
        for (name, metrics) in self.resolvers.entries() {
            let outcomes = FabricResolve::ALL.iter();
            let asked =
                outcomes.map(|(outcome, text)| (*text, metrics.outcomes[*outcome as usize].load(Relaxed)));
            for (outcome, value) in asked.chain([("hit", metrics.hits())]) {
                samples.push((vec![("outcome", outcome.into()), ("resolver", name.clone())], value));
            }
        }
        samples
    }

    fn retry_samples(&self) -> Vec<FabricSample> {
        let mut samples = Vec::new();
        for (name, route) in self.routes.entries() {
            for (reason, text) in FabricRetry::ALL {
                let value = route.retries[reason as usize].load(Relaxed);
                samples.push((vec![("reason", text.into()), ("route", name.clone())], value));
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_look_ups_by_resolver_and_retries_by_route() {
        let metrics = Metrics::new(2);
        let (resolver, route) = (metrics.fabric("prod"), metrics.fabric_route("users"));
        resolver.count_hit(0);
        resolver.count_hit(1);
        metrics.fabric("prod").count(FabricResolve::Newer);
        resolver.observe(Duration::from_millis(3));
        resolver.set_up(true);
        route.count_retry(FabricRetry::NotFound);
        route.count_exhausted();
        let text = metrics.render();
        for line in [
            "margay_fabric_resolve_total{outcome=\"hit\",resolver=\"prod\"} 2",
            "margay_fabric_resolve_total{outcome=\"newer\",resolver=\"prod\"} 1",
            "margay_fabric_resolve_seconds_count{resolver=\"prod\"} 1",
            "margay_fabric_up{resolver=\"prod\"} 1",
            "margay_fabric_retries_total{reason=\"404\",route=\"users\"} 1",
            "margay_fabric_exhausted_total{route=\"users\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        drop((resolver, route));
        assert!(!metrics.render().contains("margay_fabric"), "nothing uses them any more");
    }
}
