//! Metrics of realtime hubs: connections by service, hub and protocol, and counters of the process.

pub(super) mod export;
pub(super) mod families;

use super::histogram::{HistogramTotals, bucket_index};
use super::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Declares the values of a label, in the order in which they are exported.
macro_rules! label_values {
    ($($(#[$meta:meta])* $name:ident { $($value:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($value),* }

        impl $name {
            /// All values.
            pub const ALL: &[$name] = &[$($name::$value),*];

            /// The label value.
            pub fn name(self) -> &'static str {
                match self { $($name::$value => $text),* }
            }
        }
    )*};
}

label_values! {
    /// The outcome of a handshake.
    HubHandshake { Accepted = "accepted", Rejected = "rejected", Failed = "failed" }
    /// Why a connection ended.
    HubClose {
        Normal = "Normal",
        ClosedByAppServer = "ClosedByAppServer",
        ServiceReload = "ServiceReload",
        PingTimeout = "PingTimeout",
        SlowClient = "SlowClient",
        Protocol = "Protocol",
        Drain = "Drain",
    }
    /// The direction of a message.
    HubDirection { In = "in", Out = "out" }
    /// The outcome of a message with an ack id.
    HubAck { Success = "success", Duplicate = "duplicate", Forbidden = "forbidden", Failed = "failed" }
    /// The outcome of a recovery.
    HubRecovery { Recovered = "recovered", Rejected = "rejected", Unavailable = "unavailable" }
    /// Where the affinity of a SignalR request led.
    AffinityOutcome { Matched = "matched", Missing = "missing", Invalid = "invalid", Gone = "gone" }
    /// The kind of an event.
    HubEvent {
        Connect = "connect",
        Connected = "connected",
        Disconnected = "disconnected",
        Joined = "joined",
        Left = "left",
        User = "user",
        Validate = "validate",
    }
    /// The outcome of an event.
    HubEventOutcome { Success = "success", Rejected = "rejected", Failed = "failed", Dropped = "dropped" }
}

/// Connections of one hub by protocol.
#[derive(Debug)]
pub struct HubGauges {
    service: Box<str>,
    hub: Box<str>,
    protocols: Registry<AtomicI64>,
}

impl HubGauges {
    /// The gauge of a protocol.
    pub fn connections(&self, protocol: &str) -> Arc<AtomicI64> {
        self.protocols.get_or_insert_with(protocol, AtomicI64::default)
    }
}

/// A histogram that several threads write.
#[derive(Debug, Default)]
struct SharedHistogram {
    buckets: [AtomicU64; 16],
    sum_ns: AtomicU64,
}

impl SharedHistogram {
    fn record(&self, duration: Duration) {
        self.buckets[bucket_index(duration)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn totals(&self) -> HistogramTotals {
        let mut totals = HistogramTotals { sum_ns: self.sum_ns.load(Relaxed), ..HistogramTotals::default() };
        for (total, bucket) in totals.buckets.iter_mut().zip(&self.buckets) {
            *total = bucket.load(Relaxed);
        }
        totals
    }
}

/// The metrics of all hubs.
#[derive(Debug, Default)]
pub struct HubMetrics {
    hubs: Registry<HubGauges>,
    detached: AtomicI64,
    queued_bytes: AtomicI64,
    handshakes: [AtomicU64; 3],
    closes: [AtomicU64; 7],
    messages: [AtomicU64; 2],
    message_bytes: [AtomicU64; 2],
    acks: [AtomicU64; 4],
    recoveries: [AtomicU64; 3],
    affinity: [AtomicU64; 4],
    expired: AtomicU64,
    events: [[AtomicU64; 4]; 7],
    event_durations: SharedHistogram,
    is_backplane_up: AtomicBool,
    backplane_messages: [AtomicU64; 2],
    backplane_delays: SharedHistogram,
}

impl HubMetrics {
    /// The gauges of a hub; all hubs without an entry in the configuration share the label `*`.
    pub fn hub(&self, service: &str, hub: &str) -> Arc<HubGauges> {
        self.hubs.get_or_insert_with(&format!("{service}/{hub}"), || HubGauges {
            service: service.into(),
            hub: hub.into(),
            protocols: Registry::default(),
        })
    }

    /// Changes the number of sessions without a socket.
    pub fn add_detached(&self, change: i64) {
        self.detached.fetch_add(change, Relaxed);
    }

    /// Changes the number of queued bytes.
    pub fn add_queued_bytes(&self, change: i64) {
        self.queued_bytes.fetch_add(change, Relaxed);
    }

    /// The number of queued bytes.
    pub fn queued_bytes(&self) -> i64 {
        self.queued_bytes.load(Relaxed)
    }

    /// Counts a handshake.
    pub fn count_handshake(&self, outcome: HubHandshake) {
        self.handshakes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection that ended.
    pub fn count_close(&self, reason: HubClose) {
        self.closes[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts messages and their bytes.
    pub fn count_messages(&self, direction: HubDirection, messages: u64, bytes: u64) {
        self.messages[direction as usize].fetch_add(messages, Relaxed);
        self.message_bytes[direction as usize].fetch_add(bytes, Relaxed);
    }

    /// Counts a message with an ack id.
    pub fn count_ack(&self, outcome: HubAck) {
        self.acks[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts a recovery.
    pub fn count_recovery(&self, outcome: HubRecovery) {
        self.recoveries[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request of a SignalR connection.
    pub fn count_affinity(&self, outcome: AffinityOutcome) {
        self.affinity[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts messages that expired before they were written.
    pub fn count_expired(&self, messages: u64) {
        self.expired.fetch_add(messages, Relaxed);
    }

    /// Counts an event.
    pub fn count_event(&self, event: HubEvent, outcome: HubEventOutcome) {
        self.events[event as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    /// Records the duration of a call of an event handler.
    pub fn record_event_duration(&self, duration: Duration) {
        self.event_durations.record(duration);
    }

    /// Records whether the backplane is reachable.
    pub fn set_backplane_up(&self, is_up: bool) {
        self.is_backplane_up.store(is_up, Relaxed);
    }

    /// Counts messages of the backplane.
    pub fn count_backplane_message(&self, direction: HubDirection) {
        self.backplane_messages[direction as usize].fetch_add(1, Relaxed);
    }

    /// Records the time that a message took from its node to this one.
    pub fn record_backplane_delay(&self, delay: Duration) {
        self.backplane_delays.record(delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn connections_are_exported_by_service_hub_and_protocol_once_a_hub_is_used() {
        let metrics = Metrics::new(1);
        assert!(!metrics.render().contains("margay_hub"), "no hub is used");
        metrics.hubs().hub("rt", "chat").connections("simple").fetch_add(2, Relaxed);
        metrics.hubs().count_close(HubClose::SlowClient);
        metrics.hubs().count_event(HubEvent::User, HubEventOutcome::Failed);
        let text = metrics.render();
        for line in [
            "margay_hub_connections{service=\"rt\",hub=\"chat\",protocol=\"simple\"} 2",
            "margay_hub_connections_closed_total{reason=\"SlowClient\"} 1",
            "margay_hub_events_total{event=\"user\",outcome=\"failed\"} 1",
            "margay_hub_backplane_up 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
