//! Custom rules and bots, in either position.

use super::config::WafPolicyConfig;
use super::custom_rules::{CustomAction, CustomInput, CustomRateLimit, CustomRule, CustomVariable};
use super::record::{OwnMatch, WafAction, WafRecord};
use super::refusal::{blocked, limited};
use super::state::WafShared;
use super::verified::Verification;
use crate::pipeline::error::{ErrorCode, GatewayError};
use crate::pipeline::exchange::Exchange;
use crate::stages::partition_key::Key;
use std::ops::Range;
use std::time::Instant;

/// What custom rules and bots decided.
pub enum OwnDecision {
    /// The next part of the inspection decides.
    Continue,
    /// The request is not inspected any further.
    Allow,
    /// The request is rejected.
    Reject(GatewayError),
}

/// Runs what reads only the head: the custom rules in front of the first late one, and without a late one the bots.
pub fn run_early(record: &mut WafRecord, exchange: &Exchange, shared: &WafShared) -> OwnDecision {
    let policy = record.policy.clone();
    let keys = |at: usize| limit_key(&policy.custom_rules[at], exchange, shared);
    OwnRules { shared, keys: &keys, now: exchange.now, is_dry_run: exchange.is_dry_run }.run_early(record)
}

/// Runs the rest, once the body is complete; `body` is the raw body, as far as it is held.
pub fn run_late(record: &mut WafRecord, body: &[u8], exchange: &Exchange, shared: &WafShared) -> OwnDecision {
    let policy = record.policy.clone();
    let keys = |at: usize| limit_key(&policy.custom_rules[at], exchange, shared);
    OwnRules { shared, keys: &keys, now: exchange.now, is_dry_run: exchange.is_dry_run }
        .run_late(record, body)
}

/// The keys of the counters of all rules, for rules that run when the request is gone; empty if no late rule has one.
pub fn late_keys(policy: &WafPolicyConfig, exchange: &Exchange, shared: &WafShared) -> Vec<Option<Key>> {
    let has_limit =
        policy.custom_rules[policy.first_late_rule..].iter().any(|rule| rule.rate_limit.is_some());
    let rules = policy.custom_rules.iter().filter(|_| has_limit);
    rules.map(|rule| limit_key(rule, exchange, shared)).collect()
}

/// The key of the counter of a rule; none without a limit, or without the client ID that it needs.
fn limit_key(rule: &CustomRule, exchange: &Exchange, shared: &WafShared) -> Option<Key> {
    let CustomRateLimit { parts, by_country, counter, .. } = rule.rate_limit.as_ref()?;
    let country = by_country.as_ref().map(|database| database.country(exchange.client.ip));
    let name = format!("{counter}|{}", country.unwrap_or_default());
    shared.counters.keys.builder(&name, parts).key(exchange)
}

/// Custom rules and bots at work on one request.
pub struct OwnRules<'r> {
    /// What the stages share.
    pub shared: &'r WafShared,
    /// The key of the counter of the rule at an index.
    pub keys: &'r dyn Fn(usize) -> Option<Key>,
    /// The time of the request.
    pub now: Instant,
    /// Whether nothing is counted.
    pub is_dry_run: bool,
}

impl OwnRules<'_> {
    fn run_early(&self, record: &mut WafRecord) -> OwnDecision {
        let (first_late_rule, count) = (record.policy.first_late_rule, record.policy.custom_rules.len());
        match self.run_rules(0..first_late_rule, record, &[]) {
            OwnDecision::Continue if first_late_rule == count => self.run_bots(record),
            decision => decision,
        }
    }

    /// Runs the late rules, and the bots behind them.
    pub fn run_late(&self, record: &mut WafRecord, body: &[u8]) -> OwnDecision {
        let (first_late_rule, count) = (record.policy.first_late_rule, record.policy.custom_rules.len());
        if first_late_rule == count {
            return OwnDecision::Continue;
        }
        match self.run_rules(first_late_rule..count, record, body) {
            OwnDecision::Continue => self.run_bots(record),
            decision => decision,
        }
    }

    /// Evaluates custom rules in order.
    fn run_rules(&self, range: Range<usize>, record: &mut WafRecord, body: &[u8]) -> OwnDecision {
        let rules = record.policy.custom_rules.clone();
        for at in range {
            let rule = &rules[at];
            let input = CustomInput { request: record.transaction.request(), address: record.address, body };
            if !rule.is_match(&input) {
                continue;
            }
            let found =
                OwnMatch { rule: rule.name.clone(), message: "Custom rule".to_owned(), part: part(rule) };
            let retry_seconds = match self.exceeds_limit(rule, at) {
                Some(None) => continue,
                Some(Some(seconds)) => Some(seconds),
                None => None,
            };
            match rule.action {
                CustomAction::Log => record.add(found, WafAction::Logged),
                CustomAction::Allow => {
                    record.add(found, WafAction::Allowed);
                    return OwnDecision::Allow;
                }
                CustomAction::Block if !record.is_blocking() => record.add(found, WafAction::Detected),
                CustomAction::Block => return reject(rule, record, found, retry_seconds),
            }
        }
        OwnDecision::Continue
    }

    /// Counts a request of a rule with a limit: none without a limit, an empty option while the limit is not exceeded,
    /// else the seconds to wait.
    fn exceeds_limit(&self, rule: &CustomRule, at: usize) -> Option<Option<u64>> {
        let limit = rule.rate_limit.as_ref()?;
        let Some(key) = (self.keys)(at) else { return Some(None) };
        let counters = &self.shared.counters;
        let now_ns = counters.instant_to_nanos(self.now);
        let decision = counters
            .update(key, now_ns, !self.is_dry_run, |counter| limit.window.try_acquire(counter, now_ns));
        Some(
            (!decision.admitted).then(|| decision.retry_at_ns.saturating_sub(now_ns).div_ceil(1_000_000_000)),
        )
    }

    /// Evaluates the bots of the policy.
    fn run_bots(&self, record: &mut WafRecord) -> OwnDecision {
        let Some(bots) = record.policy.bots.clone() else { return OwnDecision::Continue };
        let agent = record.transaction.request().header("user-agent").unwrap_or_default().to_vec();
        let mut reason = bots.find(&agent, record.address).map(|reason| (reason.message(), reason.part()));
        if let (None, Some(bot)) = (reason, bots.claimed(&agent)) {
            let verification = match self.is_dry_run {
                true => Verification::Pending,
                false => {
                    let shared = self.shared;
                    shared.verified.verify(bot, record.address, self.now, &shared.lookups)
                }
            };
            match verification {
                Verification::Genuine => {}
                Verification::Forged => {
                    reason = Some(("Address is not one of the claimed bot", "client address"));
                }
                Verification::Pending => {
                    record.add(
                        bot_match("Address of the claimed bot is being verified", "client address"),
                        WafAction::Logged,
                    );
                }
            }
        }
        let Some((message, part)) = reason else { return OwnDecision::Continue };
        if !bots.is_blocking || !record.is_blocking() {
            let action = if bots.is_blocking { WafAction::Detected } else { WafAction::Logged };
            record.add(bot_match(message, part), action);
            return OwnDecision::Continue;
        }
        record.add(bot_match(message, part), WafAction::Bot);
        OwnDecision::Reject(blocked(&record.policy, ErrorCode::WafBot, None))
    }
}

fn bot_match(message: &str, part: &str) -> OwnMatch {
    OwnMatch { rule: "bots".to_owned(), message: message.to_owned(), part: part.to_owned() }
}

/// Rejects a request; with the seconds to wait because it exceeds the limit of the rule.
fn reject(
    rule: &CustomRule,
    record: &mut WafRecord,
    found: OwnMatch,
    retry_seconds: Option<u64>,
) -> OwnDecision {
    let (error, action) = match retry_seconds {
        Some(seconds) => (limited(rule.status, seconds), WafAction::Limited),
        None => (blocked(&record.policy, ErrorCode::WafRule, rule.status), WafAction::Blocked),
    };
    record.add(found, action);
    OwnDecision::Reject(error)
}

/// The part that the first condition reads.
fn part(rule: &CustomRule) -> String {
    let first = rule.conditions.iter().flat_map(|condition| &condition.variables).next();
    first.map_or_else(String::new, CustomVariable::part)
}
