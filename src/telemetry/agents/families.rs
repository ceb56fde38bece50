//! The metrics of agents: name, help, type and labels.

use prometheus::proto::MetricType;

/// The families of agents.
pub(in crate::telemetry) const AGENT_FAMILIES: &[(&str, &str, MetricType, &[&str])] = &[
    ("margay_agents", "Connections of agents by state.", MetricType::GAUGE, &["state"]),
    (
        "margay_agent_connects_total",
        "Connection attempts of agents and connectors by outcome.",
        MetricType::COUNTER,
        &["outcome"],
    ),
    (
        "margay_agent_lost_total",
        "Connections of agents that ended, by reason.",
        MetricType::COUNTER,
        &["reason"],
    ),
    ("margay_agent_streams", "Open streams to services of agents.", MetricType::GAUGE, &[]),
    (
        "margay_agent_streams_total",
        "Streams to services of agents that ended or were refused, by end.",
        MetricType::COUNTER,
        &["end"],
    ),
    (
        "margay_agent_open_seconds",
        "Time from the request for a stream until the service was connected.",
        MetricType::HISTOGRAM,
        &[],
    ),
    ("margay_agent_bytes_total", "Bytes of streams by receiver.", MetricType::COUNTER, &["to"]),
    (
        "margay_agent_stalls_total",
        "Waits of streams for a flow-control window.",
        MetricType::COUNTER,
        &["window"],
    ),
    ("margay_device_connections", "MQTT connections of devices.", MetricType::GAUGE, &[]),
    (
        "margay_device_handshakes_total",
        "Requests for device streams by outcome.",
        MetricType::COUNTER,
        &["outcome"],
    ),
    ("margay_bridges", "Open bridges of device streams.", MetricType::GAUGE, &[]),
];
