//! The tasks behind health: one that probes for each cluster, and one that waits for the end of each ejection.

use super::Probing;
use crate::{
    backend::{
        cluster::Cluster,
        endpoint::{EndpointState, Speech},
        shared::Shared,
    },
    wire::{outbound::Client, tls::client::ClientTls},
};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep_until};

/// Probes of one cluster at one time.
const AT_ONCE: usize = 64;

/// Probes for as long as a plan has a cluster of that state that wants it.
pub async fn probing(shared: Weak<Shared>) {
    let mut asks: Option<(ClientTls, Arc<Client>)> = None;
    while let Some(cluster) = shared.upgrade().and_then(|shared| shared.probed()) {
        let Some(probing) = cluster.health().active.clone() else { return };
        let next = Instant::now() + probing.interval;
        let tls = tls(cluster.speech());
        let client = match &asks {
            Some((known, client)) if *known == tls => client.clone(),
            _ => asks.insert((tls.clone(), Arc::new(Client::with(tls)))).1.clone(),
        };
        round(&cluster, &probing, &client).await;
        drop(cluster);
        sleep_until(next.into()).await;
    }
}

fn tls(speech: &Speech) -> ClientTls {
    match speech {
        Speech::Plain => ClientTls::default(),
        Speech::Secure(tls) | Speech::AsAsked(tls) => tls.clone(),
    }
}

/// Every endpoint once.
async fn round(cluster: &Arc<Cluster>, probing: &Arc<Probing>, client: &Arc<Client>) {
    let (mut probes, seats) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for endpoint in &cluster.members().list {
        let late = late(probing, cluster.chance());
        let (endpoint, probing, client) = (endpoint.clone(), probing.clone(), client.clone());
        let (speech, seats) = (cluster.speech().clone(), seats.clone());
        probes.spawn(async move {
            tokio::time::sleep(late).await;
            let _seat = seats.acquire().await;
            let found = probing.ask(&endpoint, &speech, &client).await;
            (endpoint, found)
        });
    }
    while let Some(probed) = probes.join_next().await {
        let Ok((endpoint, found)) = probed else { continue };
        cluster.probed(&endpoint, found);
    }
}

/// How late a probe comes, by chance.
fn late(probing: &Probing, chance: u64) -> Duration {
    let most = probing.interval.mul_f64(f64::from(probing.jitter.min(100)) / 100.0);
    most.mul_f64((chance >> 11) as f64 / (1u64 << 53) as f64)
}

/// Takes an endpoint back when its ejection is over.
pub async fn readmission(shared: Weak<Shared>, endpoint: Weak<EndpointState>, until: Instant) {
    sleep_until(until.into()).await;
    let (Some(shared), Some(endpoint)) = (shared.upgrade(), endpoint.upgrade()) else { return };
    if endpoint.health.readmit(Instant::now().max(until)) {
        shared.refresh();
    }
}
