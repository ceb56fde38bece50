//! What the firewall has found about one request, and the line of its log.

use super::config::{WafMode, WafPolicyConfig};
use super::proposal::exclusion;
use super::scrubbing::MASK;
use super::state::WafShared;
use crate::base::date::Timestamp;
use crate::telemetry::firewall::{FirewallMatch, FirewallRecord};
use crate::waf::request::head::decoded_path;
use crate::waf::request::parts::{Kind, Request};
use crate::waf::transaction::matches::RuleMatch;
use crate::waf::transaction::run::Transaction;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the action of its name in the log")]
pub enum WafAction {
    Passed,
    Blocked,
    Detected,
    Allowed,
    Malformed,
    Oversize,
    Limited,
    Bot,
    Logged,
}

impl WafAction {
    /// The name in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Blocked => "blocked",
            Self::Detected => "detected",
            Self::Allowed => "allowed",
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::Limited => "limited",
            Self::Bot => "bot",
            Self::Logged => "logged",
        }
    }
}

/// A match that is no match of a managed rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMatch {
    /// The name of the rule.
    pub rule: String,
    /// The reason.
    pub message: String,
    /// The part.
    pub part: String,
}

/// Where a request waits for its response.
#[derive(Clone, Default)]
pub struct ResponseSlot(Arc<Mutex<Option<Box<WafRecord>>>>);

impl ResponseSlot {
    /// The request, if its inspection has ended.
    pub fn take(&self) -> Option<Box<WafRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, record: Box<WafRecord>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }
}

/// A request that is inspected.
pub struct WafRecord {
    /// The policy.
    pub policy: Arc<WafPolicyConfig>,
    /// The rules at work.
    pub transaction: Transaction,
    /// The address of the client.
    pub address: IpAddr,
    /// The id of the request.
    pub id: Vec<u8>,
    /// The name of the listener, if it is known.
    pub listener: Option<Arc<str>>,
    /// Matches of custom rules and bots.
    pub own: Vec<OwnMatch>,
    /// What happened, as far as it is decided.
    pub action: WafAction,
    /// When the inspection began.
    pub started_at: Instant,
    /// What the access log contains about the request.
    pub entry: Arc<OnceLock<FirewallRecord>>,
    /// Where the request waits for its response; none if that is not inspected.
    pub response: Option<ResponseSlot>,
}

impl WafRecord {
    /// Notes a match and what follows from it; a stronger action stays.
    pub fn add(&mut self, found: OwnMatch, action: WafAction) {
        self.own.push(found);
        self.act(action);
    }

    /// Notes what happened.
    pub fn act(&mut self, action: WafAction) {
        if matches!(self.action, WafAction::Passed | WafAction::Logged) {
            self.action = action;
        }
    }

    /// Whether anything is found.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.transaction.matches().is_empty() && self.action == WafAction::Passed
    }

    /// Ends the inspection of the request: it is reported, or waits for its response.
    pub fn end_request(mut self: Box<Self>, shared: &WafShared, rejected: Option<u16>) {
        match self.response.take().filter(|_| rejected.is_none() && self.action != WafAction::Allowed) {
            Some(slot) => slot.put(self),
            None => self.report(shared, rejected),
        }
    }

    /// The member of the access log.
    fn entry(&self) -> FirewallRecord {
        let request = self.transaction.request();
        let own =
            self.own.iter().map(|found| FirewallMatch { rule: found.rule.clone(), part: found.part.clone() });
        let managed = self.transaction.matches().iter();
        let managed =
            managed.map(|found| FirewallMatch { rule: found.rule.to_string(), part: found.part(request) });
        FirewallRecord {
            policy: self.policy.name.clone(),
            action: self.action.name(),
            score: self.transaction.inbound_score(),
            matches: own.chain(managed).collect(),
        }
    }

    /// Counts the request and writes its line.
    pub fn report(&self, shared: &WafShared, status: Option<u16>) {
        self.count(shared);
        if self.is_empty() {
            return;
        }
        self.entry.get_or_init(|| self.entry());
        if let Some(log) = shared.log() {
            log.log_line(self.line(&shared.route, status).to_string().as_bytes());
        }
    }

    fn count(&self, shared: &WafShared) {
        let metrics = shared.policy_metrics(&self.policy.name);
        metrics.count(self.action.name(), self.transaction.inspected_bytes(), self.started_at.elapsed());
        for found in self.transaction.matches() {
            metrics.count_match(&found.rule.to_string());
        }
        self.own.iter().for_each(|found| metrics.count_match(&found.rule));
    }

    fn line(&self, route: &str, status: Option<u16>) -> Value {
        let request = self.transaction.request();
        let text = |kind: Kind| String::from_utf8_lossy(request.first(kind)).into_owned();
        let address =
            if self.policy.scrubbing.hides_address { MASK.to_owned() } else { self.address.to_string() };
        json!({
            "time": Timestamp(SystemTime::now()).to_string(),
            "id": String::from_utf8_lossy(&self.id),
            "client_ip": address,
            "method": text(Kind::Method),
            "host": String::from_utf8_lossy(request.header("host").unwrap_or_default()),
            "path": String::from_utf8_lossy(&decoded_path(request.first(Kind::RawUri))),
            "route": route,
            "listener": self.listener.as_deref().unwrap_or_default(),
            "policy": self.policy.name,
            "mode": self.policy.mode.name(),
            "action": self.action.name(),
            "score": self.transaction.inbound_score(),
            "threshold": self.policy.threshold,
            "status": status,
            "duration_ms": self.started_at.elapsed().as_secs_f64() * 1000.0,
            "matches": self.matches(request),
        })
    }

    fn matches(&self, request: &Request) -> Vec<Value> {
        let own = self.own.iter().map(|found| {
            json!({ "rule": found.rule, "group": "custom", "message": found.message, "part": found.part, "counted": true })
        });
        let managed = self.transaction.matches().iter().map(|found| self.managed_match(request, found));
        own.chain(managed).collect()
    }

    fn managed_match(&self, request: &Request, found: &RuleMatch) -> Value {
        let policy = self.transaction.policy();
        let rule = policy.rule(found.index);
        let level = rule.level().unwrap_or(1);
        json!({
            "rule": found.rule,
            "group": rule.group(),
            "message": rule.message.constant().unwrap_or_default(),
            "severity": severity(rule.severity),
            "level": level,
            "counted": level <= self.policy.level,
            "part": found.part(request),
            "is_name": found.request_value(request).is_some_and(|value| value.kind.is_name()),
            "value": self.value(request, found),
        })
    }

    /// The text around a match, unless it is a secret.
    pub fn value(&self, request: &Request, found: &RuleMatch) -> String {
        let is_secret =
            found.request_value(request).is_none_or(|value| self.policy.scrubbing.is_secret(request, value));
        match is_secret {
            true => MASK.to_owned(),
            false => String::from_utf8_lossy(&found.snippet).into_owned(),
        }
    }

    /// The text around a match with the matched text between `«` and `»`, unless it is a secret.
    fn marked_value(&self, request: &Request, found: &RuleMatch) -> String {
        let value = self.value(request, found);
        let (start, end) = found.matched;
        if value == MASK || start == end {
            return value;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (before, after) = (text(&found.snippet[..start]), text(&found.snippet[end..]));
        format!("{before}«{}»{after}", text(&found.snippet[start..end]))
    }

    /// What a dry run shows: every match with its part, the score, and the exclusion to paste.
    pub fn explanation(&self) -> String {
        let request = self.transaction.request();
        let path = String::from_utf8_lossy(&decoded_path(request.first(Kind::RawUri))).into_owned();
        let mut text = String::new();
        for found in &self.own {
            let _ = write!(text, "{} matches {}; ", found.rule, found.part);
        }
        for found in self.transaction.matches() {
            let rule = self.transaction.policy().rule(found.index);
            let (part, message) = (found.part(request), rule.message.constant().unwrap_or_default());
            let is_name = found.request_value(request).is_some_and(|value| value.kind.is_name());
            let Some(exclusion) = exclusion(&path, &part, is_name, u64::from(found.rule)) else { continue };
            let value = self.marked_value(request, found);
            let _ = write!(
                text,
                "{} ({message}) matches {part} \"{}\", +{}",
                found.rule,
                value.escape_debug(),
                found.score
            );
            let _ = write!(text, ", to exclude it: {exclusion}; ");
        }
        let score = self.transaction.inbound_score();
        let _ = write!(text, "score {score}, threshold {}", self.policy.threshold);
        text
    }

    /// Whether the policy blocks.
    pub fn is_blocking(&self) -> bool {
        self.policy.mode == WafMode::Prevention
    }
}

/// The name of a severity.
pub fn severity(level: Option<u8>) -> &'static str {
    match level {
        Some(0..=2) => "critical",
        Some(3) => "error",
        Some(4) => "warning",
        Some(5) => "notice",
        _ => "info",
    }
}
