//! SignalR services: negotiations, and the requests of transports.

mod access;
mod negotiation;
mod path;
mod transports;

pub use path::{SignalRPath, hub_name, lower_case_names};

use super::{HubTarget, path::QueryPairs};
use crate::pipeline::{body::ClientBody, error::GatewayError, exchange::Exchange, response::RouteResult};
use crate::telemetry::hubs::HubHandshake;

/// Responds to a negotiation.
pub fn negotiate(target: &HubTarget, query: QueryPairs, exchange: &Exchange) -> RouteResult {
    let result = negotiation::respond(target, &lower_case_names(query), exchange);
    if let Err(error) = &result {
        count(target, error);
    }
    result
}

/// Serves a request of a transport; `query` is undecoded.
pub async fn connect(
    target: &HubTarget,
    query: QueryPairs,
    exchange: &mut Exchange,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let result = transports::serve(target, lower_case_names(query), exchange, client).await;
    if let Err(error) = &result {
        count(target, error);
    }
    result
}

fn count(target: &HubTarget, error: &GatewayError) {
    let outcome = if error.status(false) < 500 { HubHandshake::Rejected } else { HubHandshake::Failed };
    target.engine.shared.metrics.count_handshake(outcome);
}
