//! Managed rules on a complete request, on the worker or on a thread of the pool.

use super::record::{WafAction, WafRecord};
use super::refusal::{blocked, failed, malformed, overloaded};
use super::state::WafShared;
use crate::base::client_prefix::ClientPrefix;
use crate::pipeline::error::{ErrorCode, GatewayError};
use crate::stages::authentication::verification_pool::{JobSource, Priority};
use std::future::Future;

/// A request with more arguments is evaluated by the pool.
const MAX_INLINE_ARGUMENTS: usize = 64;

/// A request with more text is evaluated by the pool.
const MAX_INLINE_BYTES: usize = 16 << 10;

/// Whether a worker may evaluate the request itself.
pub fn is_short(record: &WafRecord) -> bool {
    let request = record.transaction.request();
    request.argument_count <= MAX_INLINE_ARGUMENTS && request.text_length() <= MAX_INLINE_BYTES
}

/// Runs the managed rules; the error rejects the request.
pub fn evaluate(record: &mut WafRecord, body: &[u8]) -> Result<(), GatewayError> {
    record.transaction.run_head();
    record.transaction.add_raw_body(body);
    record.transaction.run_body();
    decide(record)
}

/// What the rules and the parser of the body decided.
fn decide(record: &mut WafRecord) -> Result<(), GatewayError> {
    let body_error = record.transaction.request().body_error;
    let is_denied = record.transaction.denial().is_some();
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
            return Err(blocked(&record.policy, ErrorCode::WafBlocked, None));
        }
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
    mut record: Box<WafRecord>,
    body: Vec<u8>,
    shared: &WafShared,
) -> impl Future<Output = PoolResult> + Send + use<> {
    let policy = record.policy.clone();
    let source = JobSource { client: ClientPrefix::from(record.address), name: 0, priority: Priority::High };
    let size = record.transaction.request().text_length() + body.len();
    let job = move || {
        let decision = evaluate(&mut record, &body);
        (record, decision)
    };
    let running = shared.pool().run(source, size, job);
    async move {
        let limit = policy.engine.queue_timeout;
        match tokio::time::timeout(limit, running).await {
            Ok(Some((record, decision))) => PoolResult { record: Some(record), decision },
            // The queue had no room, or the evaluation panicked.
            Ok(None) if policy.engine.refuses_on_overload => lost(Err(overloaded())),
            Ok(None) if policy.refuses_on_error => lost(Err(failed())),
            Err(_) if policy.engine.refuses_on_overload => lost(Err(overloaded())),
            _ => lost(Ok(())),
        }
    }
}

fn lost(decision: Result<(), GatewayError>) -> PoolResult {
    PoolResult { record: None, decision }
}
