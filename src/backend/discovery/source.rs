//! A service that is followed: the task that asks its registry, and the clusters that it feeds.

use super::{
    Provider, Service, Told,
    board::{Board, Standing},
};
use crate::{
    backend::{Cluster, endpoint::Instance},
    telemetry::DiscoveryMetrics,
    wire::background::Background,
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
const SOONEST: Duration = Duration::from_millis(250);
const LATEST: Duration = Duration::from_secs(15);
/// How long a request waits for a fresh look where there was one before.
const FRESH: Duration = Duration::from_secs(1);
/// So long after the start requests wait for the first answer of a registry instead of being refused.
const FIRST: Duration = Duration::from_secs(2);

/// A service that is followed for as long as somebody holds this.
#[derive(Debug)]
pub struct Source {
    pub service: Service,
    provider: Arc<dyn Provider>,
    board: Arc<Board>,
    background: Background,
    started: AtomicBool,
    born: Instant,
    /// A request named it, not the configuration.
    is_unnamed: bool,
    /// The task ends when this is gone.
    held: watch::Receiver<Standing>,
}

impl Source {
    pub(super) fn new(
        provider: Arc<dyn Provider>,
        service: Service,
        metrics: Arc<DiscoveryMetrics>,
        background: Background,
        is_unnamed: bool,
    ) -> Source {
        let board = Arc::new(Board::new(format!("{}: {}", provider.label(), service.name), metrics));
        let held = board.standing.subscribe();
        let started = AtomicBool::new(false);
        let source =
            Source { service, provider, board, background, started, born: Instant::now(), is_unnamed, held };
        if !source.provider.is_asked_by_requests() {
            source.start();
        }
        source
    }

    /// From now on the cluster has the instances of this service, and holds the source.
    pub fn feed(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        if cluster.source.set(self.clone()).is_ok() {
            self.board.feed(cluster);
        }
    }

    /// Whether there is nothing to wait for at a start: it has answered, or is not asked before a request comes.
    pub fn is_settled(&self) -> bool {
        !self.started.load(Relaxed) || self.is_known()
    }

    /// Whether the registry has ever answered.
    pub fn is_known(&self) -> bool {
        self.board.is_known()
    }

    /// Waits until the registry has answered for the first time, or answers afresh where it is asked by requests; not
    /// while it is known to be in trouble, and never longer than until then.
    pub async fn ready(&self, until: Instant) {
        self.start();
        let until = until.min(self.patience());
        let wish = self.board.wish();
        if wish.is_none() && self.is_known() {
            return;
        }
        let wish = wish.unwrap_or(0);
        let mut held = self.held.clone();
        let told = held.wait_for(|s| s.trouble.is_some() || s.instances.is_some() && s.looked >= wish);
        let _ = tokio::time::timeout_at(until.into(), told).await;
    }

    /// Until when a request that comes now waits: not long where something is known already.
    fn patience(&self) -> Instant {
        match (self.is_known(), self.is_unnamed || self.provider.is_asked_by_requests()) {
            (true, _) => Instant::now() + FRESH,
            (false, true) => Instant::now() + LATEST,
            (false, false) => self.born + FIRST,
        }
    }

    /// Whether a request has to call [`Source::ready`] before it looks at the cluster.
    pub fn is_awaited(&self) -> bool {
        self.provider.is_asked_by_requests()
            || !self.is_known() && (self.is_unnamed || self.born.elapsed() < FIRST)
    }

    /// Whether it has, or had, instances.
    pub fn has_been_met(&self) -> bool {
        self.board.has_been_met()
    }

    /// Whether a request named it, and its registry knows of no such service.
    pub fn is_stranger(&self) -> bool {
        self.is_unnamed && self.is_known() && !self.has_been_met()
    }

    /// What the registry is called.
    pub fn registry(&self) -> &str {
        self.provider.label()
    }

    /// The instances known now.
    pub fn instances(&self) -> Option<Arc<[Instance]>> {
        self.held.borrow().instances.clone()
    }

    /// Why there is nobody to send a request to, for people.
    pub fn why_nobody(&self) -> String {
        let (name, registry) = (&self.service.name, self.registry());
        let standing = self.held.borrow();
        match (&standing.trouble, &standing.instances) {
            (None, Some(_)) if self.is_unnamed && !self.has_been_met() => {
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
            self.background.spawn(drive(board, provider, self.service.clone()));
        }
    }
}

#[cfg(test)]
impl Source {
    /// As if the registry had said so.
    pub fn pretend(&self, instances: Vec<Instance>) {
        Told(self.board.clone()).tell(instances);
    }
}

/// Follows a service until nobody wants it any more.
async fn drive(board: Arc<Board>, provider: Arc<dyn Provider>, service: Service) {
    let told = Told(board.clone());
    let mut patience = SOONEST;
    loop {
        let trouble = tokio::select! {
            biased;
            () = board.standing.closed() => return,
            trouble = provider.follow(&service, &told) => trouble,
        };
        // It was well until now: this trouble is a new one.
        if board.standing.borrow().trouble.is_none() {
            patience = SOONEST;
            log::warn!("{}: the service {} cannot be followed: {trouble}", provider.label(), service.name);
        }
        board.trouble(&trouble);
        tokio::select! {
            biased;
            () = board.standing.closed() => return,
            () = tokio::time::sleep(jittered(patience)) => {}
        }
        patience = (patience * 2).min(LATEST);
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
