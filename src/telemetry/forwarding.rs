//! Exports the metrics of transport routes and of roles.

use super::roles::{RoleDecision, RoleMetrics};
use super::samples::{counter, gauge, histogram};
use super::transport::{DropReason, ForwardedTo, TransportMetrics, TransportTable};
use prometheus::proto::{Metric, MetricType};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The families of transport routes and of roles.
pub(super) const TRANSPORT_FAMILIES: &[(&str, &str, MetricType, &[&str])] = &[
    (
        "margay_transport_connections",
        "Open connections and UDP sessions of transport routes.",
        MetricType::GAUGE,
        &["route"],
    ),
    (
        "margay_transport_ended_total",
        "Connections and UDP sessions by their end: closed, client.reset, backend.reset, idle, duration, drain, role.revoked, endpoint.gone, replies, or the error code of a refusal after the route was found.",
        MetricType::COUNTER,
        &["route", "end"],
    ),
    (
        "margay_transport_bytes_total",
        "Bytes forwarded by transport routes: to the service, to the client.",
        MetricType::COUNTER,
        &["route", "to"],
    ),
    (
        "margay_transport_datagrams_total",
        "Datagrams forwarded by transport routes: to the service, to the client.",
        MetricType::COUNTER,
        &["route", "to"],
    ),
    (
        "margay_transport_dropped_total",
        "Datagrams dropped: sessions (a limit), full (the kernel took no more), long, denied, none (no endpoint).",
        MetricType::COUNTER,
        &["route", "reason"],
    ),
    (
        "margay_transport_connect_seconds",
        "Time of all attempts together, up to a connection to the service.",
        MetricType::HISTOGRAM,
        &["route"],
    ),
    (
        "margay_transport_retries_total",
        "Attempts at another endpoint after one failed.",
        MetricType::COUNTER,
        &["route"],
    ),
    (
        "margay_role_instances",
        "Instances of a role by status: ready, busy.",
        MetricType::GAUGE,
        &["role", "status"],
    ),
    (
        "margay_role_decisions_total",
        "Decisions of the traffic rules: allowed, denied, audited; a source that is no instance is (unknown).",
        MetricType::COUNTER,
        &["from", "to", "outcome"],
    ),
    (
        "margay_role_ports_short",
        "Instances without a public port, because the range of the endpoint is exhausted.",
        MetricType::GAUGE,
        &["endpoint"],
    ),
];

/// The samples of a family of transport routes or of roles.
pub(super) fn samples(name: &str, table: &TransportTable) -> Vec<Metric> {
    match name.starts_with("margay_role_") {
        true => role_samples(name, &table.roles),
        false => table.routes().iter().flat_map(|route| route_samples(name, route)).collect(),
    }
}

fn route_samples(name: &str, route: &TransportMetrics) -> Vec<Metric> {
    let (totals, label) = (route.totals(), ("route", route.label()));
    let sides = |numbers: [u64; 2]| -> Vec<Metric> {
        let sides = numbers.into_iter().zip(ForwardedTo::ALL);
        sides.map(|(n, to)| counter(n, &[label, ("to", to.name())])).collect()
    };
    match name {
        "margay_transport_connections" => vec![gauge(route.open.load(Relaxed) as u64, &[label])],
        "margay_transport_ended_total" => {
            route.ends().iter().map(|(end, n)| counter(*n, &[("end", end), label])).collect()
        }
        "margay_transport_bytes_total" => sides(totals.bytes),
        "margay_transport_datagrams_total" => sides(totals.datagrams),
        "margay_transport_dropped_total" => {
            let dropped = totals.dropped.into_iter().zip(DropReason::ALL);
            dropped.map(|(n, reason)| counter(n, &[("reason", reason.name()), label])).collect()
        }
        "margay_transport_connect_seconds" if totals.connect.count() > 0 => {
            vec![histogram(&totals.connect, &[label])]
        }
        "margay_transport_retries_total" => vec![counter(route.retries(), &[label])],
        _ => Vec::new(),
    }
}

fn role_samples(name: &str, roles: &RoleMetrics) -> Vec<Metric> {
    match name {
        "margay_role_decisions_total" => {
            let all = roles.all_decisions();
            let one = |outcome: RoleDecision| {
                all.iter().map(move |((from, to), of)| {
                    let labels = [("from", &**from), ("outcome", outcome.name()), ("to", &**to)];
                    counter(of.total(outcome), &labels)
                })
            };
            RoleDecision::ALL.into_iter().flat_map(one).collect()
        }
        "margay_role_instances" => {
            let one = |(role, [ready, busy]): (Arc<str>, [usize; 2])| {
                let status = |status, n: usize| gauge(n as u64, &[("role", &*role), ("status", status)]);
                [status("ready", ready), status("busy", busy)]
            };
            roles.instances().into_iter().flat_map(one).collect()
        }
        _ => roles.ports_short().iter().map(|(name, n)| gauge(*n as u64, &[("endpoint", name)])).collect(),
    }
}
