//! What a route does about services that fail, and how it keeps connections to them, in words for `explain`.

use super::blueprint::RouteBlueprint;
use crate::backend::attempt::{QosConfig, Scope, breaker::Trip, retry::RetryConfig as Retry};
use crate::base::units::DurationText;
use crate::net::connection_limit::PoolConfig;

/// Setting and what it says, for those that are there.
pub fn describe(route: &RouteBlueprint) -> Vec<(&'static str, String)> {
    let settings = &route.attempts;
    let PoolConfig { proxy_protocol: announces, limit, .. } = route.cluster.pooling;
    let fallback = settings.fallback.as_ref().map(|fallback| {
        let cluster = route.fallback.as_ref().and_then(|other| other.name.as_ref());
        let cluster = cluster.map(|name| format!("the cluster {name}"));
        let reply = fallback.reply.as_ref().map(|reply| format!("a fixed {}", reply.status));
        [cluster, reply].into_iter().flatten().collect::<Vec<_>>().join(", then ")
    });
    let told = [
        ("QoSOptions", settings.quality.as_ref().map(describe_qos)),
        ("RetryOptions", settings.retry.as_ref().map(describe_retry)),
        ("FallbackOptions", fallback),
        ("DeadlineHeader", settings.deadline_header.clone()),
        (
            "HttpHandlerOptions.MaxConnectionsPerServer",
            limit.map(|limit| format!("{}, and {} may wait", limit.max_connections, limit.max_pending)),
        ),
        (
            "HttpHandlerOptions.ProxyProtocol",
            announces.map(|version| format!("{version:?}, a connection serves one client")),
        ),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn describe_qos(quality: &QosConfig) -> String {
    let circuit = quality.breaker.as_ref().map(|breaker| {
        let before = if quality.scope == Scope::Endpoint { "each address" } else { "the route" };
        let when = match &breaker.trip {
            Trip::ConsecutiveFailures(most) => format!("{most} failures in a row"),
            Trip::FailureRatio { min_requests: least, ratio, window: within } => {
                format!("{:.0} % of {least} and more within {}", ratio * 100.0, DurationText(*within))
            }
        };
        format!("a circuit before {before}: {when} open it for {}", DurationText(breaker.open_duration))
    });
    let limit = quality.timeout.map(|limit| format!("{} for an attempt", DurationText(limit)));
    [circuit, limit].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn describe_retry(retry: &Retry) -> String {
    let on = [("connect", retry.on_connect), ("reset", retry.on_reset), ("timeout", retry.on_timeout)];
    let mut on: Vec<String> = on.into_iter().filter(|(_, is)| *is).map(|(word, _)| word.to_owned()).collect();
    on.extend(retry.statuses.iter().map(u16::to_string));
    on.extend(retry.grpc_codes.iter().map(|code| format!("gRPC {code}")));
    let each = retry.per_try_timeout.map_or(String::new(), |each| format!(", {} each", DurationText(each)));
    format!("{} attempts{each}, again on {}", retry.max_attempts, on.join(", "))
}
