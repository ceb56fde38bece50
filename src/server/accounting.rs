//! The end of an exchange: its metrics, its line in the access log, and its subscribers.

use super::{connection::ConnectionContext, worker::Worker};
use crate::{
    net::client_io::ClientIo,
    pipeline::{error::ErrorCode, exchange::Exchange},
    plan::Route,
    telemetry::{AccessLog, Record, RequestEnd},
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

/// The names under which an exchange is logged.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordLabels<'a> {
    pub listener: &'a str,
    /// Empty if no route matched.
    pub route: &'a str,
    /// Empty if the route has no cluster.
    pub cluster: &'a str,
}

impl<'a> RecordLabels<'a> {
    /// The names of an exchange on this connection and route.
    pub fn new(connection: &'a ConnectionContext, route: Option<&'a Route>) -> RecordLabels<'a> {
        let cluster = route.and_then(|route| route.cluster().ok());
        RecordLabels {
            listener: connection.listener_name(),
            route: route.map_or("", |route| &route.label),
            cluster: cluster.map_or("", |(cluster, _)| &cluster.label),
        }
    }
}

/// What is counted of an exchange that ends now.
pub fn request_end(conn: &impl ClientIo, exchange: &Exchange, now: Instant) -> RequestEnd {
    let (record, duration) = (&exchange.record, now - exchange.now);
    RequestEnd {
        status: record.status,
        error_code: record.error_code.map_or("", ErrorCode::name),
        duration,
        gateway: record.gateway_duration(exchange.now, duration),
        backend: record.backend,
        bytes_in: conn.bytes_received(),
        bytes_out: record.bytes_out,
        trace: exchange.trace.as_ref().map(|trace| trace.ids.trace_id),
    }
}

/// Writes the record of an exchange to the access logs and to subscribers.
pub fn log_access(
    conn: &impl ClientIo,
    exchange: &Exchange,
    worker: &Worker,
    logs: &[Arc<AccessLog>],
    labels: RecordLabels,
    end: &RequestEnd,
) {
    let policy = exchange.record.policy;
    let feed = worker.gateway.metrics().feed();
    let is_logged = !logs.is_empty() && policy.is_sampled(!end.error_code.is_empty() || end.status >= 500);
    if !is_logged && !feed.is_active() {
        return;
    }
    let mut redacted = Vec::new();
    let query = exchange.record.query(exchange.request.original_target(), &mut redacted);
    let record = Record { query, protocol: conn.version().as_str(), ..record(exchange, labels, end) };
    if feed.is_active() {
        feed.publish(&record);
    }
    for log in logs.iter().filter(|_| is_logged) {
        log.log(worker.index, &record);
    }
}

/// The subject of the caller, if it is logged.
fn logged_user(exchange: &Exchange) -> &str {
    let user = exchange.client.user.as_ref().filter(|_| exchange.record.policy.logs_user);
    user.and_then(|user| user.claim_value("sub")).unwrap_or("")
}

fn record<'a>(exchange: &'a Exchange, labels: RecordLabels<'a>, end: &RequestEnd) -> Record<'a> {
    let (record, fabric) = (&exchange.record, exchange.record.fabric.as_deref());
    Record {
        time: SystemTime::now() - end.duration,
        id: &record.id,
        trace: exchange.trace.as_ref().map(|trace| trace.ids),
        listener: labels.listener,
        client: exchange.client.ip,
        client_address: record.policy.client_address,
        method: &record.method,
        host: &record.host,
        path: &record.path,
        query: None,
        route: labels.route,
        status: end.status,
        error_code: end.error_code,
        leg: record.leg(),
        stage: record.stage,
        cluster: labels.cluster,
        endpoint: record.endpoint.as_deref().unwrap_or(""),
        service: fabric.map_or("", |fabric| &fabric.service),
        partition: fabric.map_or("", |fabric| &fabric.partition),
        replica: fabric.map_or("", |fabric| &fabric.replica),
        replica_role: fabric.map_or("", |fabric| fabric.replica_role),
        firewall: record.firewall.as_ref().and_then(|found| found.get()),
        backend_status: record.backend_status,
        attempts: record.attempts,
        bytes_in: end.bytes_in,
        bytes_out: end.bytes_out,
        duration: end.duration,
        gateway_duration: end.gateway,
        backend_duration: end.backend,
        protocol: "",
        is_tls: exchange.client.is_tls,
        user: logged_user(exchange),
        request_headers: &record.request_headers,
        response_headers: &record.response_headers,
    }
}
