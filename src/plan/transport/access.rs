//! Which client addresses a transport route admits: `AccessRules`, or the lists of `SecurityOptions`.

use crate::base::ip_set::{IpRange, IpSet};
use crate::config::options::Options;
use crate::config::values::{BoxedSetting, List, items, non_blank};
use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::document::AccessRuleDocument;
use crate::stages::ip_filter::{IpFilter, SecurityOptions};
use std::collections::HashMap;
use std::net::IpAddr;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    pub remote: IpSet,
    pub permits: bool,
}

/// Which clients are admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    #[default]
    All,
    /// In the order in which they are tried.
    Rules(Vec<AccessRule>),
    Lists(IpFilter),
}

impl Admission {
    /// Whether the client is admitted. Without a rule that applies: unless there is any that permits.
    pub fn admits(&self, client: IpAddr) -> bool {
        match self {
            Admission::All => true,
            Admission::Lists(lists) => lists.deny_reason(client).is_none(),
            Admission::Rules(rules) => match rules.iter().find(|rule| rule.remote.contains(client)) {
                Some(rule) => rule.permits,
                None => !rules.iter().any(|rule| rule.permits),
            },
        }
    }
}

/// Compiles the rules of a route or of an endpoint. `inherited` are the lists of `GlobalConfiguration`.
pub fn admission(
    rules: &List<AccessRuleDocument>,
    lists: &BoxedSetting<SecurityOptions>,
    inherited: Option<&SecurityOptions>,
    diagnostics: &mut Diagnostics,
) -> Admission {
    let own = lists.as_ref().map(|lists| &*lists.value);
    if let (Some(set), Some(_)) = (rules.as_ref().filter(|rules| !rules.is_empty()), own) {
        diagnostics
            .error(codes::ACCESS_RULE, set.span, "AccessRules and SecurityOptions are set together")
            .help("remove one of them");
    }
    if let Some(rules) = rules.as_ref().filter(|rules| !rules.is_empty()) {
        return Admission::Rules(access_rules(rules, diagnostics));
    }
    for entry in own.into_iter().flat_map(|lists| items(&lists.allowed).iter().chain(items(&lists.blocked))) {
        if IpRange::parse(entry).is_none() {
            let message = format!("invalid address, range or network \"{}\"", entry.value);
            diagnostics
                .error(codes::BAD_ADDRESS_RANGE, entry.span, message)
                .help("expected 10.0.0.1, 10.0.0.1-9, 10.0.0.1-10.0.1.9 or 10.0.0.0/8");
        }
    }
    let filter = own.filter(|lists| !lists.is_empty()).or(inherited).map(IpFilter::from_options);
    filter.filter(|filter| !filter.is_empty()).map_or(Admission::All, Admission::Lists)
}

/// The rules by `Order`.
fn access_rules(documents: &[Spanned<AccessRuleDocument>], diagnostics: &mut Diagnostics) -> Vec<AccessRule> {
    let mut rules: Vec<(i64, AccessRule, &Spanned<AccessRuleDocument>, IpRange)> = Vec::new();
    let mut orders = HashMap::new();
    for document in documents {
        let Some((order, rule, range)) = access_rule(document, diagnostics) else { continue };
        if orders.insert(order, ()).is_some() {
            let span = document.order.as_ref().map_or(document.span, |order| order.span);
            diagnostics
                .error(codes::ACCESS_RULE, span, format!("two rules have the Order {order}"))
                .help("give each rule its own Order");
        }
        rules.push((order, rule, document, range));
    }
    rules.sort_by_key(|(order, ..)| *order);
    for at in 0..rules.len() {
        let (_, _, document, range) = &rules[at];
        let hides = |(_, _, _, earlier): &&(_, _, _, IpRange)| earlier.includes(range);
        if let Some((order, ..)) = rules[..at].iter().find(hides) {
            diagnostics
                .warning(codes::UNREACHABLE_RULE, document.span, "the rule can never decide")
                .help(format!("the rule with Order {order} contains all its addresses and comes first"));
        }
    }
    rules.into_iter().map(|(_, rule, ..)| rule).collect()
}

fn access_rule(
    document: &Spanned<AccessRuleDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<(i64, AccessRule, IpRange)> {
    let mut report = |span, message: String, help: &str| {
        diagnostics.error(codes::ACCESS_RULE, span, message).help(help);
    };
    let order = document.order.as_ref();
    if !order.is_some_and(|order| (0..=65_535).contains(&order.value)) {
        let message =
            order.map_or("the rule has no Order".to_owned(), |o| format!("invalid Order {}", o.value));
        report(order.map_or(document.span, |o| o.span), message, "must be between 0 and 65535");
    }
    let action = non_blank(&document.action);
    let permits = action.and_then(|action| match action.trim().to_ascii_lowercase().as_str() {
        "permit" => Some(true),
        "deny" => Some(false),
        _ => None,
    });
    if permits.is_none() {
        let message = action
            .map_or("the rule has no Action".to_owned(), |set| format!("unknown Action \"{}\"", set.value));
        let span = action.map_or(document.span, |set| set.span);
        report(span, message, "expected \"Permit\" or \"Deny\"");
    }
    let remote = non_blank(&document.remote);
    let range = remote.filter(|text| !text.contains('-')).and_then(|text| IpRange::parse(text));
    if range.is_none() {
        let message = remote
            .map_or("the rule has no Remote".to_owned(), |set| format!("invalid Remote \"{}\"", set.value));
        let span = remote.map_or(document.span, |set| set.span);
        report(span, message, "expected an address or a network such as 10.0.0.0/8");
    }
    let (order, range) = (order?.value, range?);
    Some((order, AccessRule { remote: [range].into_iter().collect(), permits: permits? }, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(all: &[(&str, bool)]) -> Admission {
        let rule = |(remote, permits): &(&str, bool)| AccessRule {
            remote: IpRange::parse(remote).into_iter().collect(),
            permits: *permits,
        };
        Admission::Rules(all.iter().map(rule).collect())
    }

    #[test]
    fn the_first_rule_that_contains_the_address_decides() {
        let closed = rules(&[("127.0.1.0/24", false), ("127.0.0.0/16", true)]);
        let admits = |admission: &Admission, client: &str| admission.admits(client.parse().unwrap());
        for (client, expected) in
            [("127.0.0.1", true), ("127.0.1.7", false), ("127.1.0.1", false), ("::ffff:127.0.2.1", true)]
        {
            assert_eq!(admits(&closed, client), expected, "{client}");
        }
        let open = rules(&[("127.0.1.0/24", false)]);
        assert!(
            admits(&open, "10.0.0.1") && !admits(&open, "127.0.1.7"),
            "without a permit the rest is open"
        );
    }
}
