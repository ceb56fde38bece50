//! Hub services as targets: handshakes of clients, the data plane and negotiations.

use super::internal;
use crate::{
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        internal::OriginalUrl,
        response::RouteResult,
    },
    realtime::{
        config::ServiceType,
        negotiate,
        service::{
            HubTarget, accept, cors,
            path::{ServicePath, query_pairs},
            signalr::{self, SignalRPath},
        },
    },
};

/// Serves a request of a route with `DownstreamHubService`; its target is the path within the service.
pub async fn call(
    target: &HubTarget,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    if !target.has_cors
        && let Some(response) = cors::preflight(exchange)
    {
        return Ok(response);
    }
    let origin = exchange.request.get(b"Origin").filter(|_| !target.has_cors).map(<[u8]>::to_vec);
    let result = serve(target, exchange, hop, client).await;
    let Some(origin) = origin else { return result };
    match result {
        Ok(mut response) if response.status() != 101 => {
            cors::allow_origin(&mut response.head, &origin);
            Ok(response)
        }
        Ok(response) => Ok(response),
        Err(error) => Err(cors::allow_origin_of_error(error, &origin)),
    }
}

async fn serve(
    target: &HubTarget,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    if let Some(negotiation) = &target.negotiation {
        let origin = OriginalUrl::new(exchange).origin;
        let (method, user) = (exchange.request.method(), exchange.client.user.as_deref());
        return negotiate::respond(&target.service, negotiation, method, user, &origin);
    }
    let text = String::from_utf8_lossy(exchange.request.target()).into_owned();
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let query = query_pairs(query);
    if target.service.config.service_type == ServiceType::SignalR {
        return match SignalRPath::parse(path) {
            SignalRPath::Client => signalr::connect(target, query, exchange, client).await,
            SignalRPath::Negotiation => signalr::negotiate(target, query, exchange),
            SignalRPath::Api => {
                internal::call(&target.data_plane, target.timeout, exchange, hop, client).await
            }
            SignalRPath::Unknown => Err(unknown_path(path)),
        };
    }
    match ServicePath::parse(path, &query) {
        ServicePath::Client { hub } => accept(target, hub, (path, query), exchange, client).await,
        ServicePath::Api => internal::call(&target.data_plane, target.timeout, exchange, hop, client).await,
        ServicePath::Unknown => Err(unknown_path(path)),
    }
}

fn unknown_path(path: &str) -> GatewayError {
    GatewayError::new(ErrorCode::HubNotFound, format!("{path} is no path of a hub service"))
}
