//! What clusters with the same key share, across plans: the round-robin counter, and the list of the clusters.
//!
//! During a reload the clusters of two plans are in use; a change of health applies to both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize};

/// The shared state of the clusters `C` with one key.
#[derive(Debug)]
pub struct ClusterState<C> {
    pub round_robin_counter: Arc<AtomicUsize>,
    members: Mutex<Members<C>>,
    ejections: Mutex<()>,
}

#[derive(Debug)]
struct Members<C> {
    clusters: Vec<Weak<C>>,
    /// Whether a probe task runs.
    is_probing: bool,
}

impl<C> Default for ClusterState<C> {
    fn default() -> Self {
        let members = Mutex::new(Members { clusters: Vec::new(), is_probing: false });
        ClusterState { round_robin_counter: Arc::default(), members, ejections: Mutex::default() }
    }
}

impl<C> ClusterState<C> {
    fn members(&self) -> MutexGuard<'_, Members<C>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a cluster; returns whether the caller must start a probe task.
    pub fn register(&self, cluster: &Arc<C>, has_probes: bool) -> bool {
        let mut members = self.members();
        members.clusters.retain(|cluster| cluster.strong_count() > 0);
        members.clusters.push(Arc::downgrade(cluster));
        let starts = has_probes && !members.is_probing;
        members.is_probing |= has_probes;
        starts
    }

    /// The newest cluster with probes; if there is none, the probe task ends.
    pub fn newest_probed(&self, has_probes: impl Fn(&C) -> bool) -> Option<Arc<C>> {
        let mut members = self.members();
        let mut alive = members.clusters.iter().rev().filter_map(Weak::upgrade);
        let newest = alive.find(|cluster| has_probes(cluster));
        members.is_probing = newest.is_some();
        newest
    }

    /// All clusters in use.
    pub fn clusters(&self) -> Vec<Arc<C>> {
        self.members().clusters.iter().filter_map(Weak::upgrade).collect()
    }

    /// Held while the ejected endpoints are counted and one more is ejected.
    pub fn lock_ejections(&self) -> MutexGuard<'_, ()> {
        self.ejections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
