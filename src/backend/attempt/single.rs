//! One attempt with a given endpoint: no balancing, no retry, no fallback.

use super::{config::AttemptConfig, deadlines::Deadlines, retry_loop::CallTarget};
use crate::{
    backend::{cluster::Cluster, endpoint::Endpoint, selection::Selection},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{body::ClientBody, exchange::Exchange, response::RouteResult},
};
use std::sync::Arc;

/// Sends the exchange to this endpoint of the cluster, whatever its health.
pub async fn run_at(
    cluster: &Cluster,
    endpoint: Arc<Endpoint>,
    config: &AttemptConfig,
    hop: HopByHop,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let selection = match cluster.tracks_in_flight() {
        true => Selection::counted(&endpoint),
        false => Selection::uncounted(&endpoint),
    };
    let target = CallTarget { cluster, config, hop };
    target.call_endpoint(selection, &mut Deadlines::new(exchange.now), exchange, caller).await
}
