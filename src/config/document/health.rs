//! `HealthCheckOptions`: probes, and what the failures of requests lead to.

use super::values::{List, Setting};
use crate::base::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// Probes of every address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ActiveHealthDocument {
    /// `Http`: a GET is answered as expected, over TLS where the service is spoken to over TLS; `Tcp`: a connection is
    /// accepted. Default: `Http`.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// Path and query that are asked for. Default: `/`.
    pub path: Setting<String>,
    /// The port that is asked, 1 to 65535. Default: that of the address.
    pub port: Setting<i32>,
    /// The time from one probe of an address to the next. 100ms to 1d. Default: `10s`.
    pub interval: Setting<DurationText>,
    /// The time for a probe; no longer than `Interval`. 10ms to 10m. Default: `2s`, or `Interval` where that is shorter.
    pub timeout: Setting<DurationText>,
    /// Up to so many percent of `Interval` a probe comes later, by chance. 0 to 100. Default: 10.
    pub jitter: Setting<i32>,
    /// Answers that are good: `200`, `200-299`, `2xx`. Default: `["200-299"]`.
    pub expected_status: List<String>,
    /// A text that the answer must hold within its first 64 KiB. Default: any answer will do.
    pub expected_body: Setting<String>,
    /// Good probes in a row after which an address is asked again. 1 to 1000. Default: 2.
    pub healthy_threshold: Setting<i32>,
    /// Bad probes in a row after which an address is asked no more; the very first probe decides at once. 1 to 1000.
    /// Default: 3.
    pub unhealthy_threshold: Setting<i32>,
}

/// What the failures of requests lead to: a failure is no answer, or one of `FailureStatuses`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PassiveHealthDocument {
    /// Failures in a row after which an address is left alone. 1 to 100000. Default: 5, or none where `FailureRatio` is set.
    pub consecutive_failures: Setting<i32>,
    /// The part of the requests within `Window`, more than 0 to 1, whose failure has an address left alone. Default: none.
    pub failure_ratio: Setting<f64>,
    /// Requests within `Window` before `FailureRatio` counts. 1 to 1000000. Default: 20.
    pub minimum_requests: Setting<i32>,
    /// The time over which the ratio is taken. 1s to 1h. Default: `10s`.
    pub window: Setting<DurationText>,
    /// How long an address is left alone the first time; each time that follows within `MaxEjectionTime` of the last one
    /// is twice as long. 100ms to 1d. Default: `30s`.
    pub ejection_time: Setting<DurationText>,
    /// The longest time. 100ms to 1d. Default: `5m`, or `EjectionTime` where that is longer.
    pub max_ejection_time: Setting<DurationText>,
    /// Not more percent of the addresses are left alone at one time. 1 to 100. Default: 50.
    pub max_ejected_percent: Setting<i32>,
    /// Answers that are failures: `503`, `500-599`, `5xx`. Default: `["500-599"]`.
    pub failure_statuses: List<String>,
}
