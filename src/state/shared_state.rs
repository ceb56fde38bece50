//! The handle with which features use the shared state.

use super::{
    circuit::Circuit,
    config::{OnFailure, SharedStateConfig},
    contract::{StateError, Subscription},
    redis::{
        link::{self, Link},
        subscriber::{self, Subscriber},
    },
    runtime::StateRuntime,
    script::Script,
};
use crate::telemetry::SharedStateMetrics;
use ::redis::{Cmd, Pipeline, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// The shared state of one configuration. Calls may come from any runtime; they wait at most for their deadline, and fail
/// at once while there is no connection.
#[derive(Debug)]
pub struct SharedState {
    config: Arc<SharedStateConfig>,
    circuit: Arc<Circuit>,
    metrics: Arc<SharedStateMetrics>,
    links: Box<[Arc<Link>]>,
    next_link: AtomicUsize,
    subscriber: Arc<Subscriber>,
    /// `None`: nothing is connected, as in `margay explain`.
    runtime: Option<Arc<StateRuntime>>,
}

impl SharedState {
    /// Connects on the runtime; without one there is never a connection.
    pub(super) fn open(
        config: SharedStateConfig,
        runtime: Option<Arc<StateRuntime>>,
        metrics: Arc<SharedStateMetrics>,
    ) -> SharedState {
        let config = Arc::new(config);
        let circuit = Arc::new(Circuit::new(metrics.clone()));
        let links = 0..config.connections.max(1);
        let links: Box<[_]> =
            links.map(|_| Link::new(config.clone(), circuit.clone(), metrics.clone())).collect();
        let subscriber = Arc::<Subscriber>::default();
        if let Some(runtime) = &runtime {
            links.iter().for_each(|link| runtime.spawn(link::supervise(Arc::downgrade(link))));
            runtime.spawn(subscriber::supervise(Arc::downgrade(&subscriber), config.clone()));
        }
        SharedState { config, circuit, metrics, links, next_link: AtomicUsize::new(0), subscriber, runtime }
    }

    /// The settings.
    pub fn config(&self) -> &SharedStateConfig {
        &self.config
    }

    /// How long a request waits for a reply: `SharedState.Timeout`.
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// What features do without a reply: `SharedState.OnFailure`.
    pub fn on_failure(&self) -> OnFailure {
        self.config.on_failure
    }

    /// The counters of the shared state.
    pub fn metrics(&self) -> &Arc<SharedStateMetrics> {
        &self.metrics
    }

    /// Whether a call would be sent now.
    pub fn is_available(&self) -> bool {
        self.circuit.is_available()
    }

    /// The key of a value: `PREFIX:AREA:NAME`. Each feature has its own areas; the name may contain any bytes. Values that
    /// one script or transaction uses together need a part of the name in braces, for Redis Cluster.
    pub fn key(&self, area: &str, name: &[u8]) -> Vec<u8> {
        [self.config.prefix.as_bytes(), b":", area.as_bytes(), b":", name].concat()
    }

    /// The name of a channel: `PREFIX:AREA:NAME`.
    pub fn channel(&self, area: &str, name: &str) -> String {
        format!("{}:{area}:{name}", self.config.prefix)
    }

    /// Sends a command.
    ///
    /// # Errors
    ///
    /// Without a reply within `timeout`.
    pub async fn command(&self, command: &Cmd, timeout: Duration) -> Result<Value, StateError> {
        self.link().call(timeout, async |mut connection| connection.command(command).await).await
    }

    /// Sends commands together, not as a transaction unless the pipeline is atomic; the replies are in their order.
    ///
    /// # Errors
    ///
    /// Without all replies within `timeout`, or if one is an error.
    pub async fn pipeline(&self, commands: &Pipeline, timeout: Duration) -> Result<Vec<Value>, StateError> {
        self.link().call(timeout, async |mut connection| connection.pipeline(commands).await).await
    }

    /// Runs a script, which is sent again if the server does not have it any more.
    ///
    /// # Errors
    ///
    /// Without a reply within `timeout`.
    pub async fn script(
        &self,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
        timeout: Duration,
    ) -> Result<Value, StateError> {
        self.link()
            .call(timeout, async |mut connection| {
                let stored = script.command(true, keys, arguments);
                match connection.command(&stored).await {
                    Err(error) if error.code() == Some("NOSCRIPT") => {
                        connection.command(&script.command(false, keys, arguments)).await
                    }
                    reply => reply,
                }
            })
            .await
    }

    /// Sends a message to the subscribers of a channel; returns how many connections received it.
    ///
    /// # Errors
    ///
    /// Without a reply within `timeout`.
    pub async fn publish(
        &self,
        channel: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Value, StateError> {
        self.command(Cmd::new().arg("PUBLISH").arg(channel).arg(payload), timeout).await
    }

    /// Subscribes to a channel, also again after a lost connection; a queue of this capacity holds what the subscriber has
    /// not received yet. Messages may be lost: each possible gap ends with [`super::Notice::Subscribed`].
    pub fn subscribe(&self, channel: &str, capacity: usize) -> Subscription {
        self.subscriber.subscribe(channel, capacity)
    }

    /// Counts and logs a reply that a feature cannot use.
    pub fn record_failure(&self, error: &StateError) {
        if let Some(link) = self.links.first() {
            link.record_failure(error);
        }
    }

    /// Runs a task on the thread of the shared state, apart from the workers; dropped if nothing is connected.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    pub(super) fn link(&self) -> &Link {
        match &*self.links {
            [only] => only,
            links => &links[self.next_link.fetch_add(1, Relaxed) % links.len()],
        }
    }
}
