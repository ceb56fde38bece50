//! Option objects after inheritance: old names folded into new ones, defaults filled in.

use crate::base::units::DurationText;
use crate::config::document::{
    AuthenticationOptions, HttpHandlerOptions, List, LoadBalancerOptions, QosOptions, RateLimitDocument,
    RateLimitOptions, Setting,
};
use crate::config::{Span, Spanned};
use std::time::Duration;

fn text(set: &Setting<String>) -> Option<&Spanned<String>> {
    set.as_ref().filter(|text| !text.trim().is_empty())
}

fn texts(list: &List<String>) -> Vec<Spanned<String>> {
    list.as_ref().map(|list| list.value.clone()).unwrap_or_default()
}

fn or<T: Copy>(old: &Setting<T>, new: &Setting<T>) -> Option<Spanned<T>> {
    old.as_ref().or(new.as_ref()).map(|set| Spanned::new(set.value, set.span))
}

/// Who may call.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    pub allow_anonymous: bool,
    pub scopes: Vec<Spanned<String>>,
    /// Names of schemes in the order in which they are tried, the old single one first.
    pub schemes: Vec<Spanned<String>>,
}

impl Authentication {
    pub fn resolve(options: &AuthenticationOptions) -> Self {
        let mut schemes: Vec<_> = text(&options.authentication_provider_key).cloned().into_iter().collect();
        schemes.extend(texts(&options.authentication_provider_keys));
        Authentication {
            allow_anonymous: options.allow_anonymous.as_ref().is_some_and(|on| on.value),
            scopes: texts(&options.allowed_scopes),
            schemes,
        }
    }

    /// The first scheme, when callers must prove who they are at all.
    pub fn is_requested(&self) -> Option<&Spanned<String>> {
        self.schemes.iter().find(|name| !name.trim().is_empty()).filter(|_| !self.allow_anonymous)
    }
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

/// How often one client may call.
#[derive(Clone, Debug)]
pub struct RateLimit {
    pub client_id_header: String,
    pub whitelist: Vec<Spanned<String>>,
    pub headers: bool,
    pub limit: i64,
    pub period: String,
    pub wait: String,
    pub status: i32,
    pub message: String,
    pub key_prefix: String,
    /// Where limit, period, wait and status are written; none: the default.
    pub places: [Option<Span>; 4],
    pub algorithm: Option<Spanned<String>>,
    pub burst: Option<Spanned<i64>>,
    /// None: Ocelot's.
    pub partition: Option<Vec<Spanned<String>>>,
    /// Limits beside the one above.
    pub nested_limits: Vec<Spanned<RateLimitDocument>>,
}

impl RateLimit {
    pub fn resolve(options: &RateLimitOptions) -> Self {
        let status = or(&options.http_status_code, &options.status_code);
        let wait = match &options.period_timespan {
            Some(seconds) => format!("{}s", seconds.value),
            None => with_default(&options.wait, "0ms"),
        };
        let partition = texts(&options.partition_by);
        RateLimit {
            places: places(options),
            algorithm: text(&options.algorithm).cloned(),
            burst: options.burst.clone(),
            partition: Some(partition).filter(|parts| !parts.is_empty()),
            nested_limits: options.limits.as_ref().map(|list| list.value.clone()).unwrap_or_default(),
            client_id_header: with_default(&options.client_id_header, "Oc-Client"),
            whitelist: texts(&options.client_whitelist),
            headers: match &options.disable_rate_limit_headers {
                Some(disabled) => !disabled.value,
                None => options.enable_headers.as_ref().is_none_or(|on| on.value),
            },
            limit: options.limit.as_ref().map_or(0, |limit| limit.value.saturating_abs()),
            period: with_default(&options.period, "1s"),
            wait,
            status: status.map_or(429, |status| status.value),
            message: prefer_legacy(&options.quota_exceeded_message, &options.quota_message, QUOTA_MESSAGE),
            key_prefix: prefer_legacy(
                &options.rate_limit_counter_prefix,
                &options.key_prefix,
                "Ocelot.RateLimiting",
            ),
        }
    }
}

/// What a client is told that called too often, unless the options say otherwise.
const QUOTA_MESSAGE: &str = "API calls quota exceeded! Maximum admitted {0} per {1}.";

/// Where limit, period, wait and status are written.
fn places(options: &RateLimitOptions) -> [Option<Span>; 4] {
    let wait = options.period_timespan.as_ref().map(|set| set.span);
    [
        options.limit.as_ref().map(|set| set.span),
        options.period.as_ref().map(|set| set.span),
        wait.or(options.wait.as_ref().map(|set| set.span)),
        or(&options.http_status_code, &options.status_code).map(|set| set.span),
    ]
}

fn with_default(set: &Setting<String>, default: &str) -> String {
    text(set).map_or_else(|| default.to_owned(), |text| text.value.clone())
}

fn prefer_legacy(old: &Setting<String>, new: &Setting<String>, default: &str) -> String {
    text(old).map_or_else(|| with_default(new, default), |text| text.value.clone())
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
