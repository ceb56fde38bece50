//! A service that is followed: the task that asks its registry, and the clusters that it feeds.

use super::{
    InstanceSink, Provider, Service,
    service_state::{ServiceState, Snapshot},
};
use crate::{
    backend::{Cluster, endpoint::Instance},
    net::background::BackgroundRuntime,
    telemetry::DiscoveryMetrics,
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How soon a registry in trouble is asked again, at first and at last.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long a request waits for a fresh look where there was one before.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);
/// So long after the start requests wait for the first answer of a registry instead of being refused.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A service that is followed for as long as somebody holds this.
#[derive(Debug)]
pub struct ServiceWatch {
    pub service: Service,
    provider: Arc<dyn Provider>,
    board: Arc<ServiceState>,
    background: BackgroundRuntime,
    started: AtomicBool,
    created_at: Instant,
    /// A request named it, not the configuration.
    is_from_request: bool,
    /// The task ends when this is gone.
    keep_alive: watch::Receiver<Snapshot>,
}

impl ServiceWatch {
    pub(super) fn new(
        provider: Arc<dyn Provider>,
        service: Service,
        metrics: Arc<DiscoveryMetrics>,
        background: BackgroundRuntime,
        is_unnamed: bool,
    ) -> ServiceWatch {
        let board = Arc::new(ServiceState::new(format!("{}: {}", provider.label(), service.name), metrics));
        let held = board.standing.subscribe();
        let started = AtomicBool::new(false);
        let source = ServiceWatch {
            service,
            provider,
            board,
            background,
            started,
            created_at: Instant::now(),
            is_from_request: is_unnamed,
            keep_alive: held,
        };
        if !source.provider.is_on_demand() {
            source.start();
        }
        source
    }

    /// From now on the cluster has the instances of this service, and holds the source.
    pub fn feed(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        if cluster.source.set(self.clone()).is_ok() {
            self.board.attach_cluster(cluster);
        }
    }

    /// Whether there is nothing to wait for at a start: it has answered, or is not asked before a request comes.
    pub fn has_answered(&self) -> bool {
        !self.started.load(Relaxed) || self.is_known()
    }

    /// Whether the registry has ever answered.
    pub fn is_known(&self) -> bool {
        self.board.is_known()
    }

    /// Waits until the registry has answered for the first time, or answers afresh where it is asked by requests; not
    /// while it is known to be in trouble, and never longer than until then.
    pub async fn wait_ready(&self, until: Instant) {
        self.start();
        let until = until.min(self.wait_deadline());
        let wish = self.board.request_refresh();
        if wish.is_none() && self.is_known() {
            return;
        }
        let wish = wish.unwrap_or(0);
        let mut held = self.keep_alive.clone();
        let told =
            held.wait_for(|s| s.last_error.is_some() || s.instances.is_some() && s.refresh_count >= wish);
        let _ = tokio::time::timeout_at(until.into(), told).await;
    }

    /// Until when a request that comes now waits: not long where something is known already.
    fn wait_deadline(&self) -> Instant {
        match (self.is_known(), self.is_from_request || self.provider.is_on_demand()) {
            (true, _) => Instant::now() + REFRESH_TIMEOUT,
            (false, true) => Instant::now() + MAX_BACKOFF,
            (false, false) => self.created_at + FIRST_ANSWER_TIMEOUT,
        }
    }

    /// Whether a request has to call [`Source::ready`] before it looks at the cluster.
    pub fn is_awaited(&self) -> bool {
        self.provider.is_on_demand()
            || !self.is_known() && (self.is_from_request || self.created_at.elapsed() < FIRST_ANSWER_TIMEOUT)
    }

    /// Whether it has, or had, instances.
    pub fn ever_had_instances(&self) -> bool {
        self.board.ever_had_instances()
    }

    /// Whether a request named it, and its registry knows of no such service.
    pub fn is_unknown_service(&self) -> bool {
        self.is_from_request && self.is_known() && !self.ever_had_instances()
    }

    /// What the registry is called.
    pub fn provider_label(&self) -> &str {
        self.provider.label()
    }

    /// The instances known now.
    pub fn instances(&self) -> Option<Arc<[Instance]>> {
        self.keep_alive.borrow().instances.clone()
    }

    /// Why there is nobody to send a request to, for people.
    pub fn no_instance_reason(&self) -> String {
        let (name, registry) = (&self.service.name, self.provider_label());
        let standing = self.keep_alive.borrow();
        match (&standing.last_error, &standing.instances) {
            (None, Some(_)) if self.is_from_request && !self.ever_had_instances() => {
                format!("{registry} knows no service {name}")
            }
            (None, Some(_)) => format!("the service {name} has no instance ({registry})"),
            (Some(trouble), Some(_)) => {
                format!("the service {name} had no instance when {registry} was last heard: {trouble}")
            }
            (None, None) => {
                format!("where the service {name} is, is not known yet: no answer from {registry}")
            }
            (Some(trouble), None) => {
                format!("where the service {name} is, is not known ({registry}): {trouble}")
            }
        }
    }

    fn start(&self) {
        if !self.started.load(Relaxed) && !self.started.swap(true, Relaxed) {
            let (board, provider) = (self.board.clone(), self.provider.clone());
            self.background.spawn(run(board, provider, self.service.clone()));
        }
    }
}

#[cfg(test)]
impl ServiceWatch {
    /// As if the registry had said so.
    pub fn set_for_test(&self, instances: Vec<Instance>) {
        InstanceSink(self.board.clone()).publish(instances);
    }
}

/// Follows a service until nobody wants it any more.
async fn run(board: Arc<ServiceState>, provider: Arc<dyn Provider>, service: Service) {
    let told = InstanceSink(board.clone());
    let mut patience = MIN_BACKOFF;
    loop {
        let trouble = tokio::select! {
            biased;
            () = board.standing.closed() => return,
            trouble = provider.watch(&service, &told) => trouble,
        };
        // It was well until now: this trouble is a new one.
        if board.standing.borrow().last_error.is_none() {
            patience = MIN_BACKOFF;
            log::warn!("{}: the service {} cannot be followed: {trouble}", provider.label(), service.name);
        }
        board.last_error(&trouble);
        tokio::select! {
            biased;
            () = board.standing.closed() => return,
            () = tokio::time::sleep(jittered(patience)) => {}
        }
        patience = (patience * 2).min(MAX_BACKOFF);
    }
}

/// Between half of it and all of it, so that gateways that lost a registry together do not come back together.
pub(super) fn jittered(time: Duration) -> Duration {
    let part = RandomState::new().hash_one(0u8) as u32;
    time / 2 + (time / 2).mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
