//! Background tasks of health: one that probes each cluster, and one that ends each ejection.

use super::config::ActiveCheck;
use crate::{
    backend::{
        endpoint::{Endpoint, TlsMode},
        endpoint_state::EndpointState,
    },
    net::{http_client::Client, tls::client::ClientTls},
};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep_until};

/// The maximum number of concurrent probes of one cluster.
const MAX_PARALLEL_PROBES: usize = 64;

/// A cluster as the probe task sees it.
pub trait ProbedCluster: Send + Sync {
    /// The active health check, if one is configured.
    fn active_check(&self) -> Option<&Arc<ActiveCheck>>;

    fn tls_mode(&self) -> &TlsMode;

    fn endpoints(&self) -> Box<[Arc<Endpoint>]>;

    /// Records the result of a probe.
    fn record_probe(&self, endpoint: &Endpoint, result: Result<(), String>);
}

/// Probes the cluster that `next_cluster` returns, once per interval; ends when there is none.
pub async fn probe_loop<C: ProbedCluster>(next_cluster: impl Fn() -> Option<Arc<C>> + Send) {
    let mut cached: Option<(ClientTls, Arc<Client>)> = None;
    while let Some(cluster) = next_cluster() {
        let Some(check) = cluster.active_check().cloned() else { return };
        let next_round = Instant::now() + check.interval;
        let tls = probe_tls(cluster.tls_mode());
        let client = match &cached {
            Some((known, client)) if *known == tls => client.clone(),
            _ => cached.insert((tls.clone(), Arc::new(Client::with_tls(tls)))).1.clone(),
        };
        probe_all(&*cluster, &check, &client).await;
        drop(cluster);
        sleep_until(next_round.into()).await;
    }
}

fn probe_tls(mode: &TlsMode) -> ClientTls {
    match mode {
        TlsMode::Plain => ClientTls::default(),
        TlsMode::Always(tls) | TlsMode::SameAsClient(tls) => (**tls).clone(),
    }
}

/// Probes each endpoint once.
async fn probe_all(cluster: &impl ProbedCluster, check: &Arc<ActiveCheck>, client: &Arc<Client>) {
    let (mut probes, permits) = (JoinSet::new(), Arc::new(Semaphore::new(MAX_PARALLEL_PROBES)));
    for endpoint in cluster.endpoints() {
        let delay = jitter(check);
        let (check, client, permits) = (check.clone(), client.clone(), permits.clone());
        let tls_mode = cluster.tls_mode().clone();
        probes.spawn(async move {
            tokio::time::sleep(delay).await;
            let _permit = permits.acquire().await;
            let result = check.check(&endpoint, &tls_mode, &client).await;
            (endpoint, result)
        });
    }
    while let Some(probed) = probes.join_next().await {
        let Ok((endpoint, result)) = probed else { continue };
        cluster.record_probe(&endpoint, result);
    }
}

/// The random delay of a probe.
fn jitter(check: &ActiveCheck) -> Duration {
    let max = check.interval.mul_f64(f64::from(check.jitter.min(100)) / 100.0);
    max.mul_f64(fastrand::f64())
}

/// Ends an ejection at its time; `on_end` then updates the clusters of the endpoint.
pub async fn end_ejection(endpoint: Weak<EndpointState>, until: Instant, on_end: impl FnOnce() + Send) {
    sleep_until(until.into()).await;
    let Some(endpoint) = endpoint.upgrade() else { return };
    if endpoint.health.end_ejection(Instant::now().max(until)) {
        on_end();
    }
}
