//! A watched service: the task that queries its registry, and the clusters that use its instances.

use super::{
    provider::{Provider, Service},
    service_state::{InstanceSink, InstanceTarget, ServiceState, Snapshot},
};
use crate::{
    backend::endpoint::Instance, base::backoff::Backoff, net::background::BackgroundRuntime,
    telemetry::DiscoveryMetrics,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The backoff after errors of a registry.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long a request waits for a refresh of known instances.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long after the start requests wait for the first response of a registry instead of being rejected.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A service that is watched until this is dropped.
#[derive(Debug)]
pub struct ServiceWatch {
    pub service: Service,
    provider: Arc<dyn Provider>,
    state: Arc<ServiceState>,
    background: BackgroundRuntime,
    started: AtomicBool,
    created_at: Instant,
    /// The service was named by a request, not by the configuration.
    is_from_request: bool,
    /// The task ends when the last receiver is dropped.
    keep_alive: watch::Receiver<Snapshot>,
}

impl ServiceWatch {
    pub(super) fn new(
        provider: Arc<dyn Provider>,
        service: Service,
        metrics: Arc<DiscoveryMetrics>,
        background: BackgroundRuntime,
        is_from_request: bool,
    ) -> ServiceWatch {
        let state = Arc::new(ServiceState::new(format!("{}: {}", provider.label(), service.name), metrics));
        let keep_alive = state.snapshot.subscribe();
        let started = AtomicBool::new(false);
        let watch = ServiceWatch {
            service,
            provider,
            state,
            background,
            started,
            created_at: Instant::now(),
            is_from_request,
            keep_alive,
        };
        if !watch.provider.is_on_demand() {
            watch.start();
        }
        watch
    }

    /// Sets the instances of a cluster now and after each change. The cluster holds the watch.
    pub fn attach(&self, target: &Arc<dyn InstanceTarget>) {
        self.state.attach(target);
    }

    /// Whether a start need not wait: the registry has responded, or is not queried before the first request.
    pub fn has_responded(&self) -> bool {
        !self.started.load(Relaxed) || self.is_known()
    }

    /// Whether the registry has responded.
    pub fn is_known(&self) -> bool {
        self.state.is_known()
    }

    /// Waits for the first response of the registry, or for a refresh if requests cause queries; not while the watch
    /// fails, and never beyond `deadline`.
    pub async fn wait_ready(&self, deadline: Instant) {
        self.start();
        let deadline = deadline.min(self.wait_deadline());
        let requested = self.state.request_refresh();
        if requested.is_none() && self.is_known() {
            return;
        }
        let requested = requested.unwrap_or(0);
        let mut snapshots = self.keep_alive.clone();
        let ready = snapshots
            .wait_for(|s| s.last_error.is_some() || s.instances.is_some() && s.refresh_count >= requested);
        let _ = tokio::time::timeout_at(deadline.into(), ready).await;
    }

    /// The latest time until which a request that arrives now waits.
    fn wait_deadline(&self) -> Instant {
        match (self.is_known(), self.is_from_request || self.provider.is_on_demand()) {
            (true, _) => Instant::now() + REFRESH_TIMEOUT,
            (false, true) => Instant::now() + MAX_BACKOFF,
            (false, false) => self.created_at + FIRST_RESPONSE_TIMEOUT,
        }
    }

    /// Whether a request must call [`ServiceWatch::wait_ready`] before an endpoint is selected.
    pub fn must_be_awaited(&self) -> bool {
        self.provider.is_on_demand()
            || !self.is_known()
                && (self.is_from_request || self.created_at.elapsed() < FIRST_RESPONSE_TIMEOUT)
    }

    /// Whether the service has, or had, instances.
    pub fn ever_had_instances(&self) -> bool {
        self.state.ever_had_instances()
    }

    /// Whether a request named the service and the registry has no such service.
    pub fn is_unknown_service(&self) -> bool {
        self.is_from_request && self.is_known() && !self.ever_had_instances()
    }

    /// The name of the registry in logs and metrics.
    pub fn provider_label(&self) -> &str {
        self.provider.label()
    }

    /// The current instances.
    pub fn instances(&self) -> Option<Arc<[Instance]>> {
        self.keep_alive.borrow().instances.clone()
    }

    /// Why there is no instance, for operators.
    pub fn no_instance_reason(&self) -> String {
        let (name, registry) = (&self.service.name, self.provider_label());
        let snapshot = self.keep_alive.borrow();
        match (&snapshot.last_error, &snapshot.instances) {
            (None, Some(_)) if self.is_from_request && !self.ever_had_instances() => {
                format!("unknown service {name}: not registered in {registry}")
            }
            (None, Some(_)) => format!("the service {name} has no instances in {registry}"),
            (Some(error), Some(_)) => {
                format!("the service {name} had no instances at the last response of {registry}: {error}")
            }
            (None, None) => {
                format!("the instances of {name} are not known yet: no response from {registry}")
            }
            (Some(error), None) => {
                format!("the instances of {name} are not known: {registry} is unavailable: {error}")
            }
        }
    }

    fn start(&self) {
        if !self.started.load(Relaxed) && !self.started.swap(true, Relaxed) {
            let (state, provider) = (self.state.clone(), self.provider.clone());
            self.background.spawn(run(state, provider, self.service.clone()));
        }
    }
}

#[cfg(test)]
impl ServiceWatch {
    /// Publishes instances in place of the registry.
    pub fn set_for_test(&self, instances: Vec<Instance>) {
        InstanceSink(self.state.clone()).publish(instances);
    }
}

/// Watches a service until no [`ServiceWatch`] is left.
async fn run(state: Arc<ServiceState>, provider: Arc<dyn Provider>, service: Service) {
    let sink = InstanceSink(state.clone());
    let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
    loop {
        let error = tokio::select! {
            biased;
            () = state.snapshot.closed() => return,
            error = provider.watch(&service, &sink) => error,
        };
        // The watch worked until now: this error is a new one.
        if state.snapshot.borrow().last_error.is_none() {
            backoff.reset();
            log::warn!("{}: cannot watch service {}: {error}", provider.label(), service.name);
        }
        state.set_error(&error);
        tokio::select! {
            biased;
            () = state.snapshot.closed() => return,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}

#[cfg(test)]
#[path = "service_watch_tests.rs"]
mod tests;
