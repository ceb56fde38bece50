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
const MOST_INSTANCES: usize = 10_000;

/// What is known at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// None: the registry has not answered yet.
    pub instances: Option<Arc<[Instance]>>,
    /// Wishes for a fresh look up to this one are fulfilled.
    pub looked: u64,
    /// Why the registry cannot be followed just now.
    pub trouble: Option<Arc<str>>,
}

/// The shared part of a source.
#[derive(Debug)]
pub(super) struct Board {
    /// For the log.
    name: String,
    /// The source itself holds a receiver: when the last is gone nobody follows any more.
    pub standing: watch::Sender<Standing>,
    clusters: Mutex<Vec<Weak<Cluster>>>,
    /// Wishes for a fresh look so far.
    wishes: AtomicU64,
    bell: Notify,
    /// The registry is looked at when a request wants it, instead of telling of changes by itself.
    on_request: AtomicBool,
    /// The registry has answered.
    known: AtomicBool,
    /// There was an instance, once.
    met: AtomicBool,
    /// The wishes that the look under way will fulfil.
    under_way: AtomicU64,
    pub metrics: Arc<DiscoveryMetrics>,
}

impl Board {
    pub fn new(name: String, metrics: Arc<DiscoveryMetrics>) -> Board {
        Board {
            name,
            standing: watch::Sender::default(),
            clusters: Mutex::default(),
            wishes: AtomicU64::new(0),
            bell: Notify::new(),
            on_request: AtomicBool::new(false),
            known: AtomicBool::new(false),
            met: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
            metrics,
        }
    }

    /// From now on the cluster has the instances of this service.
    pub fn feed(&self, cluster: &Arc<Cluster>) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|one| one.strong_count() > 0);
        clusters.push(Arc::downgrade(cluster));
        if let Some(instances) = &self.standing.borrow().instances {
            cluster.set(instances);
        }
    }

    /// Wishes for a fresh look, where looks are made on request; gives the number of the wish.
    pub fn wish(&self) -> Option<u64> {
        self.on_request.load(Relaxed).then(|| {
            let wish = self.wishes.fetch_add(1, Relaxed) + 1;
            self.bell.notify_one();
            wish
        })
    }

    /// Asked with every request: no lock.
    pub fn is_known(&self) -> bool {
        self.known.load(Acquire)
    }

    pub fn has_been_met(&self) -> bool {
        self.met.load(Relaxed)
    }

    /// The clusters first, then those who wait: whoever sees the news finds it in the clusters too.
    fn spread(&self, new: Arc<[Instance]>) {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.standing.borrow().instances.as_deref() != Some(&*new);
        if !new.is_empty() {
            self.met.store(true, Relaxed);
        }
        if changed {
            clusters.iter().filter_map(Weak::upgrade).for_each(|cluster| cluster.set(&new));
        }
        let looked = self.under_way.load(Relaxed);
        if self.standing.borrow().trouble.is_some() {
            log::info!("{}: heard again", self.name);
        }
        // Before anybody is woken: who waits asks next whether it is known.
        self.known.store(true, Release);
        self.standing.send_modify(|standing| {
            if changed {
                standing.instances = Some(new);
            }
            standing.looked = looked;
            standing.trouble = None;
        });
    }

    /// The registry cannot be followed; what is known stays.
    pub fn trouble(&self, why: &str) {
        self.metrics.failed();
        let wishes = self.wishes.load(Relaxed);
        self.standing.send_modify(|standing| {
            standing.trouble = Some(why.into());
            standing.looked = wishes;
        });
    }
}

/// Whom a provider tells where the instances are.
#[derive(Debug)]
pub struct Told(pub(super) Arc<Board>);

impl Told {
    /// These are all the instances that there are now; those given twice count once.
    pub fn tell(&self, mut instances: Vec<Instance>) {
        if instances.len() > MOST_INSTANCES {
            let (name, n) = (&self.0.name, instances.len());
            log::warn!("{name}: {n} instances are too many; {MOST_INSTANCES} of them are used");
            instances.truncate(MOST_INSTANCES);
        }
        let mut seen = std::collections::HashSet::with_capacity(instances.len());
        let keep: Vec<bool> = instances.iter().map(|i| seen.insert((i.host.as_str(), i.port))).collect();
        let mut keep = keep.into_iter();
        instances.retain(|_| keep.next().unwrap_or(false));
        self.0.metrics.told(instances.len());
        self.0.spread(instances.into());
    }

    /// The registry was heard, and nothing is new.
    pub fn heard(&self) {
        let instances = self.0.standing.borrow().instances.clone();
        if let Some(instances) = instances {
            self.0.metrics.told(instances.len());
            self.0.spread(instances);
        }
    }

    /// Whether the registry is asked whenever a request wants to know; it begins with no.
    pub fn on_request(&self, yes: bool) {
        self.0.on_request.store(yes, Relaxed);
    }

    /// A look at the registry begins: it fulfils the wishes made until now, once it is told.
    pub fn look(&self) {
        self.0.under_way.store(self.0.wishes.load(Relaxed), Relaxed);
    }

    /// Until a request wants a fresh look.
    pub async fn wished(&self) {
        loop {
            if self.0.wishes.load(Relaxed) > self.0.standing.borrow().looked {
                return;
            }
            self.0.bell.notified().await;
        }
    }
}

#[cfg(test)]
impl Told {
    /// For tests of providers: nobody listens.
    pub fn nobody() -> Told {
        Told(Arc::new(Board::new(String::new(), crate::telemetry::Metrics::new(1).discovery("test", None))))
    }

    /// What was told last.
    pub fn last(&self) -> Option<Arc<[Instance]>> {
        self.0.standing.borrow().instances.clone()
    }
}
