//! The contract of a stage, and the walk through a route's stages.

use super::{
    answer::{Answer, Outcome},
    body::{Caller, Chunk},
    cause::{Cause, Fault, Why},
    exchange::Exchange,
};
use crate::telemetry::{StageMetrics, StageOutcome};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// What a stage says about a request.
pub enum Step {
    /// Go on with the next stage.
    Next,
    /// The gateway answers; the service is not asked.
    Reply(Answer),
    /// Refused.
    Fail(Cause),
    /// Cannot be said without waiting; never on the warm path, never for a dry exchange.
    Wait(Waiting),
    /// The stage wants to see the request's body whole, at most so many bytes of it, and is then asked again.
    Body(usize),
    /// What was waited for, given to the exchange: a wait itself does not have it in its hands.
    Resume(Box<dyn FnOnce(&mut Exchange) -> Step + Send>),
}

/// A stage's answer that is still to come.
pub type Waiting = Pin<Box<dyn Future<Output = Step> + Send>>;

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

/// A stage in its place on a route, and where it is counted.
#[derive(Debug)]
pub struct Placed {
    pub stage: BoxStage,
    pub metrics: Arc<StageMetrics>,
}

/// Walks the stages that the exchange has not behind it yet, in order; says how many lie behind it then, and what the last
/// one answered if it did not say `Next`. While a stage waits the caller is watched: nobody waits for one that left.
pub async fn walk(stages: &[Placed], x: &mut Exchange, caller: &mut dyn Caller) -> (usize, Option<Outcome>) {
    for (at, Placed { stage, metrics }) in stages.iter().enumerate().skip(x.depth) {
        x.depth = at + 1;
        let mut step = stage.request(x);
        let outcome = loop {
            step = match step {
                Step::Next => break None,
                Step::Reply(answer) => break Some(Ok(answer)),
                Step::Fail(cause) => break Some(Err(cause)),
                Step::Resume(resume) => resume(x),
                Step::Wait(wait) => {
                    metrics.count(x.worker, StageOutcome::Waited);
                    patiently(wait, caller).await
                }
                Step::Body(most) => match whole(caller, most.min(usize_of(x.body_limit))).await {
                    Ok(body) => {
                        x.body = Some(body);
                        stage.request(x)
                    }
                    Err(cause) => Step::Fail(cause),
                },
            };
        };
        if outcome.is_some() {
            count(metrics, x, outcome.as_ref());
            return (at + 1, outcome);
        }
    }
    (stages.len(), None)
}

async fn patiently(mut wait: Waiting, caller: &mut dyn Caller) -> Step {
    poll_fn(|cx| match wait.as_mut().poll(cx) {
        Poll::Pending if caller.poll_gone(cx).is_ready() => Poll::Ready(Step::Fail(Cause::gone())),
        step => step,
    })
    .await
}

/// How long a body may stand still that a stage wants to see whole.
const SILENCE: Duration = Duration::from_secs(60);

/// The request's body, if it is not longer than that.
async fn whole(caller: &mut dyn Caller, most: usize) -> Result<Bytes, Cause> {
    let (mut body, mut since) = (Vec::new(), Instant::now());
    poll_fn(|cx| {
        loop {
            let data = match caller.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => data,
                Poll::Ready(Chunk::End) => return Poll::Ready(Ok(Bytes::from(std::mem::take(&mut body)))),
                Poll::Pending => break,
            };
            if body.len() + data.len() > most {
                let detail = format!("the request body is larger than {most} bytes");
                return Poll::Ready(Err(Cause::new(Why::RequestBody, detail)));
            }
            body.extend_from_slice(data);
            let n = data.len();
            caller.consume(n);
            since = Instant::now();
        }
        caller.poll_alarm(cx, since + SILENCE).map(|()| {
            Err(Cause::new(Why::RequestTimeout, format!("the request body stood still for {SILENCE:?}")))
        })
    })
    .await
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn count(metrics: &StageMetrics, x: &Exchange, outcome: Option<&Outcome>) {
    let what = match outcome {
        Some(Ok(_)) => StageOutcome::Replied,
        Some(Err(cause)) if cause.why.fault() == Fault::Client => StageOutcome::Refused,
        Some(Err(_)) => StageOutcome::Failed,
        None => return,
    };
    if !x.dry {
        metrics.count(x.worker, what);
    }
}

/// Walks back through the stages that ran.
pub fn back(stages: &[Placed], x: &mut Exchange, outcome: &mut Outcome) {
    for Placed { stage, .. } in stages.iter().rev() {
        stage.outcome(x, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pipeline::{body::Nobody, exchange::Peer},
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

        fn request(&self, x: &mut Exchange) -> Step {
            x.scratch.extend_from_slice(self.0.as_bytes());
            Step::Next
        }

        fn describe(&self) -> String {
            String::new()
        }
    }

    #[tokio::test]
    async fn an_exchange_forked_in_a_stage_goes_on_behind_it() {
        let metrics = Metrics::new(1);
        let placed = |name| Placed { stage: Box::new(Named(name)), metrics: metrics.stage("via") };
        let stages = [placed("a"), placed("b"), placed("c")];
        let nobody = "127.0.0.1:0".parse().unwrap();
        let mut x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
        let (ran, early) = walk(&stages[..2], &mut x, &mut Nobody).await;
        assert!(early.is_none() && ran == 2 && x.depth == 2);
        let mut fork = x.fork(x.now);
        walk(&stages, &mut fork, &mut Nobody).await;
        assert_eq!((&x.scratch[..], &fork.scratch[..]), (&b"ab"[..], &b"c"[..]));
    }
}
