//! Builds the parts of an aggregate for a plan.

use crate::{
    pipeline::error::ErrorCode,
    plan::{
        blueprint::{AggregateBlueprint, Blueprint},
        build::route,
        compiled::{Aggregate, AggregatePart, Route, Target},
        process_state::ProcessState,
    },
    stages::feature::RouteRole,
};
use std::sync::Arc;

/// An aggregate of some of these routes. Its parts have the targets of these routes; they are added to `parts`, which
/// follow all routes of the plan.
pub fn build_aggregate(
    aggregate: &AggregateBlueprint,
    routes: &[Arc<Route>],
    parts: &mut Vec<Arc<Route>>,
    blueprint: &Blueprint,
    process_state: &ProcessState,
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
            process_state,
        );
        parts.push(route.clone());
        let index = blueprint.routes.len() + parts.len() - 1;
        own.push(AggregatePart {
            route,
            index,
            names: part.placeholder_names.clone().into(),
            terms: part.terms.clone(),
        });
    }
    let (shape, body_idle) = (aggregate.shape.clone(), blueprint.limits.body_idle);
    Target::Aggregate(Box::new(Aggregate { parts: own.into(), shape, body_idle }))
}
