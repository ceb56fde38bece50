//! Metrics of agents, their streams and device streams. All are events of connections, so shared atomics suffice.

pub(super) mod export;
pub(super) mod families;

use super::histogram::{HistogramTotals, bucket_index};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
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
    /// The outcome of a connection attempt of an agent or a connector.
    AgentConnect {
        Accepted = "accepted",
        Unauthorized = "unauthorized",
        Refused = "refused",
        Limited = "limited",
        Failed = "failed",
    }
    /// Why the connection of an agent ended.
    AgentLoss {
        Closed = "closed",
        Timeout = "timeout",
        Revoked = "revoked",
        Replaced = "replaced",
        Expired = "expired",
        Shutdown = "shutdown",
    }
    /// How a stream or a bridge ended.
    AgentStreamEnd {
        Closed = "closed",
        Reset = "reset",
        Idle = "idle",
        LimitBytes = "limit.bytes",
        LimitDuration = "limit.duration",
        AgentLost = "agent.lost",
        AgentRevoked = "agent.revoked",
        Shutdown = "shutdown",
        Refused = "refused",
    }
    /// The flow-control window for which a stream waited.
    AgentStall { Stream = "stream" }
    /// The outcome of the request for a device stream.
    DeviceHandshake {
        Accepted = "accepted",
        Rejected = "rejected",
        Unknown = "unknown",
        Offline = "offline",
        Timeout = "timeout",
        Unauthorized = "unauthorized",
        Throttled = "throttled",
        Invalid = "invalid",
        Canceled = "canceled",
        Disabled = "disabled",
    }
}

/// The counters of agents.
#[derive(Debug, Default)]
pub struct AgentMetrics {
    pub connected: AtomicI64,
    pub draining: AtomicI64,
    pub streams: AtomicI64,
    pub device_connections: AtomicI64,
    pub bridges: AtomicI64,
    /// Bytes to services and to clients.
    pub bytes_to_service: AtomicU64,
    pub bytes_to_client: AtomicU64,
    connects: [AtomicU64; AgentConnect::ALL.len()],
    losses: [AtomicU64; AgentLoss::ALL.len()],
    ends: [AtomicU64; AgentStreamEnd::ALL.len()],
    stalls: [AtomicU64; AgentStall::ALL.len()],
    handshakes: [AtomicU64; DeviceHandshake::ALL.len()],
    open_buckets: [AtomicU64; 16],
    open_sum_ns: AtomicU64,
}

impl AgentMetrics {
    /// Counts a connection attempt.
    pub fn count_connect(&self, outcome: AgentConnect) {
        self.connects[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts the end of an agent's connection.
    pub fn count_loss(&self, reason: AgentLoss) {
        self.losses[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts the end of a stream.
    pub fn count_end(&self, end: AgentStreamEnd) {
        self.ends[end as usize].fetch_add(1, Relaxed);
    }

    /// Counts a wait for a flow-control window.
    pub fn count_stall(&self, window: AgentStall) {
        self.stalls[window as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request for a device stream.
    pub fn count_handshake(&self, outcome: DeviceHandshake) {
        self.handshakes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Records the time from the request for a stream until the service was connected.
    pub fn record_open(&self, duration: Duration) {
        self.open_buckets[bucket_index(duration)].fetch_add(1, Relaxed);
        self.open_sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn open_totals(&self) -> HistogramTotals {
        let mut totals = HistogramTotals { sum_ns: self.open_sum_ns.load(Relaxed), ..Default::default() };
        for (to, from) in totals.buckets.iter_mut().zip(&self.open_buckets) {
            *to = from.load(Relaxed);
        }
        totals
    }
}
