//! Kong → gateway.json: a declarative (decK) file. A pure function of the document.

mod balanced_targets;
mod consumers;
mod entities;
mod plugins;
mod regex_path;
mod route;
mod service;
#[cfg(test)]
mod tests;

use super::assemble::assemble;
use super::match_order::into_routes;
use super::report::Report;
use super::route_draft::RouteDraft;
use entities::Entities;
use plugins::PluginContext;
use serde_json::{Map, Value};
use service::Services;

/// The configuration and the report of a document; the error is a sentence.
pub fn import(root: &Value) -> Result<(Value, Report), String> {
    let mut report = Report::default();
    let entities = Entities::read(root, &mut report)?;
    let services = Services::new(&entities, &mut report);
    let consumers = consumers::read(root, &mut report);
    let mut context = PluginContext {
        consumers: &consumers,
        schemes: Map::new(),
        position: String::new(),
        scope: String::new(),
    };
    let mut ranked = Vec::new();
    for kong_route in &entities.routes {
        ranked.extend(route::convert(kong_route, &entities, &services, &mut context, &mut report));
    }
    ranked.sort_by_key(|route| route.rank);
    let drafts: Vec<RouteDraft> = ranked.into_iter().map(|route| route.draft).collect();
    let routes = into_routes(drafts, &mut report);
    let clusters = services.into_clusters();
    let source = [("services", entities.services.len()), ("Kong routes", entities.routes.len())];
    Ok((assemble(&source, (routes, clusters, context.schemes), &mut report), report))
}
