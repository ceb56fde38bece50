//! Describes the resilience settings and the connection pool of a route for `explain`.

use crate::backend::attempt::{QosConfig, Scope, breaker::Trip, retry::RetryConfig as Retry};
use crate::base::units::DurationText;
use crate::net::connection_limit::PoolConfig;
use crate::plan::blueprint::RouteBlueprint;

/// Setting and description, for those that are set.
pub fn describe(route: &RouteBlueprint) -> Vec<(&'static str, String)> {
    let attempts = &route.attempts;
    let PoolConfig { proxy_protocol, limit, .. } = route.cluster.pooling;
    let fallback = attempts.fallback.as_ref().map(|fallback| {
        let cluster = route.fallback.as_ref().and_then(|other| other.name.as_ref());
        let cluster = cluster.map(|name| format!("cluster {name}"));
        let reply = fallback.reply.as_ref().map(|reply| format!("static response {}", reply.status));
        [cluster, reply].into_iter().flatten().collect::<Vec<_>>().join(", then ")
    });
    let settings = [
        ("QoSOptions", attempts.quality.as_ref().map(describe_qos)),
        ("RetryOptions", attempts.retry.as_ref().map(describe_retry)),
        ("FallbackOptions", fallback),
        ("DeadlineHeader", attempts.deadline_header.clone()),
        (
            "HttpHandlerOptions.MaxConnectionsPerServer",
            limit.map(|limit| format!("{}, queue of {}", limit.max_connections, limit.max_pending)),
        ),
        (
            "HttpHandlerOptions.ProxyProtocol",
            proxy_protocol.map(|version| format!("{version:?}, one client per connection")),
        ),
    ];
    settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn describe_qos(quality: &QosConfig) -> String {
    let circuit = quality.breaker.as_ref().map(|breaker| {
        let scope = if quality.scope == Scope::Endpoint { "per endpoint" } else { "per route" };
        let when = match &breaker.trip {
            Trip::ConsecutiveFailures(max) => format!("{max} consecutive failures"),
            Trip::FailureRatio { min_requests, ratio, window } => {
                format!("{:.0} % of at least {min_requests} within {}", ratio * 100.0, DurationText(*window))
            }
        };
        format!("circuit breaker {scope}: {when} open it for {}", DurationText(breaker.open_duration))
    });
    let limit = quality.timeout.map(|limit| format!("{} per attempt", DurationText(limit)));
    [circuit, limit].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn describe_retry(retry: &Retry) -> String {
    let on = [("connect", retry.on_connect), ("reset", retry.on_reset), ("timeout", retry.on_timeout)];
    let mut on: Vec<String> = on.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()).collect();
    on.extend(retry.statuses.iter().map(u16::to_string));
    on.extend(retry.grpc_codes.iter().map(|code| format!("gRPC {code}")));
    let each =
        retry.per_try_timeout.map_or(String::new(), |each| format!(", {} per try", DurationText(each)));
    format!("{} attempts{each}, retried on {}", retry.max_attempts, on.join(", "))
}
