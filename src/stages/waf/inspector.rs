//! The body of a request on its way through the firewall.

use super::evaluate::{PoolResult, evaluate_inline, evaluate_on_pool, is_short};
use super::own_rules::{OwnDecision, OwnRules, late_keys, run_late};
use super::record::{WafAction, WafRecord};
use super::refusal::oversize;
use super::state::WafShared;
use crate::pipeline::error::GatewayError;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::inspection::{BodyInspector, Inspection};
use crate::pipeline::stage::{RequestInspector, Step};
use crate::stages::partition_key::Key;
use crate::waf::bodies::reader::BodyReader;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Files up to this size are held back with the rest of the body.
const MAX_HELD_FILE_BYTES: u64 = 64 << 10;

/// The bytes of small files that are held back together.
const MAX_HELD_FILES_BYTES: u64 = 256 << 10;

type Evaluation = Pin<Box<dyn Future<Output = PoolResult> + Send>>;

/// Inspects one body.
pub struct WafInspector {
    record: Option<Box<WafRecord>>,
    reader: BodyReader,
    shared: WafShared,
    evaluation: Option<Evaluation>,
    /// For custom rules that run after the body was relayed: the keys of their counters, and the time of the request.
    limit_keys: Vec<Option<Key>>,
    now: Instant,
}

impl WafInspector {
    /// An inspector for the body of a request whose head is read.
    pub fn new(mut record: Box<WafRecord>, exchange: &Exchange, shared: WafShared) -> Self {
        let policy = record.policy.clone();
        let reader = BodyReader::new(record.transaction.request_mut(), policy.body.settings);
        let limit_keys = late_keys(&policy, exchange, &shared);
        Self { record: Some(record), reader, shared, evaluation: None, limit_keys, now: exchange.now }
    }

    /// Evaluates late custom rules, and bots, behind a body that was relayed; the raw body is not held.
    fn run_own_rules(&self, record: &mut WafRecord) -> OwnDecision {
        let keys = |at: usize| self.limit_keys.get(at).copied().flatten();
        OwnRules { shared: &self.shared, keys: &keys, now: self.now, is_dry_run: false }.run_late(record, &[])
    }

    /// Checks the limits behind each piece of the body.
    fn check_limits(&mut self) -> Result<(), GatewayError> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let config = record.policy.body;
        let request = record.transaction.request();
        let files = request.files_size + self.reader.open_file_bytes().unwrap_or(0);
        let is_too_long = self.reader.is_over_limit(request);
        let has_too_large_files = files > config.max_file_bytes && record.is_blocking();
        if has_too_large_files || (is_too_long && config.refuses_oversize) {
            record.act(WafAction::Oversize);
            record.report(&self.shared, Some(413));
            return Err(oversize());
        }
        if is_too_long {
            self.reader.cut();
        }
        Ok(())
    }

    fn step(&self) -> Inspection {
        let Some(record) = &self.record else { return Inspection::Decide };
        let files = record.transaction.request().files_size;
        let open = self.reader.open_file_bytes().unwrap_or(0);
        if !self.reader.is_inspecting() {
            return Inspection::Decide;
        }
        match open > MAX_HELD_FILE_BYTES || files + open > MAX_HELD_FILES_BYTES {
            true => Inspection::Relay,
            false => Inspection::Hold,
        }
    }
}

impl BodyInspector for WafInspector {
    fn inspect(&mut self, data: &[u8]) -> Result<Inspection, GatewayError> {
        if let Some(record) = &mut self.record {
            self.reader.push(data, record.transaction.request_mut());
        }
        self.check_limits()?;
        Ok(self.step())
    }

    fn poll_end(&mut self, cx: &mut Context) -> Poll<Result<(), GatewayError>> {
        if self.evaluation.is_none() {
            let Some(mut record) = self.record.take() else { return Poll::Ready(Ok(())) };
            self.reader.finish(record.transaction.request_mut());
            let decision = match self.run_own_rules(&mut record) {
                OwnDecision::Continue => None,
                OwnDecision::Allow => Some(Ok(())),
                OwnDecision::Reject(error) => Some(Err(error)),
            };
            if let Some(decision) = decision {
                record.end_request(&self.shared, decision.as_ref().err().map(|error| error.status(false)));
                return Poll::Ready(decision);
            }
            self.evaluation = Some(Box::pin(evaluate_on_pool(record, Vec::new(), &self.shared)));
        }
        let Some(evaluation) = &mut self.evaluation else { return Poll::Ready(Ok(())) };
        let PoolResult { record, decision } = ready!(evaluation.as_mut().poll(cx));
        self.evaluation = None;
        if let Some(record) = record {
            record.end_request(&self.shared, decision.as_ref().err().map(|error| error.status(false)));
        }
        Poll::Ready(decision)
    }
}

impl RequestInspector for WafInspector {
    fn decide(mut self: Box<Self>, body: &[u8]) -> Step {
        let Some(mut record) = self.record.take() else { return Step::Next };
        let raw = self.reader.finish(record.transaction.request_mut());
        let raw = if raw.is_empty() { body.to_vec() } else { raw };
        let shared = self.shared.clone();
        Step::ResumeAt(Box::new(move |exchange| decide_request(record, raw, exchange, shared)))
    }
}

/// Evaluates a request whose body is complete: the custom rules that read it, bots, managed rules.
pub fn decide_request(
    mut record: Box<WafRecord>,
    body: Vec<u8>,
    exchange: &mut Exchange,
    shared: WafShared,
) -> Step {
    match run_late(&mut record, &body, exchange, &shared) {
        OwnDecision::Continue => {}
        OwnDecision::Allow => return finish(record, Ok(()), exchange, &shared),
        OwnDecision::Reject(error) => return finish(record, Err(error), exchange, &shared),
    }
    if is_short(&record) || exchange.is_dry_run {
        let decision = evaluate_inline(&mut record, &body);
        return finish(record, decision, exchange, &shared);
    }
    let evaluation = evaluate_on_pool(record, body, &shared);
    Step::Suspend(Box::pin(async move {
        let PoolResult { record, decision } = evaluation.await;
        Step::ResumeAt(Box::new(move |exchange| match record {
            Some(record) => finish(record, decision, exchange, &shared),
            None => decision.map_or_else(Step::Fail, |()| Step::Next),
        }))
    }))
}

fn finish(
    record: Box<WafRecord>,
    decision: Result<(), GatewayError>,
    exchange: &mut Exchange,
    shared: &WafShared,
) -> Step {
    // The client of a dry run is the operator.
    if exchange.is_dry_run {
        return explain(&record, decision, exchange);
    }
    record.end_request(shared, decision.as_ref().err().map(|error| error.status(false)));
    decision.map_or_else(Step::Fail, |()| Step::Next)
}

/// Describes the matches instead of logging them: in the error, or in the description of the stage.
fn explain(record: &WafRecord, decision: Result<(), GatewayError>, exchange: &mut Exchange) -> Step {
    match decision {
        Err(error) => Step::Fail(GatewayError { detail: record.explanation().into(), ..error }),
        Ok(()) => {
            exchange.response.note = (!record.is_empty()).then(|| record.explanation().into());
            Step::Next
        }
    }
}
