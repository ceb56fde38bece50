//! Option objects after inheritance: old names folded into new ones, defaults filled in.

use crate::base::units::DurationText;
use crate::config::Spanned;
use crate::plan::document::{HttpHandlerOptions, LoadBalancerOptions, QosOptions, Setting};
use std::time::Duration;

fn text(set: &Setting<String>) -> Option<&Spanned<String>> {
    set.as_ref().filter(|text| !text.trim().is_empty())
}

fn or<T: Copy>(old: &Setting<T>, new: &Setting<T>) -> Option<Spanned<T>> {
    old.as_ref().or(new.as_ref()).map(|set| Spanned::new(set.value, set.span))
}

/// How one of several addresses is chosen.
#[derive(Clone, Debug, Default)]
pub struct ResolvedLoadBalancer {
    /// Absent or blank: always the first.
    pub kind: Option<Spanned<String>>,
    pub key: Option<Spanned<String>>,
    /// Milliseconds.
    pub expiry: Option<Spanned<i32>>,
    pub set_cookie: Option<Spanned<bool>>,
    pub hash_on: Option<Spanned<String>>,
}

impl ResolvedLoadBalancer {
    pub fn resolve(options: &LoadBalancerOptions) -> Self {
        ResolvedLoadBalancer {
            kind: text(&options.kind).cloned(),
            key: text(&options.key).cloned(),
            expiry: options.expiry.clone(),
            set_cookie: options.set_cookie.clone(),
            hash_on: text(&options.hash_on).cloned(),
        }
    }
}

/// Circuit breaker and time limit, as written; zero and less mean "not set" for each.
#[derive(Clone, Debug, Default)]
pub struct ResolvedQos {
    pub minimum_throughput: Option<Spanned<i32>>,
    pub break_duration: Option<Spanned<i32>>,
    pub failure_ratio: Option<Spanned<f64>>,
    pub sampling_duration: Option<Spanned<i32>>,
    pub timeout: Option<Spanned<i32>>,
    pub scope: Option<Spanned<String>>,
}

impl ResolvedQos {
    pub fn resolve(options: &QosOptions) -> Self {
        ResolvedQos {
            minimum_throughput: or(&options.exceptions_allowed_before_breaking, &options.minimum_throughput),
            break_duration: or(&options.duration_of_break, &options.break_duration),
            failure_ratio: options.failure_ratio.clone(),
            sampling_duration: options.sampling_duration.clone(),
            timeout: or(&options.timeout_value, &options.timeout),
            scope: text(&options.scope).cloned(),
        }
    }

    /// Whether any value switches it on.
    pub fn is_on(&self) -> bool {
        let positive = |set: &Option<Spanned<i32>>| set.as_ref().is_some_and(|n| n.value > 0);
        let ratio = self.failure_ratio.as_ref().is_some_and(|ratio| ratio.value > 0.0);
        positive(&self.minimum_throughput) || positive(&self.timeout) || ratio
    }
}

/// Settings of the client that calls a service.
#[derive(Clone, Debug)]
pub struct ResolvedHttpHandler {
    pub follow_redirects: Option<Spanned<bool>>,
    /// None: no limit.
    pub max_connections: Option<Spanned<i32>>,
    pub queue_limit: Option<Spanned<i64>>,
    pub queue_timeout: Option<Spanned<DurationText>>,
    pub connection_lifetime: Option<Spanned<i32>>,
    pub proxy_protocol: Option<Spanned<String>>,
    pub cookies: Option<Spanned<bool>>,
    pub proxy: Option<Spanned<bool>>,
    pub tracing: Option<Spanned<bool>>,
}

impl ResolvedHttpHandler {
    /// Seconds after which a kept connection is not used again, unless the options say otherwise.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(120);

    /// Only what is switched on, or differs from the default, is kept.
    pub fn resolve(options: &HttpHandlerOptions) -> Self {
        let on = |set: &Setting<bool>| set.as_ref().filter(|on| on.value).cloned();
        let connections = options.max_connections_per_server.as_ref();
        ResolvedHttpHandler {
            follow_redirects: on(&options.allow_auto_redirect),
            max_connections: connections.filter(|n| n.value > 0 && n.value < i32::MAX).cloned(),
            queue_limit: options.connection_queue_limit.clone(),
            queue_timeout: options.connection_queue_timeout.clone(),
            connection_lifetime: options.pooled_connection_lifetime_seconds.clone(),
            proxy_protocol: options.proxy_protocol.clone(),
            cookies: on(&options.use_cookie_container),
            proxy: on(&options.use_proxy),
            tracing: on(&options.use_tracing),
        }
    }
}
