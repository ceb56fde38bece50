//! YARP → gateway.json: the section `ReverseProxy` of `appsettings.json`. A pure function of the document.

mod cluster;
mod conditions;
mod path;
mod route;
mod time_span;
mod transforms;
#[cfg(test)]
mod tests;

use super::assemble::assemble;
use super::match_order::into_routes;
use super::report::Report;
use super::route_draft::RouteDraft;
use super::values::{entries, get};
use cluster::YarpCluster;
use route::RankedRoute;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The configuration and the report of a document; the error is a sentence.
pub fn import(root: &Value) -> Result<(Value, Report), String> {
    let section = get(root, "ReverseProxy").unwrap_or(root);
    let routes = entries(get(section, "Routes"), "RouteId");
    if routes.is_empty() {
        return Err("expected a section ReverseProxy with Routes, found none".to_owned());
    }
    let mut report = Report::default();
    let mut clusters: BTreeMap<String, YarpCluster> = BTreeMap::new();
    for (name, value) in entries(get(section, "Clusters"), "ClusterId") {
        if let Some(cluster) = cluster::convert(&name, value, &mut report) {
            clusters.insert(name, cluster);
        }
    }
    let mut schemes = Map::new();
    let mut ranked: Vec<RankedRoute> = Vec::new();
    for (name, value) in &routes {
        ranked.extend(route::convert(name, value, &clusters, &mut schemes, &mut report));
    }
    ranked.sort_by(|a, b| a.rank.cmp(&b.rank));
    let drafts: Vec<RouteDraft> = ranked.into_iter().map(|route| route.draft).collect();
    Ok(finish(routes.len(), drafts, clusters, schemes, report))
}

fn finish(
    source_routes: usize,
    drafts: Vec<RouteDraft>,
    clusters: BTreeMap<String, YarpCluster>,
    schemes: Map<String, Value>,
    mut report: Report,
) -> (Value, Report) {
    let routes = into_routes(drafts, &mut report);
    let clusters: Map<String, Value> =
        clusters.into_iter().map(|(name, cluster)| (name, Value::Object(cluster.settings))).collect();
    (assemble(&[("YARP routes", source_routes)], (routes, clusters, schemes), &mut report), report)
}
