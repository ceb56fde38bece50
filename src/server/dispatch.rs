//! From the head to the answer: the route, its stages, its target, and back. Knows no client connection, so that parts of
//! an aggregate and exchanges of the gateway's own come here too.

use super::aggregate;
use crate::{
    backend::{attempt, discovery::ServiceWatch},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        error::GatewayError,
        exchange::Exchange,
        replay::ReplayBody,
        response::{Response, RouteResult},
        stage::{run_request, run_response},
    },
    plan::{Plan, Route, RouteRef, Target},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How long a request waits for a registry, where it has to.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the route and takes the exchange through it; says which route it was, if there was one.
pub async fn dispatch<'p>(
    exchange: &mut Exchange,
    plan: &'p Plan,
    hop: HopByHop,
    caller: &mut dyn ClientBody,
) -> (Option<RouteRef<'p>>, RouteResult) {
    let route = match plan.find(exchange) {
        Ok(route) => route,
        Err(cause) => return (None, Err(cause)),
    };
    route.metrics.begin(exchange.worker);
    let outcome = run_route(&route, exchange, hop, caller).await;
    (Some(route), outcome)
}

/// The stages that the exchange has not behind it yet, the target, and back through those stages.
pub async fn run_route(
    route: &Route,
    exchange: &mut Exchange,
    hop: HopByHop,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let first = exchange.stage_index;
    exchange.framing = caller.framing();
    let (ran, early) = run_request(&route.stages, exchange, caller).await;
    let mut outcome = match (early, exchange.body.clone()) {
        (Some(outcome), _) => outcome,
        (None, Some(body)) => {
            let mut whole = ReplayBody::from_buffered(body, caller);
            let outcome = call_target(route, exchange, hop, &mut whole).await;
            outcome.map(|answer| Response { body: whole.with_remaining_upload(answer.body), ..answer })
        }
        (None, None) => call_target(route, exchange, hop, caller).await,
    };
    run_response(&route.stages[first..ran], exchange, &mut outcome);
    attach_guards(exchange, &mut outcome);
    outcome
}

/// What the stages hold goes with the body of the answer, and is given back at its end.
fn attach_guards(exchange: &mut Exchange, outcome: &mut RouteResult) {
    let leases = std::mem::take(&mut exchange.guards);
    match outcome {
        Ok(Response { upgrade: Some(switch), .. }) => switch.guards.extend(leases),
        Ok(answer) => answer.body = std::mem::take(&mut answer.body).with_guards(leases),
        Err(_) => {}
    }
}

/// Waits until a registry has said where the service is, where that cannot be known before the request.
#[cold]
async fn wait_for_discovery(
    source: &ServiceWatch,
    exchange: &Exchange,
    caller: &mut dyn ClientBody,
) -> Result<(), GatewayError> {
    let mut ready = pin!(source.wait_ready(exchange.now + DISCOVERY_TIMEOUT));
    poll_fn(|cx| match ready.as_mut().poll(cx) {
        Poll::Pending => caller.poll_closed(cx).map(|()| Err(GatewayError::client_closed())),
        Poll::Ready(()) => Poll::Ready(Ok(())),
    })
    .await
}

/// What the route leads to.
async fn call_target(
    route: &Route,
    exchange: &mut Exchange,
    hop: HopByHop,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    if let Target::Aggregate(several) = &route.target {
        return aggregate::run(several, exchange, hop, caller).await;
    }
    route.rewrite(exchange)?;
    let (cluster, terms) = route.cluster()?;
    if let Some(source) = cluster.pending_discovery(exchange) {
        wait_for_discovery(source, exchange, caller).await?;
    }
    caller.limit_body(exchange.body_limit);
    attempt::run(cluster, terms, hop, exchange, caller).await
}
