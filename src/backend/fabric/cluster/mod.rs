//! A cluster: its naming interface as the resolver of names and keys, with what is known about it.
//!
//! Entry points: [`Cluster::find`], [`Cluster::ask_service`], [`Cluster::ask_partition`] and [`Cluster::begin_refresh`]. Callers:
//! `resolver` for requests, `control` for the list of what is known. Look-ups run in the background and outlive the
//! requests that cause them; what is known outlives a reload as long as a plan has a resolver with equal settings.

pub mod answers;
mod gateway;
mod names;
mod partitions;

pub use gateway::ClusterSettings;

use super::{
    error::ResolveError,
    partition::PartitionKey,
    service::{Partition, PartitionMatch, PartitionTable, Service, process_ms},
    single_flight::{Flight, FlightWait, SingleFlight},
};
use crate::{
    base::{percent::percent_encoded, weak_map::WeakMap},
    net::background::BackgroundRuntime,
    telemetry::{FabricMetrics, FabricResolve},
};
use answers::{ResolvedPartition, parse_resolved};
use gateway::ClusterGateway;
use names::{ClusterNames, list_services};
use partitions::{apply_resolved, remove_unused};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};

/// How many look-ups are under way at the same time.
const MAX_LOOKUPS: usize = 256;
/// The minimum time between two look-ups for something newer of one partition.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(100);
/// How often unused partitions are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A cluster and what is known about it.
#[derive(Debug)]
pub struct Cluster {
    settings: ClusterSettings,
    gateway: ClusterGateway,
    names: ClusterNames,
    /// Look-ups of names and keys that are not known, by service and key.
    asking: WeakMap<(Box<str>, PartitionKey), SingleFlight>,
    lookups: Semaphore,
    changes: watch::Sender<u64>,
    /// Whether the names were read, or reading them failed.
    is_loaded: watch::Sender<bool>,
    is_started: AtomicBool,
    background: BackgroundRuntime,
    metrics: Arc<FabricMetrics>,
}

impl Cluster {
    /// A cluster about which nothing is known.
    pub fn new(
        settings: ClusterSettings,
        background: BackgroundRuntime,
        metrics: Arc<FabricMetrics>,
    ) -> Cluster {
        Cluster {
            gateway: ClusterGateway::new(settings.clone()),
            settings,
            names: ClusterNames::default(),
            asking: WeakMap::default(),
            lookups: Semaphore::new(MAX_LOOKUPS),
            changes: watch::Sender::new(0),
            is_loaded: watch::Sender::new(false),
            is_started: AtomicBool::new(false),
            background,
            metrics,
        }
    }

    /// Reads the names in the background from now on.
    pub fn start(self: &Arc<Self>) {
        if !self.is_started.swap(true, Relaxed) {
            self.background.spawn(refresh_task(Arc::downgrade(self)));
        }
    }

    /// The service that a path names, and the number of segments that the name took.
    pub fn find(
        &self,
        path: &[u8],
        is_visible: impl Fn(&Arc<Service>) -> bool,
    ) -> Option<(Arc<Service>, usize)> {
        self.names.find(path, is_visible)
    }

    /// The service of exactly this name.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        self.names.get(name)
    }

    /// All known services.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.names.all()
    }

    /// Whether the cluster responded to the last request.
    pub fn is_up(&self) -> bool {
        self.gateway.is_up()
    }

    /// Whether the names have been read, or could not be read.
    pub fn is_loaded(&self) -> bool {
        *self.is_loaded.borrow()
    }

    /// The counter of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until the names have been read for the first time.
    pub async fn wait_loaded(&self) {
        let _ = self.is_loaded.subscribe().wait_for(|is_loaded| *is_loaded).await;
    }

    /// Asks for a service that is not known, with the key of the request.
    pub async fn ask_service(
        self: &Arc<Self>,
        name: &str,
        key: &PartitionKey,
    ) -> Result<Arc<Service>, ResolveError> {
        if let Some(known) = self.names.get(name) {
            return Ok(known);
        }
        if self.names.is_missing(name, Instant::now()) {
            return Err(ResolveError::ServiceMissing);
        }
        self.ask(name, key).await?;
        self.names.get(name).ok_or(ResolveError::ServiceMissing)
    }

    /// Asks for the partition of a key that is not known.
    pub async fn ask_partition(
        self: &Arc<Self>,
        service: &Arc<Service>,
        key: &PartitionKey,
    ) -> Result<Arc<Partition>, ResolveError> {
        self.ask(&service.name, key).await?;
        match service.partitions.load().find(key) {
            PartitionMatch::Known(partition) => Ok(partition),
            PartitionMatch::BadKey => Err(ResolveError::BadKey),
            // The response was about another key.
            PartitionMatch::Unknown => Err(ResolveError::PartitionMissing),
        }
    }

    /// One look-up for all requests with this name and key.
    async fn ask(self: &Arc<Self>, name: &str, key: &PartitionKey) -> Result<(), ResolveError> {
        let flight = self.asking.get_or_insert_with((name.into(), key.clone()), SingleFlight::default);
        let wait = match flight.join(Instant::now(), Duration::ZERO) {
            Flight::Start(guard, wait) => {
                let (cluster, name, key, flight) =
                    (self.clone(), Box::from(name), key.clone(), flight.clone());
                self.background.spawn(async move {
                    let result = cluster.look_up(&name, &key, None, FabricResolve::Asked).await;
                    flight.end(Instant::now());
                    guard.complete(result);
                });
                wait
            }
            Flight::Join(wait) => wait,
            Flight::Recent => return Ok(()),
        };
        wait.result().await
    }

    /// A partition in use that is older than `MaxAge` is looked up again, in the background. Whether it may still be used.
    pub fn check_age(
        self: &Arc<Self>,
        service: &Arc<Service>,
        partition: &Arc<Partition>,
        now: Instant,
    ) -> bool {
        let age = now.saturating_duration_since(partition.snapshot().confirmed_at);
        if age < self.settings.max_age {
            return true;
        }
        drop(self.begin_refresh(service, partition, false));
        age < self.settings.max_age + self.settings.stale_if_error
    }

    /// Begins a look-up for something newer than what is known, unless one runs or ended a moment ago.
    pub fn begin_refresh(
        self: &Arc<Self>,
        service: &Arc<Service>,
        partition: &Arc<Partition>,
        is_stale: bool,
    ) -> Option<FlightWait> {
        match partition.refresh.join(Instant::now(), MIN_REFRESH_INTERVAL) {
            Flight::Join(wait) => Some(wait),
            Flight::Recent => None,
            Flight::Start(guard, wait) => {
                let (cluster, service, partition) = (self.clone(), service.clone(), partition.clone());
                self.background.spawn(async move {
                    let result = cluster.look_up_newer(&service, &partition, is_stale).await;
                    partition.refresh.end(Instant::now());
                    guard.complete(result);
                });
                Some(wait)
            }
        }
    }

    async fn look_up_newer(
        &self,
        service: &Arc<Service>,
        partition: &Arc<Partition>,
        is_stale: bool,
    ) -> Result<(), ResolveError> {
        let key = match &partition.info {
            super::partition::PartitionInfo::Singleton => PartitionKey::None,
            super::partition::PartitionInfo::Int64Range(range) => PartitionKey::Int64(range.low),
            super::partition::PartitionInfo::Named(name) => PartitionKey::Named(name.clone()),
        };
        let before = partition.snapshot();
        let previous = is_stale.then_some(&*before.token);
        let result = self.look_up(&service.name, &key, previous, FabricResolve::Newer).await;
        if let Err(ResolveError::PartitionMissing) = result {
            service.partitions.store(Arc::new(PartitionTable::default()));
        }
        if let Err(ResolveError::Unreachable) = result {
            self.metrics.count_stale();
        }
        result
    }

    /// One request to the cluster, and what it changes.
    async fn look_up(
        &self,
        name: &str,
        key: &PartitionKey,
        previous: Option<&str>,
        kind: FabricResolve,
    ) -> Result<(), ResolveError> {
        let _permit = self.lookups.acquire().await.map_err(|_| ResolveError::Unreachable)?;
        let started_at = Instant::now();
        let result = self.resolve(name, key, previous).await;
        self.metrics.observe(started_at.elapsed());
        match result {
            Ok(resolved) => {
                let service = self.names.get(name).unwrap_or_else(|| self.names.add_asked(name));
                let is_changed = apply_resolved(&service, resolved);
                let is_newer = kind == FabricResolve::Newer && !is_changed;
                self.metrics.count(if is_newer { FabricResolve::Same } else { kind });
                if is_changed {
                    self.changes.send_modify(|changes| *changes += 1);
                }
                Ok(())
            }
            Err(ResolveError::ServiceMissing) => {
                self.names.set_missing(name, Instant::now());
                self.metrics.count(FabricResolve::Missing);
                Err(ResolveError::ServiceMissing)
            }
            Err(error) => {
                self.metrics.count(FabricResolve::Failed);
                Err(error)
            }
        }
    }

    async fn resolve(
        &self,
        name: &str,
        key: &PartitionKey,
        previous: Option<&str>,
    ) -> Result<ResolvedPartition, ResolveError> {
        let id = name.split('/').map(percent_encoded).collect::<Vec<_>>().join("~");
        let mut path = format!("Services/{id}/$/ResolvePartition?");
        match key {
            PartitionKey::None => path += "PartitionKeyType=1&",
            PartitionKey::Int64(key) => path += &format!("PartitionKeyType=2&PartitionKeyValue={key}&"),
            PartitionKey::Named(key) => {
                path += &format!("PartitionKeyType=3&PartitionKeyValue={}&", percent_encoded(key));
            }
        }
        if let Some(previous) = previous.filter(|previous| !previous.is_empty()) {
            path += &format!("PreviousRspVersion={}&", percent_encoded(previous));
        }
        path += &format!("timeout={}&", self.settings.resolve_timeout.as_secs().max(1));
        let body = self.gateway.get(&path).await?;
        parse_resolved(&body).map_err(|error| {
            log::warn!("the partition of {name} cannot be read from the response of the cluster: {error}");
            ResolveError::Unreachable
        })
    }

    /// Reads the names of all services.
    async fn refresh_names(&self) {
        match list_services(&self.gateway).await {
            Ok(services) => self.names.replace(&services),
            Err(error) => log::debug!("the services of the cluster cannot be listed: {error:?}"),
        }
        self.metrics.set_up(self.gateway.is_up());
        self.metrics.set_services(self.names.len());
        self.is_loaded.send_replace(true);
    }

    fn sweep(&self) {
        let kept = remove_unused(&self.names.all(), process_ms(Instant::now()));
        self.metrics.set_partitions(kept);
    }
}

/// Reads the names at an interval as long as the cluster is in use.
async fn refresh_task(cluster: Weak<Cluster>) {
    let mut swept_at = Instant::now();
    loop {
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.refresh_names().await;
        if swept_at.elapsed() >= SWEEP_INTERVAL {
            swept_at = Instant::now();
            cluster.sweep();
        }
        let interval = cluster.settings.refresh_interval;
        drop(cluster);
        tokio::time::sleep(interval).await;
    }
}
