//! The first position: the head as the client sent it, custom rules, bots.

use super::config::WafPolicyConfig;
use super::custom_rules::{CustomAction, CustomInput, CustomRule, CustomVariable};
use super::record::{OwnMatch, WafAction, WafRecord};
use super::refusal::{blocked, limited};
use super::route::WafRoute;
use super::state::WafShared;
use super::verified::Verification;
use crate::pipeline::body::Framing;
use crate::pipeline::error::{ErrorCode, GatewayError};
use crate::pipeline::exchange::Exchange;
use crate::pipeline::stage::{Stage, Step};
use crate::waf::request::head::RequestHead;
use crate::waf::transaction::run::Transaction;
use std::sync::Arc;

/// The stage.
#[derive(Debug)]
pub struct WafEarly {
    /// The policies.
    pub route: WafRoute,
    /// What the stages share.
    pub shared: WafShared,
}

/// What custom rules and bots decided.
pub enum OwnDecision {
    /// The next part of the inspection decides.
    Continue,
    /// The request is not inspected any further.
    Allow,
    /// The request is rejected.
    Reject(GatewayError),
}

impl Stage for WafEarly {
    fn name(&self) -> &'static str {
        super::NAME_EARLY
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Some(policy) = self.route.policy(exchange) else { return Step::Next };
        let mut record = new_record(exchange, policy);
        exchange.record.firewall = exchange.record.enabled.then(|| record.entry.clone());
        let rules = &policy.custom_rules[..policy.first_body_rule];
        let has_further_rules = policy.first_body_rule < policy.custom_rules.len();
        let mut decision = run_custom_rules(rules, &mut record, &[], exchange, &self.shared);
        if matches!(decision, OwnDecision::Continue) && !has_further_rules {
            decision = run_bots(&mut record, exchange, &self.shared);
        }
        match decision {
            OwnDecision::Continue => {
                exchange.firewall = Some(Box::new(record));
                Step::Next
            }
            OwnDecision::Allow => {
                report(&record, exchange, &self.shared, None);
                Step::Next
            }
            OwnDecision::Reject(error) => {
                report(&record, exchange, &self.shared, Some(error.status(false)));
                Step::Fail(error)
            }
        }
    }

    fn describe(&self) -> String {
        let policies = self
            .route
            .policies()
            .map(|policy| format!("{}: {} custom rules", policy.name, policy.custom_rules.len()));
        policies.collect::<Vec<_>>().join(", ")
    }
}

/// Writes the record, except in a dry run.
pub fn report(record: &WafRecord, exchange: &Exchange, shared: &WafShared, status: Option<u16>) {
    if !exchange.is_dry_run {
        record.report(shared, status);
    }
}

fn new_record(exchange: &Exchange, policy: &Arc<WafPolicyConfig>) -> WafRecord {
    WafRecord {
        policy: policy.clone(),
        transaction: transaction(exchange, policy),
        address: exchange.client.ip,
        id: exchange.record.id.clone(),
        listener: exchange.client.listener.clone(),
        own: Vec::new(),
        action: WafAction::Passed,
        started_at: exchange.now,
        entry: Arc::default(),
        response: None,
    }
}

/// The head with the fields that the connection has consumed: how the body is delimited.
fn transaction(exchange: &Exchange, policy: &Arc<WafPolicyConfig>) -> Transaction {
    let request = &exchange.request;
    let mut headers: Vec<(&[u8], &[u8])> = request.fields().map(|(_, name, value)| (name, value)).collect();
    let has_field = |name: &[u8]| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let length;
    match exchange.body.framing {
        Framing::Chunked if !has_field(b"transfer-encoding") => {
            headers.push((b"Transfer-Encoding", b"chunked"));
        }
        Framing::Length(bytes) if !has_field(b"content-length") => {
            length = bytes.to_string().into_bytes();
            headers.push((b"Content-Length", &length));
            return start(exchange, policy, &headers);
        }
        _ => {}
    }
    start(exchange, policy, &headers)
}

fn start(exchange: &Exchange, policy: &Arc<WafPolicyConfig>, headers: &[(&[u8], &[u8])]) -> Transaction {
    let head = RequestHead {
        method: exchange.request.method(),
        target: exchange.request.original_target(),
        protocol: exchange.request.version.as_str().as_bytes(),
        headers,
        remote_address: exchange.client.ip,
        id: &exchange.record.id,
    };
    Transaction::new(policy.rules.clone(), &head, !policy_blocks(policy))
}

fn policy_blocks(policy: &WafPolicyConfig) -> bool {
    policy.mode == super::config::WafMode::Prevention
}

/// Evaluates custom rules in order; `body` is the raw body, if it was read.
pub fn run_custom_rules(
    rules: &[CustomRule],
    record: &mut WafRecord,
    body: &[u8],
    exchange: &Exchange,
    shared: &WafShared,
) -> OwnDecision {
    for rule in rules {
        let input = CustomInput { request: record.transaction.request(), address: record.address, body };
        if !rule.is_match(&input) {
            continue;
        }
        let found = OwnMatch { rule: rule.name.clone(), message: "Custom rule".to_owned(), part: part(rule) };
        let retry_seconds = match exceeds_limit(rule, record, exchange, shared) {
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

/// Counts a request of a rule with a limit: none without a limit, an empty option while the limit is not exceeded, else
/// the seconds to wait.
fn exceeds_limit(
    rule: &CustomRule,
    record: &WafRecord,
    exchange: &Exchange,
    shared: &WafShared,
) -> Option<Option<u64>> {
    let limit = rule.rate_limit.as_ref()?;
    let country =
        limit.by_country.as_ref().map(|database| database.country(record.address)).unwrap_or_default();
    let name = format!("{}|{country}", limit.counter);
    let builder = shared.counters.keys.builder(&name, &limit.parts);
    let Some(key) = builder.key(exchange) else { return Some(None) };
    let now_ns = shared.counters.instant_to_nanos(exchange.now);
    let decision = shared
        .counters
        .update(key, now_ns, !exchange.is_dry_run, |counter| limit.window.try_acquire(counter, now_ns));
    Some((!decision.admitted).then(|| decision.retry_at_ns.saturating_sub(now_ns).div_ceil(1_000_000_000)))
}

/// Evaluates the bots of the policy.
pub fn run_bots(record: &mut WafRecord, exchange: &Exchange, shared: &WafShared) -> OwnDecision {
    let Some(bots) = record.policy.bots.clone() else { return OwnDecision::Continue };
    let agent = record.transaction.request().header("user-agent").unwrap_or_default().to_vec();
    let mut reason = bots.find(&agent, record.address).map(|reason| (reason.message(), reason.part()));
    if let (None, Some(bot)) = (reason, bots.claimed(&agent)) {
        let verification = match exchange.is_dry_run {
            true => Verification::Pending,
            false => shared.verified.verify(bot, record.address, exchange.now, &shared.background),
        };
        match verification {
            Verification::Genuine => {}
            Verification::Forged => {
                reason = Some(("Address is not one of the claimed bot", "client address"));
            }
            Verification::Pending => {
                let message = "Address of the claimed bot is being verified".to_owned();
                let found = OwnMatch { rule: "bots".to_owned(), message, part: "client address".to_owned() };
                record.add(found, WafAction::Logged);
            }
        }
    }
    let Some((message, part)) = reason else { return OwnDecision::Continue };
    let found = OwnMatch { rule: "bots".to_owned(), message: message.to_owned(), part: part.to_owned() };
    if !bots.is_blocking || !record.is_blocking() {
        record.add(found, if bots.is_blocking { WafAction::Detected } else { WafAction::Logged });
        return OwnDecision::Continue;
    }
    record.add(found, WafAction::Bot);
    OwnDecision::Reject(blocked(&record.policy, ErrorCode::WafBot, None))
}
