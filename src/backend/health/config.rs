//! Settings of health checks and outlier detection.

use crate::base::status_set::StatusSet;
use std::{sync::Arc, time::Duration};

/// The health settings of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthConfig {
    /// Active health checks.
    pub active: Option<Arc<ActiveCheck>>,
    /// Outlier detection.
    pub passive: Option<Arc<OutlierDetection>>,
    /// Panic threshold: below this percentage of eligible endpoints, health is ignored.
    pub panic_threshold: u32,
}

impl HealthConfig {
    /// Whether neither active checks nor outlier detection are configured.
    pub fn is_disabled(&self) -> bool {
        self.active.is_none() && self.passive.is_none()
    }

    /// Whether too few of the endpoints are eligible, so that all of them are used.
    pub fn is_panic(&self, eligible: usize, total: usize) -> bool {
        eligible * 100 < self.panic_threshold as usize * total
    }
}

/// How endpoints are probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActiveCheck {
    pub kind: ProbeKind,
    /// Overrides the port of the endpoint.
    pub port: Option<u16>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Each probe is delayed by a random time of up to this percentage of the interval.
    pub jitter: u32,
    /// Consecutive successful probes after which an unhealthy endpoint is healthy.
    pub healthy_threshold: u32,
    /// Consecutive failed probes after which a healthy endpoint is unhealthy.
    pub unhealthy_threshold: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Opens a connection.
    Tcp,
    /// Sends a GET request and checks the status, and the body if one is expected.
    Http { target: String, statuses: StatusSet, body: Option<Box<str>> },
    /// Sends a datagram and waits for a response, which contains this text if one is expected.
    Udp { datagram: Box<[u8]>, body: Option<Box<str>> },
}

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    /// Consecutive failures that eject an endpoint.
    pub consecutive_failures: Option<u32>,
    /// The share of failed requests within the window, 0 to 1, that ejects an endpoint.
    pub failure_ratio: Option<f64>,
    /// Minimum number of requests within the window for `failure_ratio`.
    pub min_requests: u32,
    pub window: Duration,
    /// The duration of the first ejection; each one that follows soon lasts twice as long.
    pub base_ejection_time: Duration,
    pub max_ejection_time: Duration,
    /// The maximum percentage of endpoints that are ejected at the same time.
    pub max_ejected_percent: u32,
    /// Response statuses that count as failures.
    pub statuses: StatusSet,
    /// Whether a forwarded connection that the endpoint ends within a second, without a byte, counts as a failure.
    pub counts_early_end: bool,
}
