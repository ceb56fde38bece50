//! Routes around programs.

use crate::{plan::route::Route, stages::program::run::RouteProgram};
use std::sync::Arc;

/// The route with a policy program around its target.
pub fn with_program(mut route: Arc<Route>, program: Option<Arc<RouteProgram>>) -> Arc<Route> {
    if program.is_some()
        && let Some(own) = Arc::get_mut(&mut route)
    {
        own.program = program;
    }
    route
}

/// Whether a template is `/{name}`.
pub fn is_catch_all(template: &str) -> bool {
    let name = template.strip_prefix("/{").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['{', '}', '/']))
}
