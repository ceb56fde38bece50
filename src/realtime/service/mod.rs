//! The entry point of hubs: the target of a route with `DownstreamHubService`.

pub mod cors;
mod describe;
mod fields;
mod handshake;
pub mod path;
mod rejection;
pub mod signalr;
mod upgrade;

pub use handshake::accept;

use super::{
    config::NegotiateConfig,
    context::HubService,
    engine::Engine,
    operation::Operations,
    rest::{DataPlane, OriginalTarget},
    signalr::table::LinkTable,
};
use crate::pipeline::internal::{InternalService, OriginalUrl, Request};
use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

/// The target of a route to a service.
#[derive(Clone)]
pub struct HubTarget {
    pub service: Arc<HubService>,
    pub engine: Arc<Engine>,
    /// The transports of SignalR clients.
    pub links: Arc<LinkTable>,
    /// Responds to `/api/...`.
    pub data_plane: InternalService,
    /// With `NegotiateOptions`: responds to every request of the route.
    pub negotiation: Option<NegotiateConfig>,
    /// Whether the route has `CorsOptions`; without them any origin is allowed.
    pub has_cors: bool,
    /// For responses of the data plane.
    pub timeout: Duration,
}

/// The data plane of a service as a service of the process.
pub fn data_plane(
    plane: &Arc<DataPlane>,
    service: &Arc<HubService>,
    operations: Arc<dyn Operations>,
) -> InternalService {
    let (plane, service) = (plane.clone(), service.clone());
    let respond = move |request: Request| {
        let (plane, service, operations) = (plane.clone(), service.clone(), operations.clone());
        async move {
            let url = request.extensions().get::<OriginalUrl>().cloned();
            let (path, origin) = url.map(|url| (url.path.into(), url.origin.into())).unwrap_or_default();
            let within = request.uri().path().to_owned();
            let original = OriginalTarget { path, origin };
            let response = plane.respond(&service, &operations, request, &within, &original).await;
            Ok::<_, Infallible>(response)
        }
    };
    InternalService::new("hub data plane", tower::service_fn(respond))
}

impl fmt::Debug for HubTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HubTarget({})", self.service.config.name)
    }
}
