//! From the request head to the response: route lookup, stages, target, and back through the stages. Independent of
//! client connections, because parts of an aggregate and background exchanges (cache refreshes) are dispatched here
//! too.

use super::{aggregate, hub, internal};
use crate::{
    backend::{affinity, attempt, discovery::ServiceWatch},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        cancel::until_client_closes,
        error::GatewayError,
        exchange::Exchange,
        inspection::InspectedBody,
        replay::ReplayBody,
        response::{Response, RouteResult},
        response_inspection::inspect_response,
        stage::{run_request, run_response},
    },
    plan::{Plan, Route, RouteRef, Target},
    stages::program::{
        context::RouteTarget,
        run::{self as program, RouteProgram, Surroundings},
    },
};
use std::time::Duration;

/// How long a request waits for the first result of service discovery.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the route and runs the exchange through it; returns the route too, if one matches.
pub async fn dispatch<'p>(
    exchange: &mut Exchange,
    plan: &'p Plan,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> (Option<RouteRef<'p>>, RouteResult) {
    let route = match plan.find(exchange) {
        Ok(route) => route,
        Err(cause) => return (None, Err(cause)),
    };
    if let Some(filter) = plan.client_fields.trailer_filter(&exchange.request, client.framing()) {
        client.set_trailer_filter(filter);
    }
    exchange.body.min_rate = route.pace.min_request_rate;
    route.metrics.begin(exchange.worker);
    let outcome = run_route(&route, exchange, hop, client).await;
    (Some(route), outcome)
}

/// Runs the remaining stages of the exchange, the target, and the same stages in reverse order.
pub async fn run_route(
    route: &Route,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let first = exchange.routing.stage_index;
    exchange.body.framing = client.framing();
    let (ran, early) = run_request(&route.stages, exchange, client).await;
    let mut outcome = call_with_upload(route, early, exchange, hop, client).await;
    if exchange.response.inspector.is_some() {
        outcome = Box::pin(inspect_response(exchange, client, outcome)).await;
    }
    run_response(&route.stages[first..ran], exchange, &mut outcome);
    attach_guards(exchange, &mut outcome);
    outcome
}

/// Calls the target with the body that stages relay while they inspect it, or with the client's.
async fn call_with_upload(
    route: &Route,
    early: Option<RouteResult>,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let Some(relayed) = exchange.body.relayed.take() else {
        return call_or_fail(route, early, exchange, hop, client).await;
    };
    let mut inspected = InspectedBody::new(client, relayed);
    let outcome = call_or_fail(route, early, exchange, hop, &mut inspected).await;
    outcome.map(|response| Response { body: inspected.with_remaining_upload(response.body), ..response })
}

/// Calls the target, or its program, unless a stage has decided.
async fn call_or_fail(
    route: &Route,
    early: Option<RouteResult>,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    match (early, exchange.body.collected.clone()) {
        (early, _) if route.program.is_some() && !matches!(early, Some(Ok(_))) => {
            let failed = early.and_then(Result::err);
            // Boxed: only these routes have programs.
            Box::pin(run_program(route, failed, exchange, hop, client)).await
        }
        (Some(outcome), _) => outcome,
        (None, Some(body)) => {
            let mut collected = ReplayBody::from_buffered(body, client);
            let outcome = call_target(route, exchange, hop, &mut collected).await;
            outcome
                .map(|response| Response { body: collected.with_remaining_upload(response.body), ..response })
        }
        (None, None) => call_target(route, exchange, hop, client).await,
    }
}

/// Runs the route of a part of an aggregate. Boxed, because a part goes through the same functions again.
fn run_part<'f>(
    route: &'f Route,
    exchange: &'f mut Exchange,
    hop: HopByHop,
    client: &'f mut dyn ClientBody,
) -> aggregate::BoxFuture<'f, RouteResult> {
    Box::pin(run_route(route, exchange, hop, client))
}

/// The guards of the stages are attached to the response body and dropped at its end.
fn attach_guards(exchange: &mut Exchange, outcome: &mut RouteResult) {
    let guards = std::mem::take(&mut exchange.response.guards);
    match outcome {
        Ok(Response { upgrade: Some(upgrade), .. }) => upgrade.guards.extend(guards),
        Ok(response) => response.body = std::mem::take(&mut response.body).with_guards(guards),
        Err(_) => {}
    }
}

/// Waits for the first result of service discovery.
#[cold]
async fn wait_for_discovery(
    source: &ServiceWatch,
    exchange: &Exchange,
    client: &mut dyn ClientBody,
) -> Result<(), GatewayError> {
    until_client_closes(source.wait_ready(exchange.now + DISCOVERY_TIMEOUT), client).await
}

/// Calls the target of the route.
async fn call_target(
    route: &Route,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    if let Target::Aggregate(several) = &route.target {
        return aggregate::run(several, exchange, hop, client, run_part).await;
    }
    route.rewrite(exchange)?;
    call_rewritten(route, exchange, hop, client).await
}

/// Runs the policy program of the route around its target.
async fn run_program(
    route: &Route,
    failed: Option<GatewayError>,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let Some(program) = &route.program else { return call_target(route, exchange, hop, client).await };
    let failed = match (failed, &route.target) {
        (None, Target::Fail(code, detail)) if !detail.is_empty() => {
            Some(GatewayError::new(*code, detail.clone()))
        }
        (failed, _) => failed,
    };
    if matches!(&**program, RouteProgram::Route { .. })
        && !matches!(route.target, Target::Aggregate(_) | Target::Fail(..))
    {
        route.rewrite(exchange)?;
    }
    let target = RouteCall(route);
    program::run(program, Surroundings { exchange, hop, client, route: Some(&target), failed }).await
}

/// The target of a route, for its program.
struct RouteCall<'r>(&'r Route);

impl RouteTarget for RouteCall<'_> {
    fn call<'f>(
        &'f self,
        exchange: &'f mut Exchange,
        hop: HopByHop,
        client: &'f mut dyn ClientBody,
    ) -> aggregate::BoxFuture<'f, RouteResult> {
        Box::pin(async move {
            match &self.0.target {
                Target::Aggregate(several) => aggregate::run(several, exchange, hop, client, run_part).await,
                _ => call_rewritten(self.0, exchange, hop, client).await,
            }
        })
    }
}

/// Calls the target; the path of the request is that of the target already.
async fn call_rewritten(
    route: &Route,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    if let Target::Agent(agent) = &route.target {
        let cluster = agent.cluster(&exchange.routing.agent_hosts, exchange.now);
        client.limit_body(exchange.body.limit);
        return attempt::run(&cluster, &agent.terms, hop, exchange, client).await;
    }
    if let Target::Internal { service, timeout } = &route.target {
        client.limit_body(exchange.body.limit);
        return internal::call(service, *timeout, exchange, hop, client).await;
    }
    if let Target::Fabric(fabric) = &route.target {
        client.limit_body(exchange.body.limit);
        return attempt::run_fabric(fabric, hop, exchange, client).await;
    }
    if let Target::Hub(target) = &route.target {
        client.limit_body(exchange.body.limit);
        return Box::pin(hub::call(target, exchange, hop, client)).await;
    }
    let (cluster, terms) = route.cluster()?;
    if let Some(source) = cluster.pending_discovery(exchange) {
        wait_for_discovery(source, exchange, client).await?;
    }
    client.limit_body(exchange.body.limit);
    if let Some(connections) = &route.connections {
        return Box::pin(affinity::run(connections, cluster, terms, hop, exchange, client)).await;
    }
    attempt::run(cluster, terms, hop, exchange, client).await
}
