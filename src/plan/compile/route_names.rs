//! Assigns the names of routes for logs and metrics.

use crate::plan::blueprint::RouteBlueprint;
use std::borrow::Cow;
use std::collections::HashSet;

/// Gives every route a unique name, which it also has as a part of an aggregate: its `Key`, otherwise its template;
/// if that is taken, prefixed with its methods; if that is taken too, followed by its index.
pub fn assign_names(routes: &mut [RouteBlueprint]) {
    let mut taken: HashSet<Cow<str>> = HashSet::with_capacity(routes.len());
    let mut names = Vec::with_capacity(routes.len());
    for route in &*routes {
        let plain = match &route.key {
            Some(key) if !key.trim().is_empty() => key,
            _ => &route.matcher.client_path.value,
        };
        let name = unique_name(&taken, plain, route);
        names.push(name.clone().into_owned());
        taken.insert(name);
    }
    drop(taken);
    for route in &mut *routes {
        for part in route.aggregate.iter_mut().flat_map(|aggregate| &mut aggregate.parts) {
            part.route.name.clone_from(&names[part.route.index]);
        }
    }
    for (route, name) in routes.iter_mut().zip(names) {
        route.name = name;
    }
}

fn unique_name<'r>(taken: &HashSet<Cow<str>>, plain: &'r str, route: &RouteBlueprint) -> Cow<'r, str> {
    if !taken.contains(plain) {
        return Cow::Borrowed(plain);
    }
    if !route.matcher.methods.is_empty() {
        let with_methods = format!("{} {plain}", route.matcher.methods.join(","));
        if !taken.contains(with_methods.as_str()) {
            return Cow::Owned(with_methods);
        }
    }
    let mut name = format!("{plain} #{}", route.index);
    while taken.contains(name.as_str()) {
        name.push('\'');
    }
    Cow::Owned(name)
}
