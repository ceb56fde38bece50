//! The entry point of hubs: the target of a route with `DownstreamHubService`.

pub mod cors;
mod fields;
mod handshake;
pub mod path;
mod rejection;
pub mod signalr;

pub use handshake::accept;

use super::{
    config::{NegotiateConfig, ServiceType},
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

impl HubTarget {
    /// What a request leads to, for `explain`: the service, the hub, the event handlers.
    pub fn describe(&self, target: &[u8]) -> String {
        let name = &self.service.config.name;
        if self.negotiation.is_some() {
            return format!("{name} (hub service: negotiation)");
        }
        let target = String::from_utf8_lossy(target);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if self.service.config.service_type == ServiceType::SignalR {
            return self.describe_signalr(path, query);
        }
        match path::ServicePath::parse(path, &path::query_pairs(query)) {
            path::ServicePath::Client { hub: Ok(hub) } => self.describe_hub(&hub.to_ascii_lowercase()),
            path::ServicePath::Api => format!("{name} (hub service: data plane)"),
            _ => format!("{name} (hub service: no such path)"),
        }
    }

    fn describe_signalr(&self, path: &str, query: &str) -> String {
        let name = &self.service.config.name;
        let kind = match signalr::SignalRPath::parse(path) {
            signalr::SignalRPath::Api => return format!("{name} (hub service: data plane)"),
            signalr::SignalRPath::Unknown => return format!("{name} (hub service: no such path)"),
            signalr::SignalRPath::Negotiation => "negotiation of hub",
            signalr::SignalRPath::Client => "hub",
        };
        let Ok(hub) = signalr::hub_name(&signalr::lower_case_names(path::query_pairs(query))) else {
            return format!("{name} (hub service: the request has no hub)");
        };
        let Some(config) = self.service.config.hub(&hub) else {
            return format!("{name} (hub service: it has no hub {hub})");
        };
        let templates = config.event_handlers.iter().map(|handler| &*handler.url_template);
        let handlers = templates.collect::<Vec<_>>().join(", ");
        let handlers = if handlers.is_empty() { "none" } else { &handlers };
        format!("{name} (hub service: {kind} {hub}, event handlers {handlers})")
    }

    fn describe_hub(&self, hub: &str) -> String {
        let name = &self.service.config.name;
        let Some(config) = self.service.config.hub(hub) else {
            return format!("{name} (hub service: it has no hub {hub})");
        };
        let handler = config.event_handlers.iter().find(|handler| handler.system_events.connect);
        let handler = handler.map_or("none".to_owned(), |handler| handler.url_template.to_string());
        format!("{name} (hub service: hub {hub}, connect handler {handler})")
    }
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
