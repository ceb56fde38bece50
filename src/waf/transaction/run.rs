//! A transaction: the head, the body, the response, and the verdict.

use super::evaluation::Evaluation;
use super::matches::{Denial, RuleMatch};
use super::scan::Scan;
use super::state::State;
use crate::waf::bytes::leading_integer;
use crate::waf::policy::compiled::Policy;
use crate::waf::policy::exclusion::Exclusion;
use crate::waf::request::head::{RequestHead, decoded_path};
use crate::waf::request::parts::{BodyProcessor, Kind, Request, Span};
use crate::waf::transform::path::normalize;
use std::sync::Arc;

/// The exclusions that apply to the path of a target, percent-decoded and without dot segments.
fn applicable(policy: &Policy, target: &[u8]) -> Vec<usize> {
    if policy.exclusions.is_empty() {
        return Vec::new();
    }
    let path = decoded_path(target);
    // A client must not choose the exclusions of `/a/` for a request of `/b` with `/a/../b`.
    let has_dot_segment = memchr::memmem::find(&path, b"/.").is_some();
    let normalized = if has_dot_segment { normalize(&path) } else { Vec::new() };
    let applies = |exclusion: &Exclusion| {
        exclusion.applies_to(&path) && (!has_dot_segment || exclusion.applies_to(&normalized))
    };
    let all = policy.exclusions.iter().enumerate();
    all.filter(|(_, (exclusion, _))| applies(exclusion)).map(|(at, _)| at).collect()
}

/// A request on its way through the rules of a policy.
pub struct Transaction {
    policy: Arc<Policy>,
    request: Request,
    scan: Scan,
    state: State,
    /// The exclusions of this path.
    exclusions: Vec<usize>,
    is_detection: bool,
}

impl Transaction {
    /// A transaction for a head. In detection a denial does not end the evaluation.
    pub fn new(policy: Arc<Policy>, head: &RequestHead<'_>, is_detection: bool) -> Self {
        let request = Request::new(head);
        let exclusions = applicable(&policy, head.target);
        let state = State::new(&policy);
        Self { policy, request, scan: Scan::default(), state, exclusions, is_detection }
    }

    /// The parts of the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The parts of the request, for the parser of the body.
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Runs the rules of the head.
    pub fn run_head(&mut self) {
        self.run(1);
        if let Some(processor) = self.state.processor.as_deref().and_then(BodyProcessor::from_name) {
            self.request.processor = processor;
        }
    }

    /// Adds the raw body as a value where rules read it: of forms and JSON, and of bodies that no parser reads.
    pub fn add_raw_body(&mut self, body: &[u8]) {
        let is_value = match self.request.processor {
            BodyProcessor::UrlEncoded | BodyProcessor::Json => true,
            BodyProcessor::None => self.state.is_body_forced,
            _ => false,
        };
        if is_value && !body.is_empty() {
            let text = self.request.add_text(body);
            self.request.add(Kind::Body, Span::default(), text);
        }
    }

    /// Runs the rules of the body.
    pub fn run_body(&mut self) {
        self.run(2);
    }

    /// Runs the rules of the head and the body of the response; returns why it is blocked.
    pub fn run_response(&mut self, body: &[u8]) -> Option<Denial> {
        let earlier = self.state.denial.take();
        self.run(3);
        let body = self.request.add_text(body);
        self.request.add(Kind::ResponseBody, Span::default(), body);
        self.run(4);
        let denial = self.state.denial;
        self.state.denial = earlier.or(denial);
        denial
    }

    /// Runs the rules of the log phase.
    pub fn run_log_phase(&mut self) {
        self.run(5);
    }

    fn run(&mut self, phase: usize) {
        if self.is_finished() {
            return;
        }
        self.scan.extend(&self.policy, &self.request, &self.exclusions);
        let (policy, request, scan) = (&*self.policy, &self.request, &self.scan);
        let (state, is_detection) = (&mut self.state, self.is_detection);
        Evaluation { policy, request, scan, state, is_detection, found: Vec::new() }.run_phase(phase);
    }

    /// Whether no further rule runs.
    pub fn is_finished(&self) -> bool {
        self.state.is_allowed || (self.state.denial.is_some() && !self.is_detection)
    }

    /// Why the request is blocked.
    pub fn denial(&self) -> Option<Denial> {
        self.state.denial
    }

    /// What the rules found.
    pub fn matches(&self) -> &[RuleMatch] {
        &self.state.matches
    }

    /// The anomaly score of the request that counts.
    pub fn inbound_score(&self) -> i64 {
        self.variable("blocking_inbound_anomaly_score")
            .or_else(|| self.variable("anomaly_score"))
            .unwrap_or(0)
    }

    fn variable(&self, name: &str) -> Option<i64> {
        self.state.variables.get(&self.policy.variables, name).map(leading_integer)
    }

    /// The bytes that the scan has read.
    pub fn inspected_bytes(&self) -> u64 {
        self.scan.scanned_bytes
    }
}
