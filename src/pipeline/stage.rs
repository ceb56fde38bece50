//! The stage contract, and the walk through the stages of a route.

use super::{
    body::ClientBody,
    cancel::until_client_closes,
    collect::{BodyPace, CollectedBody, collect_body},
    error::{Fault, GatewayError},
    exchange::Exchange,
    inspection::{BodyInspector, InspectedBody, Inspection, RelayedBody, inspect_chunks},
    response::{Response, RouteResult},
};
use crate::telemetry::{
    StageMetrics, StageOutcome,
    trace::{AttributeValue, RequestTrace, SpanEnd, SpanKind},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The decision of a stage about a request.
///
/// ```
/// use margay::pipeline::{error::GatewayError, exchange::Exchange, response::Response, stage::Step};
/// use std::time::Duration;
///
/// fn on_request(exchange: &mut Exchange) -> Step {
///     match exchange.request.get(b"X-Mode") {
///         None => Step::Next,
///         Some(b"closed") => Step::Respond(Response::local(503, "text/plain", "open from 8 to 20\n")),
///         Some(b"slow") => Step::Suspend(Box::pin(async {
///             tokio::time::sleep(Duration::from_millis(10)).await;
///             Step::Next
///         })),
///         Some(_) => Step::Fail(GatewayError::malformed_request("unknown X-Mode")),
///     }
/// }
/// ```
pub enum Step {
    /// Continue with the next stage.
    Next,
    /// Send this response; the backend does not receive the request.
    Respond(Response),
    /// Reject the request.
    Fail(GatewayError),
    /// The decision needs to wait; never on the hot path, never in a dry run.
    Suspend(StageFuture),
    /// Collect the request body, at most this many bytes, and call the stage again.
    ReadBody(usize),
    /// Inspect the request body while it arrives: it is held back until the inspector decides, or relayed.
    InspectBody(Box<dyn RequestInspector>),
    /// Resume with the result of a `Suspend`, whose future has no access to the exchange.
    ResumeAt(Box<dyn FnOnce(&mut Exchange) -> Step + Send>),
}

/// Inspects the body of a request and decides about the request.
pub trait RequestInspector: BodyInspector {
    /// The body was held back and is complete.
    fn decide(self: Box<Self>, body: &[u8]) -> Step;
}

/// The pending decision of a stage.
pub type StageFuture = Pin<Box<dyn Future<Output = Step> + Send>>;

/// A compiled stage of a route. Synchronous and without allocation on the hot path; no sockets; time from the exchange.
///
/// ```
/// use margay::pipeline::{
///     exchange::Exchange,
///     response::{RouteResult, append_header},
///     stage::{Stage, Step},
/// };
///
/// /// Sends the duration of the request to the client.
/// #[derive(Debug)]
/// struct Timing;
///
/// impl Stage for Timing {
///     fn name(&self) -> &'static str {
///         "Timing"
///     }
///
///     fn on_request(&self, _exchange: &mut Exchange) -> Step {
///         Step::Next
///     }
///
///     fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
///         let duration_ms = exchange.now.elapsed().as_millis().to_string();
///         append_header(outcome, "X-Duration-Ms", duration_ms.as_bytes());
///     }
///
///     fn describe(&self) -> String {
///         "sends X-Duration-Ms".into()
///     }
/// }
/// ```
pub trait Stage: Send + Sync + std::fmt::Debug {
    /// The name in the stage table.
    fn name(&self) -> &'static str;

    /// Request direction: may read and edit the request.
    fn on_request(&self, exchange: &mut Exchange) -> Step;

    /// Response direction, in reverse order, for every stage that ran: may edit or replace the response.
    fn on_response(&self, _exchange: &mut Exchange, _outcome: &mut RouteResult) {}

    /// A short description for `explain`.
    fn describe(&self) -> String;
}

/// A compiled stage, shared by all requests of its plan.
pub type BoxStage = Box<dyn Stage>;

/// A stage of a route, with its metrics.
#[derive(Debug)]
pub struct StageEntry {
    pub stage: BoxStage,
    pub metrics: Arc<StageMetrics>,
}

/// Runs the remaining request stages in order. Returns the number of stages that have run, and the last decision unless
/// it was `Next`. While a stage waits, the exchange is canceled if the client closes its connection.
pub async fn run_request(
    stages: &[StageEntry],
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> (usize, Option<RouteResult>) {
    for (at, StageEntry { stage, metrics }) in stages.iter().enumerate().skip(exchange.routing.stage_index) {
        exchange.routing.stage_index = at + 1;
        let started_at = exchange.trace.is_some().then(Instant::now);
        let mut step = stage.on_request(exchange);
        let outcome = loop {
            step = match step {
                Step::Next => break None,
                Step::Respond(response) => break Some(Ok(response)),
                Step::Fail(cause) => break Some(Err(cause)),
                Step::ResumeAt(resume) => resume(exchange),
                Step::Suspend(wait) => {
                    metrics.count(exchange.worker, StageOutcome::Suspended);
                    until_client_closes(wait, caller).await.unwrap_or_else(Step::Fail)
                }
                Step::InspectBody(inspector) => {
                    inspect_body(exchange, caller, inspector).await.unwrap_or_else(Step::Fail)
                }
                Step::ReadBody(most) => match read_body(exchange, caller, most).await {
                    Ok(()) => stage.on_request(exchange),
                    Err(cause) => Step::Fail(cause),
                },
            };
        };
        if let Some(started_at) = started_at {
            add_stage_span(exchange, stage.name(), started_at, outcome.as_ref());
        }
        if outcome.is_some() {
            exchange.record.stage = stage.name();
            count(metrics, exchange, outcome.as_ref());
            return (at + 1, outcome);
        }
    }
    (stages.len(), None)
}

/// Collects the request body, at most `most` bytes.
async fn read_body(
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
    most: usize,
) -> Result<(), GatewayError> {
    let max_bytes = most.min(saturating_usize(exchange.body.limit));
    let pace = BodyPace::new(BODY_IDLE_TIMEOUT, exchange.body.min_rate);
    let started_at = Instant::now();
    let charge = exchange.buffer_charge();
    let collected = match exchange.body.relayed.take() {
        Some(relayed) => {
            collect_body(&mut InspectedBody::new(caller, relayed), max_bytes, pace, charge).await
        }
        None => collect_body(caller, max_bytes, pace, charge).await,
    };
    exchange.record.client_wait += started_at.elapsed();
    exchange.body.collected = Some(collected?);
    Ok(())
}

/// Passes the request body to an inspector until it decides, or until the body is relayed.
async fn inspect_body(
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
    mut inspector: Box<dyn RequestInspector>,
) -> Result<Step, GatewayError> {
    let pace = BodyPace::new(BODY_IDLE_TIMEOUT, exchange.body.min_rate);
    let begin = exchange.body.collected.take().map(Vec::from).unwrap_or_default();
    let mut step = if begin.is_empty() { Inspection::Hold } else { inspector.inspect(&begin)? };
    let mut held = CollectedBody::new(begin, exchange.buffer_charge())?;
    if step == Inspection::Hold {
        let started_at = Instant::now();
        let chunks = inspect_chunks(caller, pace, &mut held, exchange.body.limit, &mut *inspector).await;
        exchange.record.client_wait += started_at.elapsed();
        step = chunks?;
    }
    if step == Inspection::Relay {
        let inspector = Mutex::new(inspector as Box<dyn BodyInspector>);
        exchange.body.relayed = Some(RelayedBody { held, inspector: Some(inspector) });
        return Ok(Step::Next);
    }
    let decision = inspector.decide(held.as_slice());
    match step {
        Inspection::Hold => exchange.body.collected = Some(held.into_bytes()),
        _ => exchange.body.relayed = Some(RelayedBody { held, inspector: None }),
    }
    Ok(decision)
}

/// The idle timeout of a body that a stage collects.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

fn saturating_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Adds the span of a stage of a traced request that was slow.
#[cold]
fn add_stage_span(
    exchange: &mut Exchange,
    name: &'static str,
    started_at: Instant,
    outcome: Option<&RouteResult>,
) {
    let Some(trace) = exchange.trace.as_mut().filter(|trace| trace.is_slow_stage(started_at.elapsed()))
    else {
        return;
    };
    let error = outcome.and_then(|outcome| outcome.as_ref().err());
    let end = SpanEnd {
        name: format!("stage {name}"),
        attributes: vec![("margay.stage", AttributeValue::Text(name.to_owned()))],
        error: error.map(|cause| cause.code.name().to_owned()),
    };
    trace.add_span(RequestTrace::new_span_id(), SpanKind::Internal, started_at, end);
}

fn count(metrics: &StageMetrics, exchange: &Exchange, outcome: Option<&RouteResult>) {
    let outcome_kind = match outcome {
        Some(Ok(_)) => StageOutcome::Responded,
        Some(Err(cause)) if cause.code.fault() == Fault::Client => StageOutcome::Rejected,
        Some(Err(_)) => StageOutcome::Failed,
        None => return,
    };
    if !exchange.is_dry_run {
        metrics.count(exchange.worker, outcome_kind);
    }
}

/// Runs the response stages in reverse order.
pub fn run_response(stages: &[StageEntry], exchange: &mut Exchange, outcome: &mut RouteResult) {
    for StageEntry { stage, .. } in stages.iter().rev() {
        stage.on_response(exchange, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pipeline::{body::NoClient, exchange::Peer},
        telemetry::Metrics,
    };

    /// Appends its name to the scratch buffer.
    #[derive(Debug)]
    struct Named(&'static str);

    impl Stage for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn on_request(&self, exchange: &mut Exchange) -> Step {
            exchange.scratch.extend_from_slice(self.0.as_bytes());
            Step::Next
        }

        fn describe(&self) -> String {
            String::new()
        }
    }

    #[tokio::test]
    async fn a_fork_continues_with_the_next_stage() {
        let metrics = Metrics::new(1);
        let entry = |name| StageEntry { stage: Box::new(Named(name)), metrics: metrics.stage("via") };
        let stages = [entry("a"), entry("b"), entry("c")];
        let address = "127.0.0.1:0".parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        let (ran, early) = run_request(&stages[..2], &mut exchange, &mut NoClient).await;
        assert!(early.is_none() && ran == 2 && exchange.routing.stage_index == 2);
        let mut fork = exchange.fork(exchange.now);
        run_request(&stages, &mut fork, &mut NoClient).await;
        assert_eq!((&exchange.scratch[..], &fork.scratch[..]), (&b"ab"[..], &b"c"[..]));
    }
}
