//! What is known of one service: written by the task that follows it, read by clusters and by requests that wait.

use crate::{
    backend::{Cluster, endpoint::Instance},
    telemetry::DiscoveryMetrics,
};
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use tokio::sync::{Notify, watch};

/// Instances of one service beyond which the rest is left out.
const MAX_INSTANCES: usize = 10_000;

/// What is known at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// None: the registry has not answered yet.
    pub instances: Option<Arc<[Instance]>>,
    /// Wishes for a fresh look up to this one are fulfilled.
    pub refresh_count: u64,
    /// Why the registry cannot be followed just now.
    pub last_error: Option<Arc<str>>,
}

/// The shared part of a source.
#[derive(Debug)]
pub(super) struct ServiceState {
    /// For the log.
    name: String,
    /// The source itself holds a receiver: when the last is gone nobody follows any more.
    pub standing: watch::Sender<Snapshot>,
    clusters: Mutex<Vec<Weak<Cluster>>>,
    /// Wishes for a fresh look so far.
    refresh_requests: AtomicU64,
    refresh_notify: Notify,
    /// The registry is looked at when a request wants it, instead of telling of changes by itself.
    set_on_demand: AtomicBool,
    /// The registry has answered.
    known: AtomicBool,
    /// There was an instance, once.
    ever_had_instances: AtomicBool,
    /// The wishes that the look under way will fulfil.
    refresh_in_progress: AtomicU64,
    pub metrics: Arc<DiscoveryMetrics>,
}

impl ServiceState {
    pub fn new(name: String, metrics: Arc<DiscoveryMetrics>) -> ServiceState {
        ServiceState {
            name,
            standing: watch::Sender::default(),
            clusters: Mutex::default(),
            refresh_requests: AtomicU64::new(0),
            refresh_notify: Notify::new(),
            set_on_demand: AtomicBool::new(false),
            known: AtomicBool::new(false),
            ever_had_instances: AtomicBool::new(false),
            refresh_in_progress: AtomicU64::new(0),
            metrics,
        }
    }

    /// From now on the cluster has the instances of this service.
    pub fn attach_cluster(&self, cluster: &Arc<Cluster>) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|one| one.strong_count() > 0);
        clusters.push(Arc::downgrade(cluster));
        if let Some(instances) = &self.standing.borrow().instances {
            cluster.set(instances);
        }
    }

    /// Wishes for a fresh look, where looks are made on request; gives the number of the wish.
    pub fn request_refresh(&self) -> Option<u64> {
        self.set_on_demand.load(Relaxed).then(|| {
            let wish = self.refresh_requests.fetch_add(1, Relaxed) + 1;
            self.refresh_notify.notify_one();
            wish
        })
    }

    /// Asked with every request: no lock.
    pub fn is_known(&self) -> bool {
        self.known.load(Acquire)
    }

    pub fn ever_had_instances(&self) -> bool {
        self.ever_had_instances.load(Relaxed)
    }

    /// The clusters first, then those who wait: whoever sees the news finds it in the clusters too.
    fn apply(&self, new: Arc<[Instance]>) {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.standing.borrow().instances.as_deref() != Some(&*new);
        if !new.is_empty() {
            self.ever_had_instances.store(true, Relaxed);
        }
        if changed {
            clusters.iter().filter_map(Weak::upgrade).for_each(|cluster| cluster.set(&new));
        }
        let looked = self.refresh_in_progress.load(Relaxed);
        if self.standing.borrow().last_error.is_some() {
            log::info!("{}: heard again", self.name);
        }
        // Before anybody is woken: who waits asks next whether it is known.
        self.known.store(true, Release);
        self.standing.send_modify(|standing| {
            if changed {
                standing.instances = Some(new);
            }
            standing.refresh_count = looked;
            standing.last_error = None;
        });
    }

    /// The registry cannot be followed; what is known stays.
    pub fn last_error(&self, why: &str) {
        self.metrics.record_error();
        let wishes = self.refresh_requests.load(Relaxed);
        self.standing.send_modify(|standing| {
            standing.last_error = Some(why.into());
            standing.refresh_count = wishes;
        });
    }
}

/// Whom a provider tells where the instances are.
#[derive(Debug)]
pub struct InstanceSink(pub(super) Arc<ServiceState>);

impl InstanceSink {
    /// These are all the instances that there are now; those given twice count once.
    pub fn publish(&self, mut instances: Vec<Instance>) {
        if instances.len() > MAX_INSTANCES {
            let (name, n) = (&self.0.name, instances.len());
            log::warn!("{name}: {n} instances are too many; {MAX_INSTANCES} of them are used");
            instances.truncate(MAX_INSTANCES);
        }
        let mut seen = std::collections::HashSet::with_capacity(instances.len());
        let keep: Vec<bool> = instances.iter().map(|i| seen.insert((i.host.as_str(), i.port))).collect();
        let mut keep = keep.into_iter();
        instances.retain(|_| keep.next().unwrap_or(false));
        self.0.metrics.record_update(instances.len());
        self.0.apply(instances.into());
    }

    /// The registry was heard, and nothing is new.
    pub fn confirm(&self) {
        let instances = self.0.standing.borrow().instances.clone();
        if let Some(instances) = instances {
            self.0.metrics.record_update(instances.len());
            self.0.apply(instances);
        }
    }

    /// Whether the registry is asked whenever a request wants to know; it begins with no.
    pub fn set_on_demand(&self, yes: bool) {
        self.0.set_on_demand.store(yes, Relaxed);
    }

    /// A look at the registry begins: it fulfils the wishes made until now, once it is told.
    pub fn begin_refresh(&self) {
        self.0.refresh_in_progress.store(self.0.refresh_requests.load(Relaxed), Relaxed);
    }

    /// Until a request wants a fresh look.
    pub async fn refresh_requested(&self) {
        loop {
            if self.0.refresh_requests.load(Relaxed) > self.0.standing.borrow().refresh_count {
                return;
            }
            self.0.refresh_notify.notified().await;
        }
    }
}

#[cfg(test)]
impl InstanceSink {
    /// For tests of providers: nobody listens.
    pub fn detached() -> InstanceSink {
        InstanceSink(Arc::new(ServiceState::new(
            String::new(),
            crate::telemetry::Metrics::new(1).discovery("test", None),
        )))
    }

    /// What was told last.
    pub fn last_published(&self) -> Option<Arc<[Instance]>> {
        self.0.standing.borrow().instances.clone()
    }
}
