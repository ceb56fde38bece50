//! Names of routes for logs and metrics.

use crate::plan::blueprint::RouteBlueprint;
use std::collections::HashSet;

/// Gives every route a name of its own: its `Key`, else its template; where that is taken, the methods stand before
/// it, and where that is taken too, its place in the file behind it.
pub fn give(routes: &mut [RouteBlueprint]) {
    let mut taken: HashSet<String> = HashSet::with_capacity(routes.len());
    for route in routes {
        let plain = match &route.key {
            Some(key) if !key.trim().is_empty() => key.clone(),
            _ => route.matches.client_path.value.clone(),
        };
        route.name = free(&taken, plain, route);
        taken.insert(route.name.clone());
    }
}

fn free(taken: &HashSet<String>, plain: String, route: &RouteBlueprint) -> String {
    if !taken.contains(&plain) {
        return plain;
    }
    if !route.matches.methods.is_empty() {
        let with_methods = format!("{} {plain}", route.matches.methods.join(","));
        if !taken.contains(&with_methods) {
            return with_methods;
        }
    }
    let mut name = format!("{plain} #{}", route.index);
    while taken.contains(&name) {
        name.push('\'');
    }
    name
}
