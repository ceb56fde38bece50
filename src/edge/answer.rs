//! From the head to the answer: the route, its stages, its target, and back. Knows no client connection, so that parts of
//! an aggregate and exchanges of the gateway's own come here too.

use super::aggregate;
use crate::{
    backend::{attempt, discovery::Source},
    pipeline::{
        answer::{Answer, Outcome},
        body::Caller,
        cause::Cause,
        exchange::Exchange,
        replay::Replay,
        stage::{back, walk},
    },
    plan::{Found, Plan, Route, Target},
    wire::h1::hop::Hop,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How long a request waits for a registry, where it has to.
const REGISTRY: Duration = Duration::from_secs(5);

/// Finds the route and takes the exchange through it; says which route it was, if there was one.
pub async fn answer<'p>(
    x: &mut Exchange,
    plan: &'p Plan,
    hop: Hop,
    caller: &mut dyn Caller,
) -> (Option<Found<'p>>, Outcome) {
    let route = match plan.find(x) {
        Ok(route) => route,
        Err(cause) => return (None, Err(cause)),
    };
    route.metrics.begin(x.worker);
    let outcome = through(&route, x, hop, caller).await;
    (Some(route), outcome)
}

/// The stages that the exchange has not behind it yet, the target, and back through those stages.
pub async fn through(route: &Route, x: &mut Exchange, hop: Hop, caller: &mut dyn Caller) -> Outcome {
    let first = x.depth;
    x.framing = caller.framing();
    let (ran, early) = walk(&route.stages, x, caller).await;
    let mut outcome = match (early, x.body.clone()) {
        (Some(outcome), _) => outcome,
        (None, Some(body)) => {
            let mut whole = Replay::whole(body, caller);
            let outcome = target(route, x, hop, &mut whole).await;
            outcome.map(|answer| Answer { body: whole.with_rest(answer.body), ..answer })
        }
        (None, None) => target(route, x, hop, caller).await,
    };
    back(&route.stages[first..ran], x, &mut outcome);
    hold(x, &mut outcome);
    outcome
}

/// What the stages hold goes with the body of the answer, and is given back at its end.
fn hold(x: &mut Exchange, outcome: &mut Outcome) {
    let leases = std::mem::take(&mut x.leases);
    match outcome {
        Ok(Answer { switch: Some(switch), .. }) => switch.leases.extend(leases),
        Ok(answer) => answer.body = std::mem::take(&mut answer.body).holding(leases),
        Err(_) => {}
    }
}

/// Waits until a registry has said where the service is, where that cannot be known before the request.
#[cold]
async fn found(source: &Source, x: &Exchange, caller: &mut dyn Caller) -> Result<(), Cause> {
    let mut ready = pin!(source.ready(x.now + REGISTRY));
    poll_fn(|cx| match ready.as_mut().poll(cx) {
        Poll::Pending => caller.poll_gone(cx).map(|()| Err(Cause::gone())),
        Poll::Ready(()) => Poll::Ready(Ok(())),
    })
    .await
}

/// What the route leads to.
async fn target(route: &Route, x: &mut Exchange, hop: Hop, caller: &mut dyn Caller) -> Outcome {
    if let Target::Aggregate(several) = &route.target {
        return aggregate::run(several, x, hop, caller).await;
    }
    route.rewrite(x)?;
    let (cluster, terms) = route.cluster()?;
    if let Some(source) = cluster.awaited(x) {
        found(source, x, caller).await?;
    }
    caller.limit_body(x.body_limit);
    attempt::run(cluster, terms, hop, x, caller).await
}
