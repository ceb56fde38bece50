//! The first position: the head as the client sent it, custom rules, bots.

use super::config::WafPolicyConfig;
use super::own_rules::{OwnDecision, run_early};
use super::record::{WafAction, WafRecord};
use super::route::WafRoute;
use super::state::WafShared;
use crate::pipeline::body::Framing;
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

impl Stage for WafEarly {
    fn name(&self) -> &'static str {
        super::NAME_EARLY
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Some(policy) = self.route.policy(exchange) else { return Step::Next };
        let mut record = new_record(exchange, policy);
        exchange.record.firewall = exchange.record.enabled.then(|| record.entry.clone());
        match run_early(&mut record, exchange, &self.shared) {
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
