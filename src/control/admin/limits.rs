//! The rate limits of a route: their counters, and a reset.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::{PathParams, QueryParams},
    page::JsonPage,
};
use crate::{
    control::candidate::Candidate,
    stages::rate_limit::{RateLimitConfig, inspect::LimitStatus},
    state::StateError,
};
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The limits of a route.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LimitList {
    pub route: String,
    pub limits: Vec<LimitStatus>,
}

/// The number of counters that were reset.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct LimitReset {
    pub reset: usize,
}

/// The client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitKey {
    key: String,
}

/// The rate limits of a route, with the counters of one client.
#[utoipa::path(get, path = "/v1/limits/{route}", tag = "limits",
    params(
        ("route" = String, Path, description = "The name of the route, as in `/v1/routes`."),
        ("key" = Option<String>, Query,
            description = "The values of the parts of `PartitionBy`, such as a client address, separated by commas.")),
    responses((status = 200, body = LimitList)))]
pub async fn limits(
    State(context): State<AdminContext>,
    PathParams(route): PathParams<String>,
    QueryParams(LimitKey { key }): QueryParams<LimitKey>,
) -> Result<JsonPage<LimitList>, AdminError> {
    let (gateway, candidate) = (context.gateway()?, context.candidate()?);
    let shared = &gateway.shared_state;
    let config = rate_limits(&candidate, &route)?;
    let plan = gateway.plan.load_full();
    let (state, now) = (&shared.stage_state.rate_limit, shared.clock.now());
    let limits = match config {
        Some(config) => config.inspect(state, plan.shared_state.as_ref(), &key, now).await,
        None => Ok(Vec::new()),
    };
    let limits = limits.map_err(|error| unavailable(&error))?;
    Ok(JsonPage(LimitList { route, limits }))
}

/// Resets the counters of one client.
#[utoipa::path(delete, path = "/v1/limits/{route}", tag = "limits",
    params(
        ("route" = String, Path, description = "The name of the route, as in `/v1/routes`."),
        ("key" = Option<String>, Query,
            description = "The values of the parts of `PartitionBy`, separated by commas; without it limits that all requests share.")),
    responses((status = 200, body = LimitReset)))]
pub async fn reset_limits(
    State(context): State<AdminContext>,
    PathParams(route): PathParams<String>,
    QueryParams(LimitKey { key }): QueryParams<LimitKey>,
) -> Result<JsonPage<LimitReset>, AdminError> {
    let (gateway, candidate) = (context.gateway()?, context.candidate()?);
    let Some(config) = rate_limits(&candidate, &route)? else {
        let detail = format!("the route \"{route}\" has no rate limit");
        return Err(AdminError::new(StatusCode::CONFLICT, "admin.limit", detail));
    };
    let plan = gateway.plan.load_full();
    let state = &gateway.shared_state.stage_state.rate_limit;
    let reset = config.reset(state, plan.shared_state.as_ref(), &key).await;
    Ok(JsonPage(LimitReset { reset: reset.map_err(|error| unavailable(&error))? }))
}

/// The counters of shared limits are on Redis.
fn unavailable(error: &StateError) -> AdminError {
    let detail = format!("the counters of the shared state cannot be used: {error}");
    AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.shared_state", detail)
}

/// The limits of the route with this name; `None`: it has none.
fn rate_limits<'c>(
    candidate: &'c Arc<Candidate>,
    name: &str,
) -> Result<Option<&'c RateLimitConfig>, AdminError> {
    let mut routes = candidate.blueprint.iter().flat_map(|blueprint| &blueprint.routes);
    let route = routes.find(|route| route.name == name);
    let route =
        route.ok_or_else(|| AdminError::not_found(format!("no route \"{name}\"; /v1/routes lists all")))?;
    Ok(route.stages.rate_limit.as_ref())
}
