//! The parts of an aggregate as a plan holds them.

use crate::{
    pipeline::cause::Why,
    plan::{
        activate::{Foundation, Role, route},
        aggregate::AggregateBlueprint,
        blueprint::Blueprint,
        runtime::{Aggregate, Part, Route, Target},
    },
};
use std::sync::Arc;

/// An aggregate of some of these routes. Its parts lead where the routes lead; they are added to `parts`, which will stand
/// behind all routes of the plan.
pub fn target(
    aggregate: &AggregateBlueprint,
    routes: &[Arc<Route>],
    parts: &mut Vec<Arc<Route>>,
    blueprint: &Blueprint,
    ground: &Foundation,
) -> Target {
    let mut own = Vec::with_capacity(aggregate.parts.len());
    for part in &aggregate.parts {
        let target = routes.get(part.route.index).map(|route| route.target.again());
        let target =
            target.unwrap_or_else(|| Target::Fail(Why::GatewayFault, "a part without a route".into()));
        let url = part.route.url(&part.names, &blueprint.rules);
        let route = route(&part.route, Role::Part, url, &part.names, target, blueprint, ground);
        parts.push(route.clone());
        let place = blueprint.routes.len() + parts.len() - 1;
        own.push(Part { route, place, names: part.names.clone().into(), terms: part.terms.clone() });
    }
    let (shape, body_idle) = (aggregate.shape.clone(), blueprint.limits.body_idle);
    Target::Aggregate(Box::new(Aggregate { parts: own.into(), shape, body_idle }))
}
