//! Entries of endpoint lists: missing hosts, and weights.

use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::blueprint::{BalancerKind, Sourced};
use crate::plan::document::HostAndPort;

pub(super) fn report_missing_host(entry: &Spanned<HostAndPort>, list: &str, diagnostics: &mut Diagnostics) {
    let span = entry.host.as_ref().map_or(entry.span, |host| host.span);
    diagnostics
        .error(codes::NO_HOST, span, format!("entry of {list} without Host"))
        .help("set a host name or an IP address");
}

/// The maximum of `Weight`.
const MAX_WEIGHT: u32 = 1000;

pub(super) fn weight(entry: &HostAndPort, diagnostics: &mut Diagnostics) -> u32 {
    let Some(weight) = &entry.weight else { return 1 };
    match u32::try_from(weight.value).ok().filter(|weight| (1..=MAX_WEIGHT).contains(weight)) {
        Some(weight) => weight,
        None => {
            let message = format!("invalid Weight {}", weight.value);
            diagnostics.error(codes::BAD_WEIGHT, weight.span, message).help(format!(
                "must be between 1 and {MAX_WEIGHT}; remove endpoints that should not receive requests"
            ));
            1
        }
    }
}

/// Weights have no effect with `NoLoadBalancer`, which always selects the first endpoint.
pub(super) fn weights(
    entries: &[Spanned<HostAndPort>],
    balancer: &Sourced<BalancerKind>,
    diagnostics: &mut Diagnostics,
) {
    if balancer.value != BalancerKind::NoLoadBalancer {
        return;
    }
    for weight in entries.iter().filter_map(|entry| entry.weight.as_ref()) {
        diagnostics
            .error(
                codes::BAD_WEIGHT,
                weight.span,
                "Weight has no effect: NoLoadBalancer always selects the first endpoint",
            )
            .help("set a load balancer: \"LoadBalancerOptions\": { \"Type\": \"RoundRobin\" }");
    }
}
