//! The state of one watched service: written by its task, read by clusters and by requests that wait.

use crate::{backend::endpoint::Instance, telemetry::DiscoveryMetrics};
use std::{
    collections::HashSet,
    fmt::Debug,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};
use tokio::sync::{Notify, watch};

/// The maximum number of instances of one service; more are ignored.
const MAX_INSTANCES: usize = 10_000;

/// What receives the instances of a watched service: a cluster.
pub trait InstanceTarget: Send + Sync + Debug {
    /// Replaces the instances.
    fn set_instances(&self, instances: &[Instance]);
}

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// `None` until the registry responds for the first time.
    pub instances: Option<Arc<[Instance]>>,
    /// Refresh requests up to this number are done.
    pub refresh_count: u64,
    /// Why the watch fails at the moment.
    pub last_error: Option<Arc<str>>,
}

/// The part of a watched service that its task and its users share.
#[derive(Debug)]
pub(super) struct ServiceState {
    /// For the log.
    name: String,
    /// [`ServiceWatch`](super::ServiceWatch) holds a receiver: the task ends with the last one.
    pub snapshot: watch::Sender<Snapshot>,
    targets: Mutex<Vec<Weak<dyn InstanceTarget>>>,
    /// The number of refresh requests so far.
    refresh_requests: AtomicU64,
    refresh_notify: Notify,
    /// The registry is queried on request, because it does not report changes itself.
    is_on_demand: AtomicBool,
    /// The registry has responded.
    is_known: AtomicBool,
    ever_had_instances: AtomicBool,
    /// The number of the last refresh request that the query in progress serves.
    refresh_in_progress: AtomicU64,
    pub metrics: Arc<DiscoveryMetrics>,
}

impl ServiceState {
    /// A service that no query has found yet. `name` appears in the log.
    pub fn new(name: String, metrics: Arc<DiscoveryMetrics>) -> ServiceState {
        ServiceState {
            name,
            snapshot: watch::Sender::default(),
            targets: Mutex::default(),
            refresh_requests: AtomicU64::new(0),
            refresh_notify: Notify::new(),
            is_on_demand: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            ever_had_instances: AtomicBool::new(false),
            refresh_in_progress: AtomicU64::new(0),
            metrics,
        }
    }

    /// Sets the instances of the target now and after each change.
    pub fn attach(&self, target: &Arc<dyn InstanceTarget>) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|target| target.strong_count() > 0);
        targets.push(Arc::downgrade(target));
        if let Some(instances) = &self.snapshot.borrow().instances {
            target.set_instances(instances);
        }
    }

    /// Requests a refresh (on-demand providers only); returns its sequence number.
    pub fn request_refresh(&self) -> Option<u64> {
        self.is_on_demand.load(Relaxed).then(|| {
            let number = self.refresh_requests.fetch_add(1, Relaxed) + 1;
            self.refresh_notify.notify_one();
            number
        })
    }

    /// Whether the registry has responded. Called for each request: no lock.
    pub fn is_known(&self) -> bool {
        self.is_known.load(Acquire)
    }

    /// Whether the service has, or had, instances.
    pub fn ever_had_instances(&self) -> bool {
        self.ever_had_instances.load(Relaxed)
    }

    /// Updates the clusters first, then the waiting requests, so that a request finds the news in its cluster.
    fn apply(&self, new: Arc<[Instance]>) {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.snapshot.borrow().instances.as_deref() != Some(&*new);
        if !new.is_empty() {
            self.ever_had_instances.store(true, Relaxed);
        }
        if changed {
            targets.iter().filter_map(Weak::upgrade).for_each(|target| target.set_instances(&new));
        }
        let refreshed = self.refresh_in_progress.load(Relaxed);
        if self.snapshot.borrow().last_error.is_some() {
            log::info!("{}: the registry responds again", self.name);
        }
        // Before the waiting requests wake up: they check `is_known` next.
        self.is_known.store(true, Release);
        self.snapshot.send_modify(|snapshot| {
            if changed {
                snapshot.instances = Some(new);
            }
            snapshot.refresh_count = refreshed;
            snapshot.last_error = None;
        });
    }

    /// Records that the watch failed; the last instances stay in use.
    pub fn set_error(&self, error: &str) {
        self.metrics.record_error();
        let requested = self.refresh_requests.load(Relaxed);
        self.snapshot.send_modify(|snapshot| {
            snapshot.last_error = Some(error.into());
            snapshot.refresh_count = requested;
        });
    }
}

/// Where a provider publishes the instances of a service.
#[derive(Debug)]
pub struct InstanceSink(pub(super) Arc<ServiceState>);

impl InstanceSink {
    /// Replaces the instances; duplicates count once.
    pub fn publish(&self, mut instances: Vec<Instance>) {
        if instances.len() > MAX_INSTANCES {
            let (name, n) = (&self.0.name, instances.len());
            log::warn!("{name}: {n} instances exceed the maximum of {MAX_INSTANCES}; the rest is ignored");
            instances.truncate(MAX_INSTANCES);
        }
        let mut seen = HashSet::with_capacity(instances.len());
        let keep: Vec<bool> = instances.iter().map(|i| seen.insert((i.host.as_str(), i.port))).collect();
        let mut keep = keep.into_iter();
        instances.retain(|_| keep.next().unwrap_or(false));
        self.0.metrics.record_update(instances.len());
        self.0.apply(instances.into());
    }

    /// Records that the registry responded without a change.
    pub fn confirm(&self) {
        let instances = self.0.snapshot.borrow().instances.clone();
        if let Some(instances) = instances {
            self.0.metrics.record_update(instances.len());
            self.0.apply(instances);
        }
    }

    /// Sets whether each request causes a query; initially false.
    pub fn set_on_demand(&self, is_on_demand: bool) {
        self.0.is_on_demand.store(is_on_demand, Relaxed);
    }

    /// Starts a query: it serves all refresh requests made so far, once its result is published.
    pub fn begin_refresh(&self) {
        self.0.refresh_in_progress.store(self.0.refresh_requests.load(Relaxed), Relaxed);
    }

    /// Waits for a refresh request that is not served yet.
    pub async fn refresh_requested(&self) {
        loop {
            if self.0.refresh_requests.load(Relaxed) > self.0.snapshot.borrow().refresh_count {
                return;
            }
            self.0.refresh_notify.notified().await;
        }
    }
}

#[cfg(test)]
impl InstanceSink {
    /// A sink without clusters, for tests of providers.
    pub fn detached() -> InstanceSink {
        InstanceSink(Arc::new(ServiceState::new(
            String::new(),
            crate::telemetry::Metrics::new(1).discovery("test", None),
        )))
    }

    /// The instances published last.
    pub fn last_published(&self) -> Option<Arc<[Instance]>> {
        self.0.snapshot.borrow().instances.clone()
    }
}
