//! The contract of a stage, and the walk through a route's stages.

use super::{
    answer::{Answer, Outcome},
    cause::Cause,
    exchange::Exchange,
};
use std::{future::Future, pin::Pin};

/// What a stage says about a request.
pub enum Step {
    /// Go on with the next stage.
    Next,
    /// The gateway answers; the service is not asked.
    Reply(Answer),
    /// Refused.
    Fail(Cause),
    /// Cannot be said without waiting; never on the warm path.
    Wait(Pin<Box<dyn Future<Output = Step> + Send>>),
}

/// One compiled step of a route. Synchronous and free of allocation on the warm path; no sockets; time from the exchange.
pub trait Stage: Send + Sync + std::fmt::Debug {
    /// The name in the table of stages.
    fn name(&self) -> &'static str;

    /// The way in: may read and edit the request.
    fn request(&self, x: &mut Exchange) -> Step;

    /// The way back, in reverse order, for every stage that ran: may edit the answer or take its place.
    fn outcome(&self, _x: &mut Exchange, _outcome: &mut Outcome) {}

    /// What it does, in a few words, for `explain`.
    fn describe(&self) -> String;
}

/// A compiled stage, shared by all requests of its plan.
pub type BoxStage = Box<dyn Stage>;

/// Walks the stages in order; says how many ran, and what the last one answered if it did not say `Next`.
pub async fn walk(stages: &[BoxStage], x: &mut Exchange) -> (usize, Option<Outcome>) {
    for (at, stage) in stages.iter().enumerate() {
        let mut step = stage.request(x);
        while let Step::Wait(wait) = step {
            step = wait.await;
        }
        match step {
            Step::Next | Step::Wait(_) => {}
            Step::Reply(answer) => return (at + 1, Some(Ok(answer))),
            Step::Fail(cause) => return (at + 1, Some(Err(cause))),
        }
    }
    (stages.len(), None)
}

/// Walks back through the stages that ran.
pub fn back(stages: &[BoxStage], x: &mut Exchange, outcome: &mut Outcome) {
    for stage in stages.iter().rev() {
        stage.outcome(x, outcome);
    }
}
