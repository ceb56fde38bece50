//! The watch of one change: which routes are judged, and what is restored.

use super::baseline::Counters;
use super::judge::{Judge, WatchedRoute};
use super::sample::Sample;
use crate::control::candidate::Candidate;
use crate::plan::blueprint::{Blueprint, RouteBlueprint};
use crate::plan::diff::Diff;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A change that is being watched.
#[derive(Debug)]
pub(super) struct ActiveWatch {
    /// Its number in the history.
    pub number: u64,
    pub judge: Judge,
    /// The configuration before the change.
    pub previous: Arc<Candidate>,
    /// Whether the configuration is saved once it is kept.
    pub saves: bool,
}

/// The judge of a change that was applied now. `recent` are the requests before it, `counters` the counters at it.
pub(super) fn judge(
    now: Instant,
    window: Duration,
    blueprint: &Blueprint,
    diff: &Diff,
    recent: &Counters,
    counters: &Counters,
) -> Judge {
    let sample = |all: &Counters, name: &str| all.get(name).copied().unwrap_or_default();
    let route = |route: &RouteBlueprint| WatchedRoute {
        name: route.name.clone(),
        is_changed: diff.all_routes || diff.routes.contains(&route.name),
        endpoints: endpoints(route),
        before: sample(recent, &route.name),
        start: sample(counters, &route.name),
        after: Sample::default(),
    };
    let routes = blueprint.routes.iter().map(route);
    // Routes without a change and without requests contribute nothing.
    Judge::new(now, window, routes.filter(|route| route.is_changed || route.before.requests > 0).collect())
}

/// The addresses of the endpoints of a route, of a discovered service its name.
fn endpoints(route: &RouteBlueprint) -> BTreeSet<String> {
    let parts = route.aggregate.iter().flat_map(|aggregate| &aggregate.parts).map(|part| &*part.route);
    let clusters = [route].into_iter().chain(parts).map(|route| &route.cluster);
    let of_cluster = clusters.flat_map(|cluster| {
        let configured =
            cluster.endpoints.iter().map(|endpoint| format!("{}:{:?}", endpoint.host, endpoint.port));
        configured.chain(cluster.discovery.iter().map(|found| found.service.name.clone())).collect::<Vec<_>>()
    });
    of_cluster.collect()
}
