//! The contract of a stage, and the walk through a route's stages.

use super::{
    body::ClientBody,
    cancel::until_client_closes,
    collect::collect_body,
    error::{Fault, GatewayError},
    exchange::Exchange,
    response::{Response, RouteResult},
};
use crate::telemetry::{StageMetrics, StageOutcome};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// What a stage says about a request.
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
    /// Go on with the next stage.
    Next,
    /// The gateway answers; the service is not asked.
    Respond(Response),
    /// Refused.
    Fail(GatewayError),
    /// Cannot be said without waiting; never on the warm path, never for a dry exchange.
    Suspend(StageFuture),
    /// The stage wants to see the request's body whole, at most so many bytes of it, and is then asked again.
    ReadBody(usize),
    /// What was waited for, given to the exchange: a wait itself does not have it in its hands.
    ResumeAt(Box<dyn FnOnce(&mut Exchange) -> Step + Send>),
}

/// A stage's answer that is still to come.
pub type StageFuture = Pin<Box<dyn Future<Output = Step> + Send>>;

/// One compiled step of a route. Synchronous and free of allocation on the warm path; no sockets; time from the exchange.
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
    /// The name in the table of stages.
    fn name(&self) -> &'static str;

    /// The way in: may read and edit the request.
    fn on_request(&self, exchange: &mut Exchange) -> Step;

    /// The way back, in reverse order, for every stage that ran: may edit the answer or take its place.
    fn on_response(&self, _exchange: &mut Exchange, _outcome: &mut RouteResult) {}

    /// What it does, in a few words, for `explain`.
    fn describe(&self) -> String;
}

/// A compiled stage, shared by all requests of its plan.
pub type BoxStage = Box<dyn Stage>;

/// A stage in its place on a route, and where it is counted.
#[derive(Debug)]
pub struct StageEntry {
    pub stage: BoxStage,
    pub metrics: Arc<StageMetrics>,
}

/// Walks the stages that the exchange has not behind it yet, in order; says how many lie behind it then, and what the last
/// one answered if it did not say `Next`. While a stage waits the caller is watched: nobody waits for one that left.
pub async fn run_request(
    stages: &[StageEntry],
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> (usize, Option<RouteResult>) {
    for (at, StageEntry { stage, metrics }) in stages.iter().enumerate().skip(exchange.routing.stage_index) {
        exchange.routing.stage_index = at + 1;
        let mut step = stage.on_request(exchange);
        let outcome = loop {
            step = match step {
                Step::Next => break None,
                Step::Respond(answer) => break Some(Ok(answer)),
                Step::Fail(cause) => break Some(Err(cause)),
                Step::ResumeAt(resume) => resume(exchange),
                Step::Suspend(wait) => {
                    metrics.count(exchange.worker, StageOutcome::Suspended);
                    until_client_closes(wait, caller).await.unwrap_or_else(Step::Fail)
                }
                Step::ReadBody(most) => {
                    let max_bytes = most.min(saturating_usize(exchange.body.limit));
                    match collect_body(caller, max_bytes, BODY_IDLE_TIMEOUT).await {
                        Ok(body) => {
                            exchange.body.collected = Some(body);
                            stage.on_request(exchange)
                        }
                        Err(cause) => Step::Fail(cause),
                    }
                }
            };
        };
        if outcome.is_some() {
            count(metrics, exchange, outcome.as_ref());
            return (at + 1, outcome);
        }
    }
    (stages.len(), None)
}

/// How long a body that a stage reads completely may pause.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

fn saturating_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn count(metrics: &StageMetrics, exchange: &Exchange, outcome: Option<&RouteResult>) {
    let what = match outcome {
        Some(Ok(_)) => StageOutcome::Responded,
        Some(Err(cause)) if cause.why.fault() == Fault::Client => StageOutcome::Rejected,
        Some(Err(_)) => StageOutcome::Failed,
        None => return,
    };
    if !exchange.is_dry_run {
        metrics.count(exchange.worker, what);
    }
}

/// Walks back through the stages that ran.
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
    use std::time::Instant;

    /// Writes its name down.
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
    async fn an_exchange_forked_in_a_stage_goes_on_behind_it() {
        let metrics = Metrics::new(1);
        let placed = |name| StageEntry { stage: Box::new(Named(name)), metrics: metrics.stage("via") };
        let stages = [placed("a"), placed("b"), placed("c")];
        let nobody = "127.0.0.1:0".parse().unwrap();
        let mut x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
        let (ran, early) = run_request(&stages[..2], &mut x, &mut NoClient).await;
        assert!(early.is_none() && ran == 2 && x.routing.stage_index == 2);
        let mut fork = x.fork(x.now);
        run_request(&stages, &mut fork, &mut NoClient).await;
        assert_eq!((&x.scratch[..], &fork.scratch[..]), (&b"ab"[..], &b"c"[..]));
    }
}
