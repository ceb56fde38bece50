//! Exports the metrics through the `prometheus` crate; shards are summed once per scrape.

use super::agents;
use super::agents::families::AGENT_FAMILIES;
use super::caches::{CacheMetrics, CacheOutcome};
use super::changes::RollbackReason;
use super::clusters::{AttemptOutcome, ClusterMetrics};
use super::counters::{RouteMetrics, STATUS_CLASSES, Totals};
use super::discovery::DiscoveryRow;
use super::endpoints::EndpointRow;
use super::families::FAMILIES;
use super::firewall;
use super::firewall::families::FIREWALL_FAMILIES;
use super::forwarding::{self, TRANSPORT_FAMILIES};
use super::histogram::HistogramTotals;
use super::hubs;
use super::hubs::families::HUB_FAMILIES;
use super::metrics::{Metrics, Reload};
use super::removals::Removed;
use super::resilience::{Event, ResilienceMetrics};
use super::samples::{counter, gauge, histogram};
use super::shared_state::{SharedCacheEvent, SharedDecision};
use super::stages::{StageMetrics, StageOutcome};
use super::tls::{CertificateExpiry, Handshake, TlsMetrics};
use super::trace::QueueCounts;
use crate::base::content_coding::ContentCoding;
use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// All exported metrics, in the notation of the documentation: `name{label,label}`.
pub fn names() -> impl Iterator<Item = String> {
    let families = FAMILIES.iter().chain(HUB_FAMILIES).chain(FIREWALL_FAMILIES).chain(AGENT_FAMILIES);
    families.chain(TRANSPORT_FAMILIES).map(|(name, _, _, labels)| match labels {
        [] => (*name).to_owned(),
        labels => format!("{name}{{{}}}", labels.join(",")),
    })
}

impl Metrics {
    /// All numbers in Prometheus' text format (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        match TextEncoder::new().encode_utf8(&self.gather(), &mut text) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }

    /// All families with samples, by name. Routes without traffic have none unless zeros are emitted.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let routes = self.all_routes().into_iter().map(|route| (route.totals(), route));
        let routes: Vec<_> = routes.filter(|(totals, _)| totals.is_used() || self.emits_zero()).collect();
        let mut families: Vec<_> = FAMILIES
            .iter()
            .chain(HUB_FAMILIES)
            .chain(FIREWALL_FAMILIES)
            .chain(AGENT_FAMILIES)
            .chain(TRANSPORT_FAMILIES)
            .map(|(name, help, kind, _)| family(name, help, *kind, samples(name, self, &routes)))
            .filter(|family| !family.get_metric().is_empty())
            .collect();
        families.sort_by(|one, other| one.name().cmp(other.name()));
        families
    }
}

/// A family with its samples in the order of their label values.
fn family(name: &str, help: &str, kind: MetricType, mut metrics: Vec<Metric>) -> MetricFamily {
    metrics.sort_by(|one, other| {
        let [one, other] = [one, other].map(|metric| metric.get_label().iter().map(LabelPair::value));
        one.cmp(other)
    });
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

type Routes = [(Totals, Arc<RouteMetrics>)];

fn samples(name: &str, m: &Metrics, routes: &Routes) -> Vec<Metric> {
    route_samples(name, m, routes).unwrap_or_else(|| process_samples(name, m))
}

/// Samples with the label `route` or `cluster`; `None`: the family has neither.
fn route_samples(name: &str, m: &Metrics, routes: &Routes) -> Option<Vec<Metric>> {
    let histograms = |of: fn(&Totals) -> &HistogramTotals| {
        let used = routes.iter().filter(|(totals, _)| of(totals).count() > 0);
        used.map(|(totals, route)| histogram(of(totals), &[("route", route.label())])).collect()
    };
    let counters = |of: fn(&Totals) -> u64| {
        routes.iter().map(|(totals, route)| counter(of(totals), &[("route", route.label())])).collect()
    };
    Some(match name {
        "margay_requests_total" => routes.iter().flat_map(by_status_class).collect(),
        "margay_request_duration_seconds" => histograms(|totals| &totals.duration),
        "margay_gateway_duration_seconds" => histograms(|totals| &totals.gateway),
        "margay_backend_duration_seconds" => histograms(|totals| &totals.backend),
        "margay_request_bytes_total" => counters(|totals| totals.bytes_in),
        "margay_response_bytes_total" => counters(|totals| totals.bytes_out),
        "margay_requests_in_flight" => {
            routes.iter().map(|(t, r)| gauge(t.in_flight, &[("route", r.label())])).collect()
        }
        "margay_route_errors_total" => routes.iter().flat_map(|(_, route)| by_error_code(route)).collect(),
        "margay_backend_attempts_total" => {
            m.all_clusters().iter().flat_map(|cluster| by_attempt_outcome(cluster)).collect()
        }
        "margay_retries_total" => events(m, name, "reason"),
        "margay_circuit_breaker_events_total" => events(m, name, "event"),
        "margay_retry_budget_exhausted_total" | "margay_fallbacks_total" => events(m, name, ""),
        "margay_cache_requests_total" => {
            m.all_caches().iter().flat_map(|cache| by_cache_outcome(cache)).collect()
        }
        _ => return None,
    })
}

/// Samples of the whole process.
fn process_samples(name: &str, m: &Metrics) -> Vec<Metric> {
    match name {
        "margay_errors_total" => {
            m.refusal_totals().iter().map(|(code, n)| counter(*n, &[("code", code)])).collect()
        }
        "margay_stage_outcomes_total" => m.all_stages().iter().flat_map(|stage| by_outcome(stage)).collect(),
        "margay_cache_bytes" => {
            m.caches().memories().iter().map(|(region, held)| gauge(*held, &[("region", region)])).collect()
        }
        "margay_compressed_responses_total" | "margay_compression_bytes_total" => compression(m, name),
        "margay_compression_skipped_total" => vec![counter(m.compression().skipped(), &[])],
        "margay_policy_metric_total" => m.policies.samples(),
        "margay_connections" => vec![gauge(m.connection_totals().1, &[("state", "open")])],
        "margay_connections_accepted_total" => vec![counter(m.connection_totals().0, &[])],
        "margay_websocket_connections" => vec![gauge(m.tunnels().totals().1, &[])],
        "margay_websocket_connections_total" => vec![counter(m.tunnels().totals().0, &[])],
        "margay_websocket_bytes_total" => {
            let sample = |(bytes, direction)| counter(bytes, &[("direction", direction)]);
            m.tunnels().bytes().into_iter().zip(["to_backend", "to_client"]).map(sample).collect()
        }
        name if name.starts_with("margay_config_") => configuration(name, m),
        name if AGENT_FAMILIES.iter().any(|(family, ..)| *family == name) => {
            agents::export::samples(name, &m.agents)
        }
        name if hubs::export::is_family(name) => hubs::export::samples(name, m.hubs()),
        "margay_log_dropped_total" => vec![counter(super::process_log::dropped_total(), &[])],
        "margay_access_log_dropped_total" => vec![counter(m.dropped_total(), &[])],
        "margay_otlp_exported_total" => otlp(m, |counts| &counts.exported),
        "margay_otlp_dropped_total" => otlp(m, |counts| &counts.dropped),
        "margay_otlp_failures_total" => otlp(m, |counts| &counts.failures),
        "margay_tail_dropped_total" => vec![counter(m.feed().dropped_total(), &[])],
        "margay_build_info" => vec![gauge(1, &[("version", env!("CARGO_PKG_VERSION"))])],
        name if name.starts_with("margay_http2_") => http2(name, m),
        name if name.starts_with("margay_waf_") => firewall::export::samples(name, m.firewall()),
        name if name.starts_with("margay_shared_state_") => shared_state(name, m),
        name if name.starts_with("margay_fabric_") => fabric(name, m),
        name => environment_samples(name, m),
    }
}

/// Samples of the configuration: reloads, the active plan, changes.
fn configuration(name: &str, m: &Metrics) -> Vec<Metric> {
    match name {
        "margay_config_reloads_total" => {
            Reload::ALL.iter().map(|o| counter(m.reload_total(*o), &[("outcome", o.name())])).collect()
        }
        "margay_config_rollbacks_total" => {
            let sample = |r: &RollbackReason| counter(m.config().rollbacks(*r), &[("reason", r.name())]);
            RollbackReason::ALL.iter().map(sample).collect()
        }
        "margay_config_watching" => vec![gauge(m.config().is_watching().into(), &[])],
        "margay_config_unsaved" => vec![gauge(m.config().is_unsaved().into(), &[])],
        "margay_config_failed_tests_total" => vec![counter(m.config().failed_tests(), &[])],
        "margay_config_history_errors_total" => vec![counter(m.config().history_errors(), &[])],
        "margay_config_applied_timestamp_seconds" => vec![gauge(m.current_plan().applied_at, &[])],
        _ => vec![gauge(1, &[("id", &m.current_plan().id)])],
    }
}

/// What was sent to collectors; a signal that was never sent has no series.
fn otlp(m: &Metrics, number: fn(&QueueCounts) -> &AtomicU64) -> Vec<Metric> {
    let used = |counts: &QueueCounts| [&counts.exported, &counts.dropped].iter().any(|n| n.load(Relaxed) > 0);
    let signals = m.otlp().signals().into_iter().filter(|(_, counts)| m.emits_zero() || used(counts));
    signals.map(|(signal, counts)| counter(number(counts).load(Relaxed), &[("signal", signal)])).collect()
}

fn http2(name: &str, m: &Metrics) -> Vec<Metric> {
    let totals = m.http2().totals();
    let sides = |[client, backend]: [u64; 2]| {
        vec![gauge(client, &[("side", "client")]), gauge(backend, &[("side", "backend")])]
    };
    match name {
        "margay_http2_connections" => sides(totals.connections),
        "margay_http2_streams" => sides(totals.streams),
        "margay_http2_streams_total" => vec![counter(totals.streams_started, &[])],
        "margay_http2_resets_total" => vec![counter(totals.resets, &[])],
        _ => vec![counter(totals.streams_refused, &[])],
    }
}

/// Samples of the shared state; none unless one is configured.
fn shared_state(name: &str, m: &Metrics) -> Vec<Metric> {
    let state = m.shared_state();
    match name {
        _ if !state.is_enabled() => Vec::new(),
        "margay_shared_state_up" => vec![gauge(state.is_up().into(), &[])],
        "margay_shared_state_duration_seconds" => vec![histogram(&state.durations(), &[])],
        "margay_shared_state_decisions_total" => {
            let sample = |d: &SharedDecision| counter(state.decisions(*d), &[("source", d.name())]);
            SharedDecision::ALL.iter().map(sample).collect()
        }
        "margay_shared_state_cache_total" => {
            let sample = |e: &SharedCacheEvent| counter(state.cache_events(*e), &[("event", e.name())]);
            SharedCacheEvent::ALL.iter().map(sample).collect()
        }
        "margay_shared_state_degraded_seconds_total" => vec![counter(state.degraded().as_secs(), &[])],
        _ => state.errors().map(|(reason, n)| counter(n, &[("reason", reason)])).collect(),
    }
}

/// Samples of services with partitions.
fn fabric(name: &str, m: &Metrics) -> Vec<Metric> {
    if name == "margay_fabric_resolve_seconds" {
        let durations = m.fabric.durations();
        return durations
            .iter()
            .map(|(resolver, totals)| histogram(totals, &[("resolver", resolver)]))
            .collect();
    }
    let sample = |(labels, value): &(Vec<(&'static str, Box<str>)>, u64)| {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
        if name.ends_with("_total") { counter(*value, &labels) } else { gauge(*value, &labels) }
    };
    m.fabric.samples(name).iter().map(sample).collect()
}

/// Samples that do not belong to requests: discovery, certificates, endpoints.
fn environment_samples(name: &str, m: &Metrics) -> Vec<Metric> {
    match name {
        "margay_removed_total" => {
            Removed::ALL.iter().map(|r| counter(m.removals().total(*r), &[("what", r.name())])).collect()
        }
        "margay_discovery_up" => discovery_samples(m, |row| u64::from(row.up)),
        "margay_discovery_instances" => discovery_samples(m, |row| row.instances),
        "margay_discovery_last_update_timestamp_seconds" => {
            discovery_samples(m, |row| row.last_update_unix_secs)
        }
        "margay_discovery_errors_total" => {
            m.discovery.errors().iter().map(|(registry, n)| counter(*n, &[("registry", registry)])).collect()
        }
        name if name.starts_with("margay_transport_") || name.starts_with("margay_role_") => {
            forwarding::samples(name, &m.transport)
        }
        "margay_tls_handshakes_total" => m.tls.handshakes().iter().flat_map(handshakes).collect(),
        "margay_tls_certificate_expiry_timestamp_seconds" => {
            m.tls.certificate_expiries().iter().map(expiry).collect()
        }
        "margay_endpoint_healthy" => {
            endpoint_samples(m, |row, labels| vec![gauge(u64::from(row.up), labels)])
        }
        "margay_endpoint_drained" => {
            let row = |(cluster, endpoint): &(Box<str>, Box<str>)| {
                gauge(1, &[("cluster", &**cluster), ("endpoint", &**endpoint)])
            };
            m.drained.rows().iter().map(row).collect()
        }
        "margay_endpoint_ejections_total" => {
            endpoint_samples(m, |row, labels| vec![counter(row.ejections, labels)])
        }
        "margay_health_checks_total" => endpoint_samples(m, |row, labels| {
            let probes = |outcome, n| counter(n, &[labels[0], labels[1], ("outcome", outcome)]);
            vec![probes("success", row.successes), probes("failure", row.failures)]
        }),
        _ => Vec::new(),
    }
}

fn endpoint_samples(
    m: &Metrics,
    show: impl Fn(&EndpointRow, &[(&str, &str); 2]) -> Vec<Metric>,
) -> Vec<Metric> {
    let one = |row: &EndpointRow| show(row, &[("cluster", &row.cluster), ("endpoint", &row.endpoint)]);
    m.endpoints.rows().iter().flat_map(one).collect()
}

fn discovery_samples(m: &Metrics, number: impl Fn(&DiscoveryRow) -> u64) -> Vec<Metric> {
    let one =
        |row: &DiscoveryRow| gauge(number(row), &[("registry", &row.registry), ("service", &row.service)]);
    m.discovery.rows().iter().map(one).collect()
}

fn handshakes((listener, of): &(Box<str>, Arc<TlsMetrics>)) -> Vec<Metric> {
    let labels = |outcome: Handshake| [("listener", &**listener), ("outcome", outcome.name())];
    Handshake::ALL.iter().map(|o| counter(of.total(*o), &labels(*o))).collect()
}

fn expiry(certificate: &CertificateExpiry) -> Metric {
    let labels =
        [("certificate", certificate.certificate.as_str()), ("listener", certificate.listener.as_str())];
    gauge(u64::try_from(certificate.not_after).unwrap_or(0), &labels)
}

fn by_status_class((totals, route): &(Totals, Arc<RouteMetrics>)) -> Vec<Metric> {
    let labels = |class| [("status_class", class), ("route", route.label())];
    totals.classes.iter().zip(STATUS_CLASSES).map(|(n, class)| counter(*n, &labels(class))).collect()
}

/// All samples of a resilience family; without a label of the event if `label` is empty.
fn events(m: &Metrics, family: &str, label: &str) -> Vec<Metric> {
    let of_route = |route: &Arc<ResilienceMetrics>| -> Vec<Metric> {
        let events = Event::ALL.iter().filter(|event| event.family_and_label().0 == family);
        let one = |event: &Event| match event.family_and_label().1 {
            "" => counter(route.total(*event), &[("route", route.label())]),
            value => counter(route.total(*event), &[(label, value), ("route", route.label())]),
        };
        events.map(one).collect()
    };
    let used = m.all_attempts().into_iter().filter(|route| m.emits_zero() || route.is_used());
    used.flat_map(|route| of_route(&route)).collect()
}

fn by_outcome(stage: &StageMetrics) -> Vec<Metric> {
    let labels = |outcome: StageOutcome| [("outcome", outcome.name()), ("stage", stage.name())];
    StageOutcome::ALL.iter().map(|o| counter(stage.total(*o), &labels(*o))).collect()
}

fn compression(m: &Metrics, name: &str) -> Vec<Metric> {
    let of = |coding: ContentCoding| -> Vec<Metric> {
        let [responses, bytes_in, bytes_out] = m.compression().totals(coding);
        let label = ("encoding", coding.name());
        match name {
            "margay_compressed_responses_total" => vec![counter(responses, &[label])],
            _ => vec![
                counter(bytes_in, &[("direction", "in"), label]),
                counter(bytes_out, &[("direction", "out"), label]),
            ],
        }
    };
    ContentCoding::ALL.into_iter().flat_map(of).collect()
}

fn by_cache_outcome(cache: &CacheMetrics) -> Vec<Metric> {
    let labels = |outcome: CacheOutcome| [("outcome", outcome.name()), ("route", cache.label())];
    CacheOutcome::ALL.iter().map(|o| counter(cache.total(*o), &labels(*o))).collect()
}

fn by_error_code(route: &RouteMetrics) -> Vec<Metric> {
    let errors = route.errors();
    errors.iter().map(|(code, n)| counter(*n, &[("code", code), ("route", route.label())])).collect()
}

fn by_attempt_outcome(cluster: &ClusterMetrics) -> Vec<Metric> {
    let labels = |outcome: AttemptOutcome| [("cluster", cluster.label()), ("outcome", outcome.name())];
    AttemptOutcome::ALL.iter().map(|o| counter(cluster.total(*o), &labels(*o))).collect()
}
