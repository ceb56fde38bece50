//! The pages of the directory.

use super::{
    caller::DirectoryCaller,
    error::unknown,
    events::{self, EventsQuery},
    registration::{Change, InstanceBody, RegistrationQuery, register, remove, set_status},
    view,
    visibility::Viewer,
};
use crate::{
    base::from_text::FromText,
    base::units::DurationText,
    control::{
        admin::{AdminError, JsonBody, JsonPage, PathParams, QueryParams, count_errors},
        gateway_handle::GatewayHandle,
    },
    pipeline::internal::Response,
    plan::roles::{RoleExplanation, RolesPlan, explain},
    server::Gateway,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Maximum size of a request body.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a request may wait for a change.
const WAIT_RANGE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// The directory as an internal service.
pub fn router(gateway: GatewayHandle) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/$/current", get(current))
        .route("/$/explain", get(explain_decision))
        .route("/$/events", get(stream_events))
        .route("/{role}", get(show_role))
        .route("/{role}/instances/{id}", get(show_instance).put(put_instance).delete(delete_instance))
        .route("/{role}/instances/{id}/$/busy", post(set_busy))
        .route("/{role}/instances/{id}/$/ready", post(set_ready))
        .fallback(|| async { unknown() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(gateway.clone(), count_errors))
        .with_state(gateway)
}

/// The gateway, if it is running.
fn running(handle: &GatewayHandle) -> Result<Arc<Gateway>, AdminError> {
    handle.get().ok_or_else(|| AdminError::unavailable("the gateway is not running"))
}

/// Conditions of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WaitQuery {
    wait: Option<String>,
}

/// Responds with a view, or 304 if the client has this version; with `wait` after the next change.
async fn versioned(
    handle: &GatewayHandle,
    headers: &HeaderMap,
    query: &WaitQuery,
    make: impl Fn(&RolesPlan) -> Option<Value>,
) -> Result<Response, AdminError> {
    let gateway = running(handle)?;
    let state = gateway.shared_state.roles.clone();
    let mut versions = state.subscribe();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let has = |version: u64| known.is_some_and(|known| known.trim().trim_matches('"') == version.to_string());
    if let Some(wait) = &query.wait {
        let wait = DurationText::from_text(wait).map(|wait| wait.0).ok();
        let wait = wait.filter(|wait| (WAIT_RANGE[0]..=WAIT_RANGE[1]).contains(wait));
        let wait = wait.ok_or_else(|| AdminError::query("wait must be between 1s and 5m"))?;
        if has(state.version()) {
            let _ = tokio::time::timeout(wait, versions.wait_for(|version| !has(*version))).await;
        }
    }
    let version = state.version();
    let value = make(&gateway.plan.load().roles).ok_or_else(unknown)?;
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).map_err(|_| unknown())?;
    if has(version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(([(header::ETAG, tag)], JsonPage(value)).into_response())
}

async fn list(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    QueryParams(query): QueryParams<WaitQuery>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    versioned(&handle, &headers, &query, |roles| Some(view::roles(roles, &caller.viewer(roles)))).await
}

async fn show_role(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    PathParams(role): PathParams<String>,
    QueryParams(query): QueryParams<WaitQuery>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    versioned(&handle, &headers, &query, |roles| view::role(roles, &caller.viewer(roles), &role)).await
}

async fn show_instance(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    PathParams((role, id)): PathParams<(String, String)>,
    QueryParams(query): QueryParams<WaitQuery>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    let make = |roles: &RolesPlan| {
        let at = view::index(roles, &role)?;
        let sees = caller.viewer(roles).sees_instance(roles, at, &id);
        sees.then(|| view::instance_of(roles, &roles.snapshot(), at, &id)).flatten()
    };
    versioned(&handle, &headers, &query, make).await
}

/// The caller's own instance.
async fn current(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    QueryParams(query): QueryParams<WaitQuery>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    let make = |roles: &RolesPlan| match caller.viewer(roles) {
        Viewer::Instance(own) => {
            let mut value = view::instance_of(roles, &roles.snapshot(), own.role, &own.id)?;
            value["role"] = roles.blueprint.roles.get(own.role)?.name.to_string().into();
            Some(value)
        }
        _ => None,
    };
    versioned(&handle, &headers, &query, make).await
}

/// The source and the destination of a decision.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// A role; absent or `(unknown)`: no instance.
    pub from: Option<String>,
    /// `Role.Endpoint`.
    pub to: String,
}

async fn explain_decision(
    State(handle): State<GatewayHandle>,
    QueryParams(query): QueryParams<ExplainQuery>,
) -> Result<JsonPage<RoleExplanation>, AdminError> {
    let gateway = running(&handle)?;
    let plan = gateway.plan.load();
    explain(&plan.roles.blueprint, query.from.as_deref(), &query.to).map(JsonPage).map_err(|_| unknown())
}

async fn stream_events(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    headers: HeaderMap,
    QueryParams(_): QueryParams<EventsQuery>,
) -> Result<Response, AdminError> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Ok(events::stream(running(&handle)?, caller, last))
}

async fn put_instance(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    PathParams(path): PathParams<(String, String)>,
    QueryParams(query): QueryParams<RegistrationQuery>,
    JsonBody(body): JsonBody<InstanceBody>,
) -> Result<Response, AdminError> {
    let gateway = running(&handle)?;
    let change = Change::new(&gateway, &caller, path)?;
    let (status, value) = register(&change, body, query.dry_run).await?;
    Ok((status, JsonPage(value)).into_response())
}

async fn delete_instance(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    PathParams(path): PathParams<(String, String)>,
) -> Result<StatusCode, AdminError> {
    let gateway = running(&handle)?;
    remove(&Change::new(&gateway, &caller, path)?).await
}

async fn set_busy(
    state: State<GatewayHandle>,
    caller: DirectoryCaller,
    path: PathParams<(String, String)>,
) -> Result<StatusCode, AdminError> {
    change_status(state, caller, path, true)
}

async fn set_ready(
    state: State<GatewayHandle>,
    caller: DirectoryCaller,
    path: PathParams<(String, String)>,
) -> Result<StatusCode, AdminError> {
    change_status(state, caller, path, false)
}

fn change_status(
    State(handle): State<GatewayHandle>,
    caller: DirectoryCaller,
    PathParams(path): PathParams<(String, String)>,
    is_busy: bool,
) -> Result<StatusCode, AdminError> {
    let gateway = running(&handle)?;
    set_status(&Change::new(&gateway, &caller, path)?, is_busy)
}
