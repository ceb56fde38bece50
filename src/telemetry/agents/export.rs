//! Samples of the metrics of agents.

use super::{AgentConnect, AgentLoss, AgentMetrics, AgentStall, AgentStreamEnd, DeviceHandshake};
use crate::telemetry::samples::{counter, gauge, histogram};
use prometheus::proto::Metric;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The samples of a family; none before an agent, a connector or a device has connected.
pub(in crate::telemetry) fn samples(name: &str, metrics: &AgentMetrics) -> Vec<Metric> {
    if !metrics.is_used() {
        return Vec::new();
    }
    let level = |of: &AtomicI64| u64::try_from(of.load(Relaxed)).unwrap_or(0);
    match name {
        "margay_agents" => vec![
            gauge(level(&metrics.connected), &[("state", "connected")]),
            gauge(level(&metrics.draining), &[("state", "draining")]),
        ],
        "margay_agent_streams" => vec![gauge(level(&metrics.streams), &[])],
        "margay_device_connections" => vec![gauge(level(&metrics.device_connections), &[])],
        "margay_bridges" => vec![gauge(level(&metrics.bridges), &[])],
        "margay_agent_open_seconds" => vec![histogram(&metrics.open_totals(), &[])],
        "margay_agent_bytes_total" => vec![
            counter(metrics.bytes_to_service.load(Relaxed), &[("to", "service")]),
            counter(metrics.bytes_to_client.load(Relaxed), &[("to", "client")]),
        ],
        name => by_label(name, metrics),
    }
}

fn by_label(name: &str, metrics: &AgentMetrics) -> Vec<Metric> {
    let (label, values, counts): (_, Vec<&'static str>, &[AtomicU64]) = match name {
        "margay_agent_connects_total" => {
            ("outcome", AgentConnect::ALL.iter().map(|value| value.name()).collect(), &metrics.connects)
        }
        "margay_agent_lost_total" => {
            ("reason", AgentLoss::ALL.iter().map(|value| value.name()).collect(), &metrics.losses)
        }
        "margay_agent_streams_total" => {
            ("end", AgentStreamEnd::ALL.iter().map(|value| value.name()).collect(), &metrics.ends)
        }
        "margay_agent_stalls_total" => {
            ("window", AgentStall::ALL.iter().map(|value| value.name()).collect(), &metrics.stalls)
        }
        _ => {
            ("outcome", DeviceHandshake::ALL.iter().map(|value| value.name()).collect(), &metrics.handshakes)
        }
    };
    let sample = |(value, count): (&&str, &AtomicU64)| counter(count.load(Relaxed), &[(label, *value)]);
    values.iter().zip(counts).map(sample).collect()
}

impl AgentMetrics {
    /// Whether anything was counted since the start.
    fn is_used(&self) -> bool {
        let counts = self.connects.iter().chain(&self.handshakes).chain(&self.ends);
        let mut counts = counts;
        counts.any(|count| count.load(Relaxed) > 0) || self.device_connections.load(Relaxed) > 0
    }
}
