//! `RetryOptions` as the document has them.

use crate::base::units::{DurationText, SizeText};
use crate::config::options::option_objects;
use crate::config::values::{List, Setting};

option_objects! {
    /// Retries: which failed attempts are retried, each on another endpoint if there is one.
    RetryOptions, GlobalRetryOptions {
        /// Whether failed attempts are retried. Default: true once any option is set.
        enable_retry: Setting<bool>,
        /// Maximum number of attempts, including the first. 1 to 10. Default: 3.
        attempts: Setting<i64>,
        /// Failures that are retried: any of `Connect` (no connection), `Reset` (connection closed before the response)
        /// and `Timeout` (no response within `PerTryTimeout` or the `Timeout` of `QoSOptions`). Default: all three.
        on: List<String>,
        /// Response statuses that are retried, 400 to 599. Default: `[502, 503, 504]`.
        on_status: List<i32>,
        /// gRPC status codes that are retried, by name or number, if the response carries them in its header fields.
        /// Default: `[]`. Source: gRPC, Status codes.
        on_grpc_status: List<String>,
        /// Methods that may be retried. Default: the idempotent methods GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
        /// Source: RFC 9110, 9.2.2.
        methods: List<String>,
        /// Timeout of one attempt, including connecting. 1ms to 1h, less than `Timeout`. Default: none, `Timeout`
        /// applies to all attempts together.
        per_try_timeout: Setting<DurationText>,
        /// Base of the exponential backoff with full jitter: attempt *n* waits a random time up to `MinBackoff ·
        /// 2^(n−2)`, capped by `MaxBackoff`. 0s to 1m. Default: `25ms`.
        min_backoff: Setting<DurationText>,
        /// Upper bound of the backoff. 0s to 1m. Default: `1s`.
        max_backoff: Setting<DurationText>,
        /// Whether the backoff is at least the `Retry-After` of the response; if that is longer than the remaining time
        /// of `Timeout`, the response is passed to the client. Default: true. Source: RFC 9110, 10.2.3.
        honour_retry_after: Setting<bool>,
        /// Maximum size of a request body that is buffered for retries; requests with larger bodies are sent once. 0B
        /// to 16MiB. Default: `64KiB`.
        max_replay_size: Setting<SizeText>,
        /// Retry budget: whether the retries within ten seconds are limited to a ratio of the requests to the cluster.
        /// Default: true.
        enable_budget: Setting<bool>,
        /// Ratio of retries to requests that the budget allows. 0 to 10. Default: 0.2.
        budget_ratio: Setting<f64>,
        /// Retries within ten seconds that are allowed regardless of the ratio. 0 or more. Default: 10.
        budget_minimum: Setting<i64>,
    }
}
