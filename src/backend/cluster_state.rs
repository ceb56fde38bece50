//! What the clusters of one key share: whose turn it is, and the news of health. Plans come and go, and two of them may
//! be in use at one time; what is found out holds for the clusters of both.

use super::{cluster::Cluster, endpoint::Endpoint, health::tasks};
use crate::net::background::BackgroundRuntime;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize},
    time::Instant,
};

/// The state of a cluster beyond the life of a plan.
#[derive(Debug, Default)]
pub struct ClusterState {
    pub round_robin_counter: Arc<AtomicUsize>,
    clusters: Mutex<Clusters>,
    /// Held by whoever counts the ejected ones to eject one more.
    ejection_tasks: Mutex<()>,
}

#[derive(Debug, Default)]
struct Clusters {
    all: Vec<Weak<Cluster>>,
    /// Whether a task probes.
    probing: bool,
}

impl ClusterState {
    fn clusters(&self) -> MutexGuard<'_, Clusters> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more cluster of this state; probes begin if it wants them and they have not begun.
    pub fn register(self: &Arc<Self>, cluster: &Arc<Cluster>, background: &BackgroundRuntime) {
        let mut clusters = self.clusters();
        clusters.all.retain(|cluster| cluster.strong_count() > 0);
        clusters.all.push(Arc::downgrade(cluster));
        if cluster.health().active.is_some() && !clusters.probing {
            clusters.probing = true;
            background.spawn(tasks::probe_loop(Arc::downgrade(self)));
        }
    }

    /// The youngest cluster that wants probes; none: the task that asks ends.
    pub fn newest_probed_cluster(&self) -> Option<Arc<Cluster>> {
        let mut clusters = self.clusters();
        let mut alive = clusters.all.iter().rev().filter_map(Weak::upgrade);
        let found = alive.find(|cluster| cluster.health().active.is_some());
        clusters.probing = found.is_some();
        found
    }

    /// The health of an endpoint changed: who may be chosen is worked out anew.
    pub fn refresh(&self) {
        let all: Vec<Arc<Cluster>> = self.clusters().all.iter().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|cluster| cluster.refresh());
    }

    /// Leaves an endpoint alone for a while, unless too many are left alone already; says until when.
    pub fn eject(
        &self,
        cluster: &Cluster,
        endpoint: &Endpoint,
        why: String,
        now: Instant,
    ) -> Option<Instant> {
        let passive = cluster.health().passive.as_ref()?;
        let _one = self.ejection_tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let members = cluster.members();
        let out = members.endpoints.iter().filter(|e| e.state.health.is_ejected()).count();
        let fits = (out + 1) * 100 <= passive.max_ejected_percent as usize * members.endpoints.len();
        (fits && !endpoint.state.health.is_ejected()).then(|| endpoint.state.health.eject(passive, why, now))
    }
}
