//! The metrics of realtime hubs: name, help, type and labels.

use prometheus::proto::MetricType;

/// The families of hubs.
pub(in crate::telemetry) const HUB_FAMILIES: &[(&str, &str, MetricType, &[&str])] = &[
    (
        "margay_hub_connections",
        "Connections of hubs by subprotocol, sessions without a socket included; hubs without an entry share the label *.",
        MetricType::GAUGE,
        &["service", "hub", "protocol"],
    ),
    ("margay_hub_detached_sessions", "Sessions of hubs without a socket.", MetricType::GAUGE, &[]),
    (
        "margay_hub_handshakes_total",
        "Handshakes of hub clients: accepted, rejected because of the client, or failed for another reason.",
        MetricType::COUNTER,
        &["outcome"],
    ),
    (
        "margay_hub_connections_closed_total",
        "Connections of hubs that ended, by reason: Normal, ClosedByAppServer, ServiceReload, PingTimeout, SlowClient, Protocol, Drain.",
        MetricType::COUNTER,
        &["reason"],
    ),
    ("margay_hub_messages_total", "Messages of hub clients.", MetricType::COUNTER, &["direction"]),
    (
        "margay_hub_message_bytes_total",
        "Bytes of the messages of hub clients.",
        MetricType::COUNTER,
        &["direction"],
    ),
    (
        "margay_hub_acks_total",
        "Messages with an ack id by outcome: success, duplicate, forbidden, failed.",
        MetricType::COUNTER,
        &["outcome"],
    ),
    ("margay_hub_queued_bytes", "Bytes queued for hub clients.", MetricType::GAUGE, &[]),
    (
        "margay_hub_expired_messages_total",
        "Messages not written because their time to live was over.",
        MetricType::COUNTER,
        &[],
    ),
    (
        "margay_hub_recoveries_total",
        "Recoveries of sessions: recovered, rejected (unknown session or wrong token), unavailable (owner not reachable).",
        MetricType::COUNTER,
        &["outcome"],
    ),
    (
        "margay_signalr_affinity_total",
        "Requests of SignalR connections by affinity: matched, missing or invalid tag, gone (the instance is not reachable).",
        MetricType::COUNTER,
        &["outcome"],
    ),
    (
        "margay_hub_events_total",
        "Events for event handlers: connect, connected, disconnected, joined, left, user, validate.",
        MetricType::COUNTER,
        &["event", "outcome"],
    ),
    (
        "margay_hub_event_duration_seconds",
        "Time that event handlers took to respond.",
        MetricType::HISTOGRAM,
        &[],
    ),
    (
        "margay_hub_backplane_up",
        "1 while the backplane of hubs is reachable, or if there is one node.",
        MetricType::GAUGE,
        &[],
    ),
    (
        "margay_hub_backplane_messages_total",
        "Messages of the backplane of hubs.",
        MetricType::COUNTER,
        &["direction"],
    ),
    (
        "margay_hub_backplane_delay_seconds",
        "Time from the publication of a message on another node to its receipt.",
        MetricType::HISTOGRAM,
        &[],
    ),
];
