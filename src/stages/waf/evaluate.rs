//! Managed rules on a complete request, on the worker or on a thread of the pool.

use super::record::{WafAction, WafRecord};
use super::refusal::{blocked, blocked_response, failed, malformed, overloaded};
use super::state::WafShared;
use crate::base::client_prefix::ClientPrefix;
use crate::pipeline::error::{ErrorCode, GatewayError};
use crate::stages::authentication::verification_pool::{JobSource, Priority};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// A request with more arguments is evaluated by the pool.
const MAX_INLINE_ARGUMENTS: usize = 64;

/// A request with more text is evaluated by the pool.
const MAX_INLINE_BYTES: usize = 8 << 10;

/// Whether a worker may evaluate the request itself.
pub fn is_short(record: &WafRecord) -> bool {
    let request = record.transaction.request();
    request.argument_count <= MAX_INLINE_ARGUMENTS && request.text_length() <= MAX_INLINE_BYTES
}

/// Runs the managed rules on the worker; the error rejects the request.
pub fn evaluate_inline(record: &mut WafRecord, body: &[u8]) -> Result<(), GatewayError> {
    let refuses_on_error = record.policy.refuses_on_error;
    catch_unwind(AssertUnwindSafe(|| evaluate(record, body)))
        .unwrap_or_else(|_| if refuses_on_error { Err(failed()) } else { Ok(()) })
}

/// Runs the managed rules; the error rejects the request.
fn evaluate(record: &mut WafRecord, body: &[u8]) -> Result<(), GatewayError> {
    record.transaction.run_head();
    record.transaction.add_raw_body(body);
    record.transaction.run_body();
    decide(record)
}

/// What the rules and the parser of the body decided.
fn decide(record: &mut WafRecord) -> Result<(), GatewayError> {
    let body_error = record.transaction.request().body_error;
    let denial = record.transaction.denial();
    let is_denied = denial.is_some();
    // A blank boundary violates the grammar of the head, which the rules inspect.
    let is_head_fault = body_error == Some("multipart with a blank boundary");
    if body_error.is_some() && !(is_head_fault && is_denied) {
        record.act(WafAction::Malformed);
        return if record.is_blocking() { Err(malformed()) } else { Ok(()) };
    }
    if is_denied {
        let is_blocking = record.is_blocking();
        record.act(if is_blocking { WafAction::Blocked } else { WafAction::Detected });
        if is_blocking {
            let status = denial.and_then(|denial| denial.status);
            return Err(blocked(&record.policy, ErrorCode::WafBlocked, status));
        }
    } else if !record.transaction.matches().is_empty() {
        record.act(WafAction::Logged);
    }
    Ok(())
}

/// Runs the rules for responses on the beginning of a body; the error replaces the response.
pub fn evaluate_response(record: &mut WafRecord, body: &[u8]) -> Result<(), GatewayError> {
    let denial = record.transaction.run_response(body);
    if let Some(denial) = denial.filter(|_| record.is_blocking()) {
        record.act(WafAction::Blocked);
        return Err(blocked_response(denial.status));
    }
    if denial.is_some() {
        record.act(WafAction::Detected);
    } else if !record.transaction.matches().is_empty() {
        record.act(WafAction::Logged);
    }
    Ok(())
}

/// The result of an evaluation by the pool: the record, unless it was lost with the thread or the queue.
pub struct PoolResult {
    /// The record.
    pub record: Option<Box<WafRecord>>,
    /// The decision.
    pub decision: Result<(), GatewayError>,
}

/// Evaluates a request on the pool.
pub fn evaluate_on_pool(
    record: Box<WafRecord>,
    body: Vec<u8>,
    shared: &WafShared,
) -> impl Future<Output = PoolResult> + Send + use<> {
    let size = record.transaction.request().text_length() + body.len();
    run_on_pool(record, shared, size, move |record| evaluate(record, &body))
}

/// Runs an evaluation on the pool; `size` is the memory that it holds.
pub fn run_on_pool<F>(
    mut record: Box<WafRecord>,
    shared: &WafShared,
    size: usize,
    evaluation: F,
) -> impl Future<Output = PoolResult> + Send + use<F>
where
    F: FnOnce(&mut WafRecord) -> Result<(), GatewayError> + Send + 'static,
{
    let policy = record.policy.clone();
    let source = JobSource { client: ClientPrefix::from(record.address), name: 0, priority: Priority::High };
    let (start, started) = oneshot::channel();
    let (engine, waiting) = (shared.engine.clone(), shared.engine.enter_queue());
    let job = move || {
        drop(waiting);
        // Nothing waits for an evaluation that started too late.
        let is_expected = start.send(()).is_ok();
        is_expected.then(|| {
            let decision = evaluation(&mut record);
            (record, decision)
        })
    };
    let running = shared.pool().run(source, size, job);
    async move {
        // A queue without room drops the job.
        if !matches!(tokio::time::timeout(policy.engine.queue_timeout, started).await, Ok(Ok(()))) {
            engine.count_rejected();
            let refusal = policy.engine.refuses_on_overload.then(overloaded);
            return lost(refusal);
        }
        match running.await.flatten() {
            Some((record, decision)) => PoolResult { record: Some(record), decision },
            // The evaluation panicked.
            None => lost(policy.refuses_on_error.then(failed)),
        }
    }
}

fn lost(refusal: Option<GatewayError>) -> PoolResult {
    PoolResult { record: None, decision: refusal.map_or(Ok(()), Err) }
}
