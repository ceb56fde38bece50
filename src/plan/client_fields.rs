//! The rules about fields of clients, from a blueprint: what its routes write, and what clients may send nevertheless.

use super::{
    blueprint::{Blueprint, RouteBlueprint},
    process_state::ProcessState,
};
use crate::pipeline::client_fields::ClientFieldRules;
use std::sync::Arc;

/// The rules of a plan.
pub fn rules(blueprint: &Blueprint, state: &ProcessState) -> Arc<ClientFieldRules> {
    let dynamic = blueprint.dynamic.iter();
    let dynamic = dynamic.flat_map(|all| all.entries.iter().map(|entry| &entry.route).chain([&all.defaults]));
    let parts = blueprint
        .routes
        .iter()
        .flat_map(|route| &route.aggregate)
        .flat_map(|all| all.parts.iter().map(|part| &*part.route));
    let routes = blueprint.routes.iter().chain(parts).chain(dynamic);
    let forwarded = blueprint.stages.forwarded_headers.as_ref();
    let allowed = forwarded.map_or(&[][..], |forwarded| &forwarded.allow_from_clients);
    let adds = forwarded.is_some_and(|forwarded| forwarded.add_to_request);
    let is_transparent = blueprint.ocelot && !adds || allowed.iter().any(|name| name == "*");
    let allowed = allowed.iter().map(String::as_str);
    let mut rules =
        ClientFieldRules::new(routes.flat_map(written_fields), allowed, state.metrics.removals().clone());
    (rules.underscores, rules.trailers) = (blueprint.limits.underscores, blueprint.limits.trailers);
    rules.is_proxy_transparent = is_transparent;
    Arc::new(rules)
}

/// The request fields that a route writes or removes.
fn written_fields(route: &RouteBlueprint) -> impl Iterator<Item = &str> {
    let edits = route.stages.header_transform.iter().flat_map(|stage| &stage.0.request);
    let edits = edits.map(|edit| &*edit.name);
    let claims = route.stages.add_headers.iter().flat_map(|stage| stage.names());
    let schemes = route.stages.authentication.iter().flat_map(|own| own.reserved_fields());
    let id = route.stages.request_id.iter().map(|key| key.value.as_str());
    let deadline = route.attempts.deadline_header.as_deref();
    edits.chain(claims).chain(id).chain(deadline).chain(schemes)
}
