//! What transport routes and the endpoints of roles have in common.

use crate::backend::balance::{BalancerKind, HashPolicy};
use crate::config::values::BoxedSetting;
use crate::plan::transport::TransportOptions;

/// The options of a route or an endpoint over those of `GlobalConfiguration`.
pub fn transport_options(
    own: &BoxedSetting<TransportOptions>,
    global: &BoxedSetting<TransportOptions>,
) -> TransportOptions {
    match (own, global) {
        (Some(own), Some(global)) => own.value.inherit_from(&global.value),
        (Some(one), None) | (None, Some(one)) => (*one.value).clone(),
        (None, None) => TransportOptions::default(),
    }
}

/// The setting of a balancer that needs requests.
pub fn unsuitable(balancer: &BalancerKind) -> Option<&'static str> {
    match balancer {
        BalancerKind::Sticky(_) => Some("CookieStickySessions"),
        BalancerKind::ConsistentHash(policy) if *policy != HashPolicy::Address => Some("HashOn"),
        _ => None,
    }
}
