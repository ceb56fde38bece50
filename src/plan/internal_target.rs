//! Routes to internal services: the target, and its description for `explain`.

use super::{
    blueprint::{RouteBlueprint, Sourced},
    compiled::{Route, Target},
    process_state::ProcessState,
};
use crate::{
    net::h1::{encode::put_request, hop_by_hop::HopByHop},
    pipeline::{
        body::Framing,
        error::ErrorCode,
        exchange::Exchange,
        head::{KnownHeader, Version},
    },
};
use std::time::Duration;

/// Longer than the longest connect and response timeouts of a device stream together.
const DEVICE_STREAMS_TIMEOUT: Duration = Duration::from_secs(660);

/// The target of a route to a service. Names have been checked before, against the same table.
pub fn target(name: &Sourced<String>, timeout: &Sourced<Duration>, process_state: &ProcessState) -> Target {
    // A request for a device stream waits for the device as long as it says.
    let timeout = match name.value == "DeviceStreams" && timeout.origin.is_none() {
        true => DEVICE_STREAMS_TIMEOUT,
        false => timeout.value,
    };
    match process_state.services.get(&name.value) {
        Some(service) => Target::Internal { service: service.clone(), timeout },
        None => Target::Fail(
            ErrorCode::GatewayInternal,
            format!("this process has no internal service \"{}\"", name.value),
        ),
    }
}

/// The name of the service, and the request it receives line by line.
pub fn describe(route: &Route, hop: HopByHop, exchange: &Exchange) -> Option<(String, Vec<String>)> {
    let name = match &route.target {
        Target::Internal { service, .. } => format!("{} (internal service)", service.name()),
        Target::Hub(target) => target.describe(exchange.request.target()),
        _ => return None,
    };
    let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
    let mut bytes = Vec::new();
    put_request(&mut bytes, &exchange.request, host, Framing::None, hop, Version::Http11);
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Some((name, lines))
}

/// The settings of a route to a service that `explain` lists.
pub fn settings(route: &RouteBlueprint) -> Option<[(&'static str, Sourced<String>); 3]> {
    let service = match (&route.service, &route.hub) {
        (Some(service), _) => ("DownstreamService", service.clone()),
        (None, Some(hub)) => ("DownstreamHubService", hub.service.clone()),
        (None, None) => return None,
    };
    Some([
        ("UpstreamPathTemplate", route.matcher.client_path.clone()),
        ("DownstreamPathTemplate", route.backend_path.clone()),
        service,
    ])
}
