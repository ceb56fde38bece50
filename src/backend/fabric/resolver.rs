//! A resolver: what turns the name and the key of a request into a partition with its replicas.

use super::{
    cluster::{Cluster, ClusterSettings},
    error::ResolveError,
    name::{NameFilter, is_name, name_segments},
    partition::PartitionKey,
    registry::{Registry, RegistryDocument},
    service::{Partition, PartitionMatch, Service, process_ms},
    transport::{TransportConfig, Transports},
};
use crate::{
    base::weak_map::WeakMap,
    net::{background::BackgroundRuntime, resolver as names},
    telemetry::{FabricMetrics, FabricResolve, Metrics},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How many names one request may ask a cluster for.
const MAX_ASKED_NAMES: usize = 4;
/// The shortest name that is looked up: a service is below an application.
const MIN_ASKED_SEGMENTS: usize = 2;

/// Where a resolver finds services, as configured.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    Registry { file: PathBuf, document: Arc<RegistryDocument> },
    Cluster(ClusterSettings),
}

/// A resolver as configured.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    pub name: Arc<str>,
    pub source: SourceConfig,
    /// How long a request for something newer is held.
    pub wait_for_newer: Duration,
    /// Whether the naming interface may change the registry.
    pub is_writable: bool,
    /// The host of an address → the host to connect to.
    pub host_map: BTreeMap<Box<str>, Box<str>>,
    /// Whether addresses of this machine are refused, and those of its link.
    pub refuses_loopback: bool,
    pub refuses_link_local: bool,
}

/// Where a resolver finds services.
#[derive(Clone, Debug)]
pub enum ResolverSource {
    Registry(Arc<Registry>),
    Cluster(Arc<Cluster>),
}

/// A resolver.
#[derive(Debug)]
pub struct Resolver {
    pub config: ResolverConfig,
    pub source: ResolverSource,
    pub metrics: Arc<FabricMetrics>,
}

/// The resolvers of a process; what they know outlives plans.
#[derive(Debug, Default)]
pub struct Resolvers {
    /// By the name of the resolver and its file.
    registries: WeakMap<(Arc<str>, PathBuf), Registry>,
    clusters: WeakMap<(Arc<str>, ClusterSettings), Cluster>,
    transports: WeakMap<TransportConfig, Transports>,
}

impl Resolvers {
    /// The resolver of a plan, with the state of earlier plans.
    pub fn open(
        &self,
        config: &ResolverConfig,
        background: &BackgroundRuntime,
        metrics: &Metrics,
    ) -> Arc<Resolver> {
        let metrics = metrics.fabric(&config.name);
        let source = match &config.source {
            SourceConfig::Registry { file, document } => {
                let key = (config.name.clone(), file.clone());
                let registry = self.registries.get_or_insert_with(key, || Registry::new(background.clone()));
                registry.apply(document);
                metrics.set_up(true);
                metrics.set_services(document.services().count());
                metrics.set_partitions(registry.partition_count());
                ResolverSource::Registry(registry)
            }
            SourceConfig::Cluster(settings) => {
                let key = (config.name.clone(), settings.clone());
                let new = || Cluster::new(settings.clone(), background.clone(), metrics.clone());
                let cluster = self.clusters.get_or_insert_with(key, new);
                cluster.start();
                ResolverSource::Cluster(cluster)
            }
        };
        Arc::new(Resolver { config: config.clone(), source, metrics })
    }

    /// The connections of routes with equal settings.
    pub fn transports(&self, config: &TransportConfig, names: &names::Resolver) -> Arc<Transports> {
        self.transports.get_or_insert_with(config.clone(), || Transports::new(config.clone(), names.clone()))
    }
}

/// The service of a request.
#[derive(Clone, Debug)]
pub struct ServiceMatch {
    pub service: Arc<Service>,
    /// The number of segments of the path that the name took.
    pub segments: usize,
}

/// The name of a service, or the path that begins with it.
#[derive(Clone, Copy, Debug)]
pub enum ServiceQuery<'q> {
    Path(&'q [u8]),
    Name(&'q str),
}

impl Resolver {
    /// The service, if it is known. Without a filter every service is visible.
    pub fn find(&self, query: ServiceQuery, filter: Option<&NameFilter>) -> Option<ServiceMatch> {
        let is_visible = |service: &Arc<Service>| filter.is_none_or(|filter| filter.allows(&service.name));
        let (service, segments) = match (&self.source, query) {
            (ResolverSource::Registry(registry), ServiceQuery::Path(path)) => {
                let names = registry.names();
                let found = names.find(path, is_visible)?;
                (found.value.clone(), found.segments)
            }
            (ResolverSource::Registry(registry), ServiceQuery::Name(name)) => {
                (registry.names().get(name).filter(|service| is_visible(service))?.clone(), 0)
            }
            (ResolverSource::Cluster(cluster), ServiceQuery::Path(path)) => cluster.find(path, is_visible)?,
            (ResolverSource::Cluster(cluster), ServiceQuery::Name(name)) => {
                (cluster.get(name).filter(is_visible)?, 0)
            }
        };
        Some(ServiceMatch { service, segments })
    }

    /// Asks the cluster for a service that is not known: the longest name first.
    pub async fn ask_service(
        &self,
        query: ServiceQuery<'_>,
        filter: Option<&NameFilter>,
        key: &PartitionKey,
    ) -> Result<ServiceMatch, ResolveError> {
        let ResolverSource::Cluster(cluster) = &self.source else { return Err(ResolveError::ServiceMissing) };
        cluster.wait_loaded().await;
        if let Some(found) = self.find(query, filter) {
            return Ok(found);
        }
        let is_visible = |name: &str| is_name(name) && filter.is_none_or(|filter| filter.allows(name));
        for (name, segments) in asked_names(query).into_iter().filter(|(name, _)| is_visible(name)) {
            match cluster.ask_service(&name, key).await {
                Ok(service) => return Ok(ServiceMatch { service, segments }),
                Err(ResolveError::ServiceMissing) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ResolveError::ServiceMissing)
    }

    /// The partition of a key, if it is known. One that is too old to be used is not.
    pub fn partition(&self, service: &Arc<Service>, key: &PartitionKey, now: Instant) -> PartitionMatch {
        let found = service.partitions.load().find(key);
        let (ResolverSource::Cluster(cluster), PartitionMatch::Known(partition)) = (&self.source, &found)
        else {
            return found;
        };
        partition.touch(process_ms(now));
        match cluster.check_age(service, partition, now) {
            true => found,
            false => PartitionMatch::Unknown,
        }
    }

    /// Asks the cluster for the partition of a key.
    pub async fn ask_partition(
        &self,
        service: &Arc<Service>,
        key: &PartitionKey,
    ) -> Result<Arc<Partition>, ResolveError> {
        match &self.source {
            ResolverSource::Registry(_) => Err(ResolveError::BadKey),
            ResolverSource::Cluster(cluster) => cluster.ask_partition(service, key).await,
        }
    }

    /// Begins a look-up for something newer than the version that was used; it ends in the background.
    pub fn begin_newer(&self, service: &Arc<Service>, partition: &Arc<Partition>, used: u64) {
        if let ResolverSource::Cluster(cluster) = &self.source
            && partition.version() <= used
        {
            drop(cluster.begin_refresh(service, partition, true));
        }
    }

    /// Waits for something newer than the version that was used, as long as the resolver holds such a request. What is
    /// known may be the same afterwards.
    pub async fn wait_newer(
        &self,
        service: &Arc<Service>,
        partition: &Arc<Partition>,
        used: u64,
    ) -> Result<(), ResolveError> {
        if partition.version() > used {
            return Ok(());
        }
        match &self.source {
            ResolverSource::Registry(_) => {
                let changed = self.wait_changed(partition, used);
                let is_newer = tokio::time::timeout(self.config.wait_for_newer, changed).await.is_ok();
                self.metrics.count(if is_newer { FabricResolve::Newer } else { FabricResolve::Same });
                Ok(())
            }
            ResolverSource::Cluster(cluster) => match cluster.begin_refresh(service, partition, true) {
                None => Ok(()),
                Some(wait) => match wait.result().await {
                    // What is known is used.
                    Err(ResolveError::Unreachable) => Ok(()),
                    result => result,
                },
            },
        }
    }

    /// Waits until the partition is newer than the version that was used.
    pub async fn wait_changed(&self, partition: &Arc<Partition>, used: u64) {
        let mut changes = self.changes();
        while partition.version() <= used {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether it is known which services there are, or that they cannot be read.
    pub fn is_loaded(&self) -> bool {
        match &self.source {
            ResolverSource::Registry(_) => true,
            ResolverSource::Cluster(cluster) => cluster.is_loaded(),
        }
    }

    /// All known services, by name.
    pub fn services(&self) -> Vec<Arc<Service>> {
        let mut services: Vec<Arc<Service>> = match &self.source {
            ResolverSource::Registry(registry) => registry.names().values().cloned().collect(),
            ResolverSource::Cluster(cluster) => cluster.services(),
        };
        services.sort_by(|one, other| one.name.cmp(&other.name));
        services
    }

    fn changes(&self) -> watch::Receiver<u64> {
        match &self.source {
            ResolverSource::Registry(registry) => registry.changes(),
            ResolverSource::Cluster(cluster) => cluster.changes(),
        }
    }
}

/// The names that are looked up in a cluster, the longest first, with their numbers of segments.
fn asked_names(query: ServiceQuery) -> Vec<(String, usize)> {
    match query {
        ServiceQuery::Name(name) => vec![(name.to_owned(), 0)],
        ServiceQuery::Path(path) => {
            let longest = MIN_ASKED_SEGMENTS + MAX_ASKED_NAMES - 1;
            let segments: Vec<_> = name_segments(path).take(longest).collect();
            let counts = (MIN_ASKED_SEGMENTS..=segments.len()).rev();
            counts.map(|count| (segments[..count].join("/"), count)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_asked_for_at_most_four_names_the_longest_first() {
        let names = |path: &str| -> Vec<String> {
            asked_names(ServiceQuery::Path(path.as_bytes())).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names("/a/b/c/d/e/f"), ["a/b/c/d/e", "a/b/c/d", "a/b/c", "a/b"]);
        assert_eq!(names("/a/b$"), Vec::<String>::new());
        assert_eq!(names("/a/b/$c"), ["a/b"]);
        assert!(names("/a").is_empty() && names("/").is_empty());
    }
}
