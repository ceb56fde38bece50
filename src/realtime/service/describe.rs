//! What a request to a service leads to, for `explain`.

use super::{
    HubTarget,
    path::{ServicePath, query_pairs},
    signalr::{SignalRPath, hub_name, lower_case_names},
};
use crate::realtime::config::ServiceType;

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
        match ServicePath::parse(path, &query_pairs(query)) {
            ServicePath::Client { hub: Ok(hub) } => self.describe_hub(&hub.to_ascii_lowercase()),
            ServicePath::Api => format!("{name} (hub service: data plane)"),
            _ => format!("{name} (hub service: no such path)"),
        }
    }

    fn describe_signalr(&self, path: &str, query: &str) -> String {
        let name = &self.service.config.name;
        let kind = match SignalRPath::parse(path) {
            SignalRPath::Api => return format!("{name} (hub service: data plane)"),
            SignalRPath::Unknown => return format!("{name} (hub service: no such path)"),
            SignalRPath::Negotiation => "negotiation of hub",
            SignalRPath::Client => "hub",
        };
        let Ok(hub) = hub_name(&lower_case_names(query_pairs(query))) else {
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
