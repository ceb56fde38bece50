//! The tasks behind health: one that probes for each cluster, and one that waits for the end of each ejection.

use super::ActiveCheck;
use crate::{
    backend::{
        cluster::Cluster,
        cluster_state::ClusterState,
        endpoint::{EndpointState, TlsMode},
    },
    net::{http_client::Client, tls::client::ClientTls},
};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep_until};

/// Probes of one cluster at one time.
const MAX_PARALLEL_PROBES: usize = 64;

/// Probes for as long as a plan has a cluster of that state that wants it.
pub async fn probe_loop(shared: Weak<ClusterState>) {
    let mut asks: Option<(ClientTls, Arc<Client>)> = None;
    while let Some(cluster) = shared.upgrade().and_then(|shared| shared.newest_probed_cluster()) {
        let Some(probing) = cluster.health().active.clone() else { return };
        let next = Instant::now() + probing.interval;
        let tls = probe_tls(cluster.tls_mode());
        let client = match &asks {
            Some((known, client)) if *known == tls => client.clone(),
            _ => asks.insert((tls.clone(), Arc::new(Client::with_tls(tls)))).1.clone(),
        };
        probe_all(&cluster, &probing, &client).await;
        drop(cluster);
        sleep_until(next.into()).await;
    }
}

fn probe_tls(speech: &TlsMode) -> ClientTls {
    match speech {
        TlsMode::Plain => ClientTls::default(),
        TlsMode::Always(tls) | TlsMode::SameAsClient(tls) => tls.clone(),
    }
}

/// Every endpoint once.
async fn probe_all(cluster: &Arc<Cluster>, probing: &Arc<ActiveCheck>, client: &Arc<Client>) {
    let (mut probes, seats) = (JoinSet::new(), Arc::new(Semaphore::new(MAX_PARALLEL_PROBES)));
    for endpoint in &cluster.members().endpoints {
        let late = jitter(probing, cluster.random_u64());
        let (endpoint, probing, client) = (endpoint.clone(), probing.clone(), client.clone());
        let (speech, seats) = (cluster.tls_mode().clone(), seats.clone());
        probes.spawn(async move {
            tokio::time::sleep(late).await;
            let _seat = seats.acquire().await;
            let found = probing.check(&endpoint, &speech, &client).await;
            (endpoint, found)
        });
    }
    while let Some(probed) = probes.join_next().await {
        let Ok((endpoint, found)) = probed else { continue };
        cluster.record_probe(&endpoint, found);
    }
}

/// How late a probe comes, by chance.
fn jitter(probing: &ActiveCheck, chance: u64) -> Duration {
    let most = probing.interval.mul_f64(f64::from(probing.jitter.min(100)) / 100.0);
    most.mul_f64((chance >> 11) as f64 / (1u64 << 53) as f64)
}

/// Takes an endpoint back when its ejection is over.
pub async fn end_ejection(shared: Weak<ClusterState>, endpoint: Weak<EndpointState>, until: Instant) {
    sleep_until(until.into()).await;
    let (Some(shared), Some(endpoint)) = (shared.upgrade(), endpoint.upgrade()) else { return };
    if endpoint.health.end_ejection(Instant::now().max(until)) {
        shared.refresh();
    }
}
