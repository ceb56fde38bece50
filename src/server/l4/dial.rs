//! Connects to an endpoint of a transport route: several attempts, one after the other.

use crate::{
    backend::{
        Cluster,
        balance::Caller,
        endpoint::{Endpoint, Instance},
        health::AttemptReport,
        selection::{InFlightGuard, Selection},
    },
    net::{
        connect::{ConnectTarget, open_forward_stream},
        forward_stream::ForwardStream,
        proxy_protocol::{ProxyAddresses, ProxyHeader},
    },
    pipeline::error::ErrorCode,
    plan::transport::TransportRoute,
    telemetry::AttemptOutcome,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct ClientEnds {
    pub peer: SocketAddr,
    /// The address that the client connected to, or the one of the PROXY header.
    pub local: SocketAddr,
    /// The port of the listener.
    pub port: u16,
}

/// A connection to the service.
#[derive(Debug)]
pub struct Dialed {
    pub stream: ForwardStream,
    pub endpoint: Arc<Endpoint>,
    pub in_flight: Option<InFlightGuard>,
    pub attempts: u32,
    /// The time of all attempts.
    pub duration: Duration,
    /// The start of the last attempt; set if its success is reported when the service has sent bytes.
    pub unreported: Option<Instant>,
}

/// No connection: the code of the last attempt, and the number of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialError {
    pub code: ErrorCode,
    pub attempts: u32,
}

/// Connects to an endpoint, with TLS and a PROXY header where the route has them. `instance` is the only acceptable endpoint.
pub async fn dial(
    route: &TransportRoute,
    ends: ClientEnds,
    instance: Option<&(String, u16)>,
    worker: usize,
) -> Result<Dialed, DialError> {
    await_discovery(route).await;
    let (started, mut tried, mut last) = (Instant::now(), Vec::new(), ErrorCode::BackendNoEndpoint);
    for attempt in 1..=route.config.connect_attempts {
        let selection = match select(&route.cluster, ends, instance, &tried) {
            Ok(selection) => selection,
            Err(_) if attempt > 1 => return Err(DialError { code: last, attempts: attempt - 1 }),
            Err(code) => return Err(DialError { code, attempts: 0 }),
        };
        if attempt > 1 {
            route.metrics.retry();
        }
        let attempt_started = Instant::now();
        match connect(route, &selection.endpoint, ends).await {
            Ok(stream) => {
                let now = Instant::now();
                route.metrics.connected(worker, now - started);
                route.cluster.attempts.count(worker, AttemptOutcome::Success);
                let Selection { endpoint, in_flight } = selection;
                let unreported = Some(attempt_started).filter(|_| counts_early_end(&route.cluster));
                if unreported.is_none() {
                    report_success(&route.cluster, &endpoint, attempt_started, now);
                }
                let duration = now - started;
                return Ok(Dialed { stream, endpoint, in_flight, attempts: attempt, duration, unreported });
            }
            Err(code) => {
                report_failure(route, &selection.endpoint, code, (worker, attempt_started));
                last = code;
                tried.push(selection.endpoint);
            }
        }
    }
    Err(DialError { code: last, attempts: route.config.connect_attempts })
}

fn report_failure(
    route: &TransportRoute,
    endpoint: &Endpoint,
    code: ErrorCode,
    (worker, started): (usize, Instant),
) {
    route.cluster.attempts.count(worker, outcome(code));
    route.cluster.record(endpoint, AttemptReport::Failed(code), started, Instant::now());
}

/// Waits for the endpoints of a discovered service.
async fn await_discovery(route: &TransportRoute) {
    if let Some(source) = route.cluster.source.get().filter(|source| source.must_be_awaited()) {
        source.wait_ready(Instant::now() + route.config.connect_timeout).await;
    }
}

/// Reports that the endpoint serves.
pub fn report_success(cluster: &Cluster, endpoint: &Endpoint, started: Instant, now: Instant) {
    cluster.record(endpoint, AttemptReport::Response(200), started, now);
}

/// Whether a connection that the service ends at once is a failure.
fn counts_early_end(cluster: &Cluster) -> bool {
    cluster.health().passive.as_ref().is_some_and(|passive| passive.counts_early_end)
}

fn outcome(code: ErrorCode) -> AttemptOutcome {
    if code == ErrorCode::BackendConnectTimeout { AttemptOutcome::Timeout } else { AttemptOutcome::Connect }
}

/// The endpoint of an attempt: of the balancer, or one instance.
pub fn select(
    cluster: &Cluster,
    ends: ClientEnds,
    instance: Option<&(String, u16)>,
    tried: &[Arc<Endpoint>],
) -> Result<Selection, ErrorCode> {
    let Some((host, port)) = instance else {
        let caller = Caller::of_connection(ends.peer.ip(), Instant::now());
        return cluster.pick(caller, tried).map_err(|error| error.code);
    };
    let members = cluster.members();
    let label = Instance::new(host.as_str(), *port).label();
    let found = members.endpoints.iter().find(|endpoint| *endpoint.label == *label);
    found.map(Selection::counted).ok_or(ErrorCode::BackendNoEndpoint)
}

async fn connect(
    route: &TransportRoute,
    endpoint: &Endpoint,
    ends: ClientEnds,
) -> Result<ForwardStream, ErrorCode> {
    let transport = &endpoint.primary.transport;
    let addresses = ProxyAddresses { source: ends.peer, destination: ends.local };
    let header = transport.proxy_protocol.map(|version| ProxyHeader { version, addresses });
    let port = route.backend_port(endpoint.port, ends.port);
    let target = ConnectTarget { client: Some(ends.peer), ..transport.connect_target(port, header) };
    match Box::pin(open_forward_stream(&target, route.config.connect_timeout)).await {
        Ok(stream) => Ok(stream),
        Err(error) => {
            log::debug!("{} {}: {}", error.code.name(), endpoint.label, error.detail);
            Err(error.code)
        }
    }
}
