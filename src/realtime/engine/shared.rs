//! What all hubs of the process share: the inboxes of the workers, limits, metrics, event handlers.

use super::inbox::Inbox;
use crate::realtime::{backplane::contract::Backplane, config::RealtimeConfig, events::EventSink};
use crate::telemetry::hubs::HubMetrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// Closes the connections with the longest queues of all hubs.
pub trait QueueShedder: Send + Sync + std::fmt::Debug {
    /// Closes connections until the queues are within the limit of the process.
    fn shed_queues(&self);
}

/// The state of the process.
#[derive(Debug)]
pub struct Shared {
    pub inboxes: Box<[Arc<Inbox>]>,
    pub events: Arc<dyn EventSink>,
    pub metrics: Arc<HubMetrics>,
    pub limits: ArcSwap<RealtimeConfig>,
    /// The name of this node.
    pub node: Arc<str>,
    /// Hub connections of the process, sessions without a socket included.
    pub connections: AtomicUsize,
    /// Bytes queued for all connections; a payload counts once.
    pub queued_bytes: Arc<AtomicUsize>,
    pub shedder: OnceLock<Weak<dyn QueueShedder>>,
    /// The other nodes; `None`: there is one node.
    backplane: ArcSwapOption<Arc<dyn Backplane>>,
    pub is_draining: AtomicBool,
    random: SystemRandom,
}

impl Shared {
    /// The state for this many workers.
    pub fn new(
        workers: usize,
        events: Arc<dyn EventSink>,
        metrics: Arc<HubMetrics>,
        limits: RealtimeConfig,
    ) -> Shared {
        let random = SystemRandom::new();
        let node = match &limits.node_name {
            Some(name) => Arc::from(&**name),
            None => Arc::from(encode(&random_bytes::<6>(&random)).replace('-', "_")),
        };
        Shared {
            inboxes: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            events,
            metrics,
            limits: ArcSwap::from_pointee(limits),
            node,
            connections: AtomicUsize::new(0),
            queued_bytes: Arc::default(),
            shedder: OnceLock::new(),
            backplane: ArcSwapOption::empty(),
            is_draining: AtomicBool::new(false),
            random,
        }
    }

    /// A new connection id; it contains the name of the node.
    pub fn new_id(&self) -> Arc<str> {
        format!("{}.{}", encode(&self.random_bytes::<15>()), self.node).into()
    }

    /// Random bytes for secrets.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        random_bytes(&self.random)
    }

    /// The other nodes; `None`: there is one node.
    pub fn backplane(&self) -> Option<Arc<dyn Backplane>> {
        self.backplane.load().as_ref().map(|backplane| (**backplane).clone())
    }

    /// Sets the other nodes.
    pub fn set_backplane(&self, backplane: Option<Arc<dyn Backplane>>) {
        self.backplane.store(backplane.map(Arc::new));
    }

    /// By how many bytes the queues of all connections exceed the limit.
    pub fn excess_bytes(&self) -> usize {
        self.queued_bytes.load(Relaxed).saturating_sub(self.limits.load().max_queue_bytes)
    }

    /// Closes the connections with the longest queues if all queues together exceed the limit.
    pub fn shed_if_needed(&self) {
        if self.excess_bytes() > 0
            && let Some(shedder) = self.shedder.get().and_then(Weak::upgrade)
        {
            shedder.shed_queues();
        }
    }
}

/// Base64url without padding: only characters that need no encoding in URLs.
pub fn encode(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

fn random_bytes<const N: usize>(random: &SystemRandom) -> [u8; N] {
    let mut bytes = [0; N];
    if random.fill(&mut bytes).is_err() {
        // The system has no randomness: the ids are still unique.
        bytes.fill_with(|| fastrand::u8(..));
    }
    bytes
}
