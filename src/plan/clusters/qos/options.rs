//! `QoSOptions` as the document has them.

use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// Circuit breaker and timeout.
    QosOptions, GlobalQosOptions {
        /// Consecutive failures that open the circuit; with `FailureRatio` the minimum number of calls in the sampling
        /// window. Default: none, no circuit breaker. Source: Ocelot, Quality of Service.
        minimum_throughput: Setting<i32>,
        /// Legacy name of `MinimumThroughput`; takes precedence if both are present. Source: Ocelot, Quality of
        /// Service.
        exceptions_allowed_before_breaking: Setting<i32>,
        /// Milliseconds for which an open circuit rejects requests, before one trial request is admitted (half-open).
        /// Default: 5000. Source: Ocelot, Quality of Service.
        break_duration: Setting<i32>,
        /// Legacy name of `BreakDuration`; takes precedence if both are present. Source: Ocelot, Quality of Service.
        duration_of_break: Setting<i32>,
        /// Ratio of failed calls that opens the circuit, 0 to 1. Default: none, consecutive failures are counted.
        /// Source: Ocelot, Quality of Service (since 24.1).
        failure_ratio: Setting<f64>,
        /// The sampling window of `FailureRatio` in milliseconds. Default: 10000. Source: Ocelot, Quality of Service
        /// (since 24.1).
        sampling_duration: Setting<i32>,
        /// Timeout of one call in milliseconds. Default: none. Source: Ocelot, Quality of Service.
        timeout: Setting<i32>,
        /// Legacy name of `Timeout`; takes precedence if both are present. Source: Ocelot, Quality of Service.
        timeout_value: Setting<i32>,
        /// What one circuit protects: the `Route`, or each `Endpoint` of its cluster; an endpoint with an open circuit
        /// is not selected. Default: `Route`.
        scope: Setting<String>,
    }
}
