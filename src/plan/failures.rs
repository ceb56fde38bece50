//! What a route does about services that fail, and how it keeps connections to them, in words for `explain`.

use super::blueprint::RouteBlueprint;
use crate::backend::attempt::{Quality, Scope, breaker::Trip, retry::Settings as Retry};
use crate::base::units::DurationText;
use crate::wire::gate::Pooling;

/// Setting and what it says, for those that are there.
pub fn told(route: &RouteBlueprint) -> Vec<(&'static str, String)> {
    let settings = &route.attempts;
    let Pooling { announces, limit, .. } = route.cluster.pooling;
    let fallback = settings.fallback.as_ref().map(|fallback| {
        let cluster = route.fallback.as_ref().and_then(|other| other.name.as_ref());
        let cluster = cluster.map(|name| format!("the cluster {name}"));
        let reply = fallback.reply.as_ref().map(|reply| format!("a fixed {}", reply.status));
        [cluster, reply].into_iter().flatten().collect::<Vec<_>>().join(", then ")
    });
    let told = [
        ("QoSOptions", settings.quality.as_ref().map(quality)),
        ("RetryOptions", settings.retry.as_ref().map(retry)),
        ("FallbackOptions", fallback),
        ("DeadlineHeader", settings.deadline_header.clone()),
        (
            "HttpHandlerOptions.MaxConnectionsPerServer",
            limit.map(|limit| format!("{}, and {} may wait", limit.connections, limit.queue)),
        ),
        (
            "HttpHandlerOptions.ProxyProtocol",
            announces.map(|version| format!("{version:?}, a connection serves one client")),
        ),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn quality(quality: &Quality) -> String {
    let circuit = quality.breaker.as_ref().map(|breaker| {
        let before = if quality.scope == Scope::Endpoint { "each address" } else { "the route" };
        let when = match &breaker.trip {
            Trip::InARow(most) => format!("{most} failures in a row"),
            Trip::Ratio { least, ratio, within } => {
                format!("{:.0} % of {least} and more within {}", ratio * 100.0, DurationText(*within))
            }
        };
        format!("a circuit before {before}: {when} open it for {}", DurationText(breaker.pause))
    });
    let limit = quality.timeout.map(|limit| format!("{} for an attempt", DurationText(limit)));
    [circuit, limit].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn retry(retry: &Retry) -> String {
    let on = [("connect", retry.on_connect), ("reset", retry.on_reset), ("timeout", retry.on_timeout)];
    let mut on: Vec<String> = on.into_iter().filter(|(_, is)| *is).map(|(word, _)| word.to_owned()).collect();
    on.extend(retry.statuses.iter().map(u16::to_string));
    on.extend(retry.grpc.iter().map(|code| format!("gRPC {code}")));
    let each = retry.each.map_or(String::new(), |each| format!(", {} each", DurationText(each)));
    format!("{} attempts{each}, again on {}", retry.attempts, on.join(", "))
}
