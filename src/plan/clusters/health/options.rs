//! `HealthCheckOptions` as the document has them.

use crate::base::units::DurationText;
use crate::config::options::{IsBlank, option_objects};
use crate::config::values::{List, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
    /// Health checks: which endpoints are eligible for requests.
    HealthCheckOptions, GlobalHealthCheckOptions {
        /// Active health checks: probes every endpoint periodically. Default: off.
        active: Setting<ActiveHealthDocument>,
        /// Outlier detection: temporarily ejects an endpoint after failed requests. Default: off.
        passive: Setting<PassiveHealthDocument>,
        /// Panic threshold: below this percentage of healthy endpoints, health is ignored and all endpoints are used. 0
        /// to 100. Default: 0, never; with no healthy endpoint the response is 503 `backend.no_endpoint`.
        panic_threshold: Setting<i32>,
    }
}

/// Active health checks: periodic probes of every endpoint.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ActiveHealthDocument {
    /// `Http`: the response to a GET has the expected status, over TLS if the backend uses TLS; `Tcp`: a connection is
    /// accepted; `Udp`: a datagram is answered. Default: `Http`; on transport routes `Tcp`, or `Udp` on UDP listeners.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// Path and query of the probe. Default: `/`.
    pub path: Setting<String>,
    /// The port of the probe, 1 to 65535. Default: that of the endpoint.
    pub port: Setting<i32>,
    /// Time between two probes of an endpoint. 100ms to 1d. Default: `10s`.
    pub interval: Setting<DurationText>,
    /// Timeout of a probe; at most `Interval`. 10ms to 10m. Default: `2s`, or `Interval` if that is shorter.
    pub timeout: Setting<DurationText>,
    /// Maximum random delay of a probe, in percent of `Interval`. 0 to 100. Default: 10.
    pub jitter: Setting<i32>,
    /// Statuses of a successful probe: `200`, `200-299`, `2xx`. Default: `["200-299"]`.
    pub expected_status: List<String>,
    /// A text that the response must contain within its first 64 KiB. Default: none, any body is accepted.
    pub expected_body: Setting<String>,
    /// `Udp`: the datagram that is sent, as text; `\xNN` is the byte with the hexadecimal number NN. Default: an empty
    /// datagram.
    pub send: Setting<String>,
    /// `Udp`: the datagram that is sent, in base64. Not together with `Send`. Default: none.
    pub send_base64: Setting<String>,
    /// Consecutive successful probes after which an unhealthy endpoint becomes healthy. 1 to 1000. Default: 2.
    pub healthy_threshold: Setting<i32>,
    /// Consecutive failed probes after which an endpoint becomes unhealthy; the very first probe decides immediately. 1
    /// to 1000. Default: 3.
    pub unhealthy_threshold: Setting<i32>,
}

/// Outlier detection: ejects endpoints by the results of requests. A request fails if there is no response, or one with
/// a status of `FailureStatuses`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PassiveHealthDocument {
    /// Consecutive failures after which an endpoint is ejected. 1 to 100000. Default: 5, or none if `FailureRatio` is
    /// set.
    pub consecutive_failures: Setting<i32>,
    /// Ratio of failed requests within `Window` at which an endpoint is ejected. More than 0, at most 1. Default: none.
    pub failure_ratio: Setting<f64>,
    /// Minimum number of requests within `Window` before `FailureRatio` applies. 1 to 1000000. Default: 20.
    pub minimum_requests: Setting<i32>,
    /// The window over which the failure ratio is measured. 1s to 1h. Default: `10s`.
    pub window: Setting<DurationText>,
    /// Duration of the first ejection; each further one within `MaxEjectionTime` of the previous one doubles it. 100ms
    /// to 1d. Default: `30s`.
    pub ejection_time: Setting<DurationText>,
    /// Upper bound of the ejection time. 100ms to 1d. Default: `5m`, or `EjectionTime` if that is longer.
    pub max_ejection_time: Setting<DurationText>,
    /// Maximum percentage of the endpoints that may be ejected concurrently. 1 to 100. Default: 50.
    pub max_ejected_percent: Setting<i32>,
    /// Statuses that count as failures: `503`, `500-599`, `5xx`. Not on transport routes. Default: `["500-599"]`.
    pub failure_statuses: List<String>,
    /// Transport routes: whether a connection that the service ends within a second of being opened, before its first
    /// byte, counts as a failure. Default: false.
    pub early_end_is_failure: Setting<bool>,
}

impl IsBlank for ActiveHealthDocument {}
impl IsBlank for PassiveHealthDocument {}
