//! Samples of the metrics of hubs.

use super::{
    AffinityOutcome, HubAck, HubClose, HubDirection, HubEvent, HubEventOutcome, HubHandshake, HubMetrics,
    HubRecovery,
};
use crate::telemetry::samples::{counter, gauge, histogram};
use prometheus::proto::Metric;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The samples of a family; none before a hub is used.
pub(in crate::telemetry) fn samples(name: &str, metrics: &HubMetrics) -> Vec<Metric> {
    if name == "margay_signalr_affinity_total" {
        return affinity(metrics);
    }
    if !metrics.is_used() {
        return Vec::new();
    }
    let total = |of: &AtomicU64| vec![counter(of.load(Relaxed), &[])];
    let level = |of: &AtomicI64| vec![gauge(u64::try_from(of.load(Relaxed)).unwrap_or(0), &[])];
    match name {
        "margay_hub_connections" => connections(metrics),
        "margay_hub_detached_sessions" => level(&metrics.detached),
        "margay_hub_queued_bytes" => level(&metrics.queued_bytes),
        "margay_hub_expired_messages_total" => total(&metrics.expired),
        "margay_hub_event_duration_seconds" => vec![histogram(&metrics.event_durations.totals(), &[])],
        "margay_hub_backplane_up" => {
            vec![gauge(u64::from(metrics.is_backplane_up.load(Relaxed)), &[])]
        }
        "margay_hub_backplane_delay_seconds" => vec![histogram(&metrics.backplane_delays.totals(), &[])],
        "margay_hub_events_total" => events(metrics),
        name => by_label(name, metrics),
    }
}

fn by_label(name: &str, metrics: &HubMetrics) -> Vec<Metric> {
    let directions: Vec<_> = HubDirection::ALL.iter().map(|value| value.name()).collect();
    let (label, values, counts): (_, Vec<&'static str>, &[AtomicU64]) = match name {
        "margay_hub_handshakes_total" => {
            ("outcome", HubHandshake::ALL.iter().map(|value| value.name()).collect(), &metrics.handshakes)
        }
        "margay_hub_connections_closed_total" => {
            ("reason", HubClose::ALL.iter().map(|value| value.name()).collect(), &metrics.closes)
        }
        "margay_hub_acks_total" => {
            ("outcome", HubAck::ALL.iter().map(|value| value.name()).collect(), &metrics.acks)
        }
        "margay_hub_recoveries_total" => {
            ("outcome", HubRecovery::ALL.iter().map(|value| value.name()).collect(), &metrics.recoveries)
        }
        "margay_hub_messages_total" => ("direction", directions, &metrics.messages),
        "margay_hub_message_bytes_total" => ("direction", directions, &metrics.message_bytes),
        _ => ("direction", directions, &metrics.backplane_messages),
    };
    let sample = |(value, count): (&&str, &AtomicU64)| counter(count.load(Relaxed), &[(label, *value)]);
    values.iter().zip(counts).map(sample).collect()
}

fn connections(metrics: &HubMetrics) -> Vec<Metric> {
    let of_hub = |hub: std::sync::Arc<super::HubGauges>| -> Vec<Metric> {
        let sample = |(protocol, count): (Box<str>, std::sync::Arc<AtomicI64>)| {
            let labels = [("service", &*hub.service), ("hub", &*hub.hub), ("protocol", &*protocol)];
            gauge(u64::try_from(count.load(Relaxed)).unwrap_or(0), &labels)
        };
        hub.protocols.entries().into_iter().map(sample).collect()
    };
    metrics.hubs.handles().into_iter().flat_map(of_hub).collect()
}

/// Once a request had or needed a tag.
fn affinity(metrics: &HubMetrics) -> Vec<Metric> {
    if metrics.affinity.iter().all(|count| count.load(Relaxed) == 0) {
        return Vec::new();
    }
    let sample = |(outcome, count): (&AffinityOutcome, &AtomicU64)| {
        counter(count.load(Relaxed), &[("outcome", outcome.name())])
    };
    AffinityOutcome::ALL.iter().zip(&metrics.affinity).map(sample).collect()
}

fn events(metrics: &HubMetrics) -> Vec<Metric> {
    let mut samples = Vec::new();
    for (event, counts) in HubEvent::ALL.iter().zip(&metrics.events) {
        for (outcome, count) in HubEventOutcome::ALL.iter().zip(counts) {
            let labels = [("event", event.name()), ("outcome", outcome.name())];
            match count.load(Relaxed) {
                0 => {}
                n => samples.push(counter(n, &labels)),
            }
        }
    }
    samples
}

impl HubMetrics {
    /// Whether a hub was used since the start.
    fn is_used(&self) -> bool {
        !self.hubs.handles().is_empty() || self.handshakes.iter().any(|count| count.load(Relaxed) > 0)
    }
}
