//! Warns of routes that make every service public.

use crate::config::{Diagnostics, codes};
use crate::plan::blueprint::{Listener, RouteBlueprint};

/// Warns of routes that make every service reachable for clients without credentials on a public listener.
pub(super) fn warn_open(routes: &[RouteBlueprint], listeners: &[Listener], diagnostics: &mut Diagnostics) {
    for route in routes {
        let Some(span) = route.fabric.as_ref().and_then(|fabric| fabric.all_services) else { continue };
        let mut matched = listeners.iter().filter(|listener| {
            let names = &route.matcher.listeners;
            names.is_empty() || names.iter().any(|name| *name == *listener.name)
        });
        let public = matched.find(|listener| !listener.address.is_local());
        if let Some(listener) = public.filter(|_| route.stages.authentication.is_none()) {
            let message = format!(
                "every service of the resolver is public on {}: Services is *, and the route requires no credentials",
                listener.address
            );
            diagnostics
                .warning(codes::FABRIC_OPEN, span, message)
                .help("list the services, or add AuthenticationOptions to the route");
        }
    }
}
