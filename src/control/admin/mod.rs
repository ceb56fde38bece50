//! The administration pages (Envoy's admin interface, nginx's stub_status): liveness, readiness, metrics, clusters, and
//! the cache.
//!
//! Entry point: [`router`], an axum router that is served as an internal service: on the administration address, and on
//! routes with `"DownstreamService": "administration"`. Callers: `control::services` and `control::process`. Pages that
//! show internals or change anything exist only on an administration address that is local to the machine, because
//! clients are not authenticated there. The router outlives plans; each request reads the current one.

mod cache;
mod context;
mod error;
mod host;
mod page;

pub use context::AdminContext;

use crate::pipeline::internal::Response;
use axum::{
    Router,
    extract::State,
    handler::Handler,
    middleware,
    routing::{MethodRouter, get},
};
use error::AdminError;
use http::StatusCode;
use page::{json, page};
use std::time::Instant;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The pages. The address is served only after a plan is active, so the process is ready unless it drains.
pub fn router(context: AdminContext) -> Router {
    let mut router = Router::new()
        .route("/live", read_only(live))
        .route("/ready", read_only(ready))
        .route("/metrics", read_only(metrics));
    if context.is_local {
        let check_host = middleware::from_fn_with_state(context.clone(), host::check_host);
        let internals = Router::new().route("/clusters", read_only(clusters)).merge(cache::router());
        router = router.merge(internals.route_layer(check_host));
    }
    router.fallback(not_found).with_state(context)
}

/// The pages of an address; a local one has more.
pub fn endpoint_list(is_local: bool) -> &'static str {
    match is_local {
        true => "/live, /ready, /metrics, /clusters, /cache and /cache/purge",
        false => "/live, /ready and /metrics",
    }
}

/// A page for GET and HEAD.
fn read_only<H, T>(page: H) -> MethodRouter<AdminContext>
where
    H: Handler<T, AdminContext>,
    T: 'static,
{
    get(page).fallback(|| async { AdminError::method_not_allowed("GET, HEAD", "the page is read-only") })
}

async fn live() -> Response {
    page(TEXT, "live\n".to_owned())
}

async fn ready(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    match context.gateway()?.drain.is_ready() {
        true => Ok(page(TEXT, "ready\n".to_owned())),
        false => Err(AdminError::unavailable("the gateway is shutting down")),
    }
}

async fn metrics(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    Ok(page(METRICS, context.gateway()?.metrics().render()))
}

/// The clusters of the plan, with the health of their endpoints.
async fn clusters(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    let (gateway, now) = (context.gateway()?, Instant::now());
    let plan = gateway.plan.load();
    let clusters: Vec<_> = plan.all_clusters().map(|cluster| cluster.status_json(now)).collect();
    Ok(json(&serde_json::json!({ "clusters": clusters })))
}

/// Lists the existing pages.
async fn not_found(State(context): State<AdminContext>) -> AdminError {
    let hint = if context.is_local { "" } else { "; a local administration address has more pages" };
    let detail = format!("the pages are {}{hint}", endpoint_list(context.is_local));
    AdminError::new(StatusCode::NOT_FOUND, "admin.none", detail)
}

#[cfg(test)]
mod tests;
