//! `SecurityOptions`: client addresses that are allowed or blocked (docs/ocelot-behavior.md, section 23).
//!
//! - Elsewhere: nginx's `allow` and `deny`, Envoy's RBAC filter.
//! - Entry point: [`IpFilter`], the settings and the stage.
//! - Callers: the table of stages builds it; `compile` checks the options.
//! - Owns: the address sets of a route. Nothing outlives a reload.

mod compile;
mod options;

pub use options::SecurityOptions;

use crate::{
    base::ip_set::{IpRange, IpSet},
    config::values::{List, items},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use std::net::IpAddr;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "ip-filter";

/// Checks the address of the client, as reported by trusted proxies, against two lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpFilter {
    /// Only these are allowed; empty: all.
    pub allowed: IpSet,
    pub blocked: IpSet,
    /// The allow list takes precedence over the block list.
    pub exclude_allowed: bool,
}

impl IpFilter {
    /// The filter of these options; invalid entries, which the check reports, are left out.
    pub fn from_options(options: &SecurityOptions) -> IpFilter {
        let set =
            |list: &List<String>| items(list).iter().filter_map(|entry| IpRange::parse(entry)).collect();
        IpFilter {
            allowed: set(&options.allowed),
            blocked: set(&options.blocked),
            exclude_allowed: options.exclude_allowed.as_ref().is_some_and(|on| on.value),
        }
    }

    /// Whether both lists are empty.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.blocked.is_empty()
    }

    /// Why the address is denied, if it is. Without `exclude_allowed`, an address on both lists is denied.
    pub fn deny_reason(&self, client: IpAddr) -> Option<&'static str> {
        let allowed = self.allowed.contains(client);
        if self.blocked.contains(client) && !(self.exclude_allowed && allowed) {
            return Some("the address of the client is blocked");
        }
        let is_denied = !self.allowed.is_empty() && !allowed;
        is_denied.then_some("the address of the client is not allowed")
    }
}

impl StageConfig for IpFilter {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(self.clone())]
    }
}

impl Stage for IpFilter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        match self.deny_reason(exchange.client.ip) {
            Some(detail) => Step::Fail(GatewayError::new(ErrorCode::AccessIpDenied, detail)),
            None => Step::Next,
        }
    }

    fn describe(&self) -> String {
        let part = |set: &IpSet, what: &str| (!set.is_empty()).then(|| format!("{} {what}", set.len()));
        let parts = [part(&self.allowed, "ranges allowed"), part(&self.blocked, "ranges blocked")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> IpSet {
        entries.iter().filter_map(|text| IpRange::parse(text)).collect()
    }

    fn admits(lists: &IpFilter, client: &str) -> bool {
        lists.deny_reason(client.parse().expect(client)).is_none()
    }

    #[test]
    fn blocked_addresses_and_those_not_on_an_allow_list_are_denied() {
        let lists = IpFilter { blocked: set(&["192.168.1.0/23"]), ..IpFilter::default() };
        assert!(!admits(&lists, "192.168.0.200") && admits(&lists, "192.168.2.1"));
        let lists = IpFilter { allowed: set(&["10.0.0.1-5", "fd00::/8"]), ..IpFilter::default() };
        assert!(admits(&lists, "10.0.0.5") && !admits(&lists, "10.0.0.6"));
        assert!(admits(&lists, "fd12::1") && !admits(&lists, "::1"));
    }

    #[test]
    fn an_address_on_both_lists_is_denied_unless_the_allow_list_takes_precedence() {
        let both = |exclude_allowed| IpFilter {
            allowed: set(&["192.168.1.30-50"]),
            blocked: set(&["192.168.1.1-100"]),
            exclude_allowed,
        };
        assert!(!admits(&both(false), "192.168.1.35"));
        assert!(admits(&both(true), "192.168.1.35"));
        assert!(!admits(&both(true), "192.168.1.55"), "blocked");
        assert!(!admits(&both(true), "192.168.1.200"), "not allowed");
    }

    #[test]
    fn ipv4_mapped_addresses_equal_ipv4_addresses() {
        let lists =
            IpFilter { blocked: set(&["::ffff:10.0.0.1", "::ffff:10.1.0.0/112"]), ..IpFilter::default() };
        assert!(!admits(&lists, "10.0.0.1") && !admits(&lists, "::ffff:10.0.0.1"));
        assert!(!admits(&lists, "10.1.255.255") && admits(&lists, "10.2.0.0"));
    }

    #[test]
    fn a_hundred_thousand_networks_are_looked_up() {
        let nets = (0..100_000u32).map(|n| format!("{}.{}.{}.0/24", n >> 16 & 255, n >> 8 & 255, n & 255));
        let ranges: Vec<IpRange> = nets.filter_map(|text| IpRange::parse(&text)).collect();
        let lists = IpFilter { blocked: ranges.into_iter().step_by(2).collect(), ..IpFilter::default() };
        assert!(!admits(&lists, "1.134.158.9") && admits(&lists, "1.134.157.9"));
    }
}
