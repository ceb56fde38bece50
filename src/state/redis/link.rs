//! One supervised connection: opened again when it closes, probed while the circuit is open.

use super::{
    super::{circuit::Circuit, config::SharedStateConfig, contract::StateError},
    connect::{Connection, Driver, connect},
    errors::{command_error, cure, must_reconnect},
};
use crate::{base::backoff::Backoff, telemetry::SharedStateMetrics};
use ::redis::RedisResult;
use arc_swap::ArcSwapOption;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(20);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// How often an open circuit is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Failed probes in a row after which the connection is replaced: its peer may be gone without a reset.
const MAX_FAILED_PROBES: u32 = 3;
/// How often an error is logged that repeats.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that is opened again.
pub(in crate::state) struct Link {
    config: Arc<SharedStateConfig>,
    circuit: Arc<Circuit>,
    metrics: Arc<SharedStateMetrics>,
    connection: ArcSwapOption<Connection>,
    reset: Notify,
    last_logged: Mutex<Option<(String, Instant)>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Link")
            .field("is_connected", &self.connection.load().is_some())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// A link without a connection; [`supervise`] opens it.
    pub fn new(
        config: Arc<SharedStateConfig>,
        circuit: Arc<Circuit>,
        metrics: Arc<SharedStateMetrics>,
    ) -> Arc<Link> {
        let (connection, reset, last_logged) = (ArcSwapOption::empty(), Notify::new(), Mutex::default());
        Arc::new(Link { config, circuit, metrics, connection, reset, last_logged })
    }

    /// Runs a call on the connection within its deadline.
    ///
    /// # Errors
    ///
    /// `Unavailable` at once without a connection or with an open circuit.
    pub async fn call<T>(
        &self,
        timeout: Duration,
        call: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, StateError> {
        let connection = self.connection.load().as_deref().filter(|_| !self.circuit.is_open()).cloned();
        let Some(connection) = connection else {
            self.metrics.record_error(StateError::Unavailable.reason());
            return Err(StateError::Unavailable);
        };
        let started_at = Instant::now();
        let error = match tokio::time::timeout(timeout, call(connection)).await {
            Ok(Ok(reply)) => {
                self.metrics.record_reply(started_at.elapsed());
                self.circuit.record_reply();
                return Ok(reply);
            }
            Ok(Err(error)) => command_error(&error),
            Err(_) => StateError::Timeout(timeout),
        };
        self.record_failure(&error);
        Err(error)
    }

    /// Counts and logs an error.
    #[cold]
    pub fn record_failure(&self, error: &StateError) {
        self.metrics.record_error(error.reason());
        match error {
            StateError::Timeout(_) => {
                if self.circuit.record_timeout() {
                    log::warn!(
                        "shared state: the server does not reply within {:?}; {} until a probe succeeds",
                        self.config.timeout,
                        self.consequence()
                    );
                }
            }
            // The supervisor logs the reason.
            StateError::Lost | StateError::Unavailable => {}
            StateError::Server(text) | StateError::Reply(text) => {
                self.circuit.record_reply();
                self.log(text);
                if must_reconnect(error) {
                    self.reset.notify_one();
                }
            }
        }
    }

    fn consequence(&self) -> &'static str {
        match self.config.on_failure {
            super::super::config::OnFailure::Local => "each gateway decides by its own state",
            super::super::config::OnFailure::Refuse => "requests that need it are rejected",
        }
    }

    /// Logs an error with its cure, a repeated one rarely.
    fn log(&self, text: &str) {
        let code = text.split(' ').next().unwrap_or_default();
        let mut last = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_repeated =
            last.as_ref().is_some_and(|(known, at)| known == code && at.elapsed() < LOG_INTERVAL);
        if !is_repeated {
            log::warn!("shared state: {text}; {}", cure(text));
            *last = Some((code.to_owned(), Instant::now()));
        }
    }
}

/// Keeps a link connected for as long as it exists.
pub(in crate::state) async fn supervise(link: Weak<Link>) {
    let mut backoff = Backoff::new(MIN_RECONNECT_DELAY, MAX_RECONNECT_DELAY);
    while let Some(config) = link.upgrade().map(|link| link.config.clone()) {
        match connect(&config).await {
            Ok((connection, driver)) => {
                backoff.reset();
                serve(&link, connection, driver).await;
            }
            Err(error) => {
                let Some(link) = link.upgrade() else { return };
                let text = format!("no connection to {}: {error}", config.servers_text());
                link.metrics.record_error("connection");
                link.log(&text);
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Offers a connection until it closes, must be replaced, or the link is dropped.
async fn serve(link: &Weak<Link>, connection: Connection, mut driver: Driver) {
    let Some(target) = link.upgrade() else { return };
    target.connection.store(Some(Arc::new(connection)));
    target.circuit.close();
    target.circuit.record_connection(true);
    log::info!("shared state: connected to {}", target.config.servers_text());
    drop(target);
    let mut failed_probes = 0;
    loop {
        let Some(target) = link.upgrade() else { return };
        tokio::select! {
            () = &mut driver => break,
            () = target.reset.notified() => break,
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
        failed_probes = if probe(&target).await { 0 } else { failed_probes + 1 };
        if failed_probes >= MAX_FAILED_PROBES {
            break;
        }
    }
    if let Some(target) = link.upgrade() {
        target.connection.store(None);
        target.circuit.record_connection(false);
        log::warn!(
            "shared state: the connection to {} is closed; {} until it is open again",
            target.config.servers_text(),
            target.consequence()
        );
    }
}

/// Probes an open circuit; whether the circuit is closed now.
async fn probe(link: &Link) -> bool {
    if !link.circuit.is_open() {
        return true;
    }
    let Some(connection) = link.connection.load_full() else { return false };
    let mut connection = (*connection).clone();
    let ping = ::redis::cmd("PING");
    let reply = tokio::time::timeout(link.config.timeout, connection.command(&ping)).await;
    if matches!(reply, Ok(Ok(_))) {
        if link.circuit.close() {
            log::info!("shared state: the server replies again");
        }
        return true;
    }
    false
}
