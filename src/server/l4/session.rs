//! What a connection and a UDP session have in common: the limit of the route, the entry among the open ones, and the record at
//! the end.

use super::registry::{OpenConnection, OpenGuard};
use crate::{
    pipeline::error::ErrorCode, plan::transport::TransportRoute, server::worker::Worker,
    telemetry::ConnectionRecord,
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

/// One of the connections that a route may have, until it is dropped.
#[derive(Debug)]
struct RouteSlot(Arc<TransportRoute>);

impl RouteSlot {
    fn acquire(route: &Arc<TransportRoute>) -> (RouteSlot, bool) {
        let open = route.metrics.open.fetch_add(1, Relaxed);
        (RouteSlot(route.clone()), route.config.max_connections.is_none_or(|max| open < max))
    }
}

impl Drop for RouteSlot {
    fn drop(&mut self) {
        self.0.metrics.open.fetch_sub(1, Relaxed);
    }
}

/// A connection or session whose route is known.
#[derive(Debug)]
pub struct Forwarding {
    open: OpenGuard,
    _slot: RouteSlot,
    worker: Arc<Worker>,
    server_name: Option<Box<str>>,
    pub attempts: u32,
    pub connect_duration: Option<Duration>,
}

impl Forwarding {
    /// Begins; `false`: the route has too many connections.
    pub fn begin(
        route: &Arc<TransportRoute>,
        (protocol, listener): (&'static str, Arc<str>),
        client: SocketAddr,
        worker: &Arc<Worker>,
        server_name: Option<Box<str>>,
    ) -> (Forwarding, bool) {
        let (slot, has_room) = RouteSlot::acquire(route);
        let open = worker.gateway.transport.add(protocol, listener, client, route.clone());
        let worker = worker.clone();
        let (attempts, connect_duration) = (0, None);
        (Forwarding { open, _slot: slot, worker, server_name, attempts, connect_duration }, has_room)
    }

    /// The entry among the open ones.
    pub fn open(&self) -> &OpenConnection {
        &self.open.connection
    }

    /// The worker of the connection.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Records a refusal.
    pub fn refuse(self, code: ErrorCode) {
        self.worker.gateway.metrics().record_error(code.name());
        self.end(code.name());
    }

    /// Records the end.
    pub fn end(self, end: &'static str) {
        self.record_end(end);
    }

    /// Records the end of a session, which others may still hold.
    pub fn record_end(&self, end: &'static str) {
        let open = &self.open.connection;
        open.route.metrics.end(end);
        let plan = self.worker.plan();
        if plan.telemetry.access_logs.is_empty() {
            return;
        }
        let duration = open.since.elapsed();
        let [bytes_in, bytes_out] = open.bytes.each_ref().map(|bytes| bytes.load(Relaxed));
        let record = ConnectionRecord {
            time: SystemTime::now() - duration,
            id: open.id,
            protocol: open.protocol,
            listener: &open.listener,
            client: open.client.ip().to_canonical(),
            client_address: plan.telemetry.record.policy.client_address,
            server_name: self.server_name.as_deref().unwrap_or_default(),
            route: &open.route.label,
            role: &open.route.role,
            endpoint: open.endpoint.get().map_or("", |endpoint| endpoint),
            attempts: self.attempts,
            bytes_in,
            bytes_out,
            connect_duration: self.connect_duration,
            duration,
            end,
        };
        for log in &plan.telemetry.access_logs {
            log.log_connection(self.worker.index, &record);
        }
    }
}
