//! The parts of an aggregate as a plan holds them.

use crate::{
    pipeline::error::ErrorCode,
    plan::{
        blueprint::{AggregateBlueprint, Blueprint},
        build::route,
        compiled::{Aggregate, Part, Route, Target},
        process_state::ProcessState,
    },
    stages::feature::RouteRole,
};
use std::sync::Arc;

/// An aggregate of some of these routes. Its parts lead where the routes lead; they are added to `parts`, which will stand
/// behind all routes of the plan.
pub fn build_aggregate(
    aggregate: &AggregateBlueprint,
    routes: &[Arc<Route>],
    parts: &mut Vec<Arc<Route>>,
    blueprint: &Blueprint,
    ground: &ProcessState,
) -> Target {
    let mut own = Vec::with_capacity(aggregate.parts.len());
    for part in &aggregate.parts {
        let target = routes.get(part.route.index).map(|route| route.target.clone_for_part());
        let target = target
            .unwrap_or_else(|| Target::Fail(ErrorCode::GatewayInternal, "a part without a route".into()));
        let url = part.route.url(&part.placeholder_names, &blueprint.rules);
        let route = route(
            &part.route,
            RouteRole::AggregatePart,
            url,
            &part.placeholder_names,
            target,
            blueprint,
            ground,
        );
        parts.push(route.clone());
        let place = blueprint.routes.len() + parts.len() - 1;
        own.push(Part {
            route,
            index: place,
            names: part.placeholder_names.clone().into(),
            terms: part.terms.clone(),
        });
    }
    let (shape, body_idle) = (aggregate.shape.clone(), blueprint.limits.body_idle_timeout);
    Target::Aggregate(Box::new(Aggregate { parts: own.into(), shape, body_idle }))
}
