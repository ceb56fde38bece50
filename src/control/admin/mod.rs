//! The administration pages (Envoy's admin interface, nginx's stub_status): liveness, readiness, metrics, clusters, and
//! the cache.
//!
//! Entry point: [`router`], an axum router that is served as an internal service: on the administration address, and on
//! routes with `"DownstreamService": "administration"`. Callers: `control::services` and `control::process`. Pages that
//! show internals or change anything exist only on an administration address that is local to the machine, because
//! clients are not authenticated there. The router outlives plans; each request reads the current one.

mod cache;

use super::services::GatewayHandle;
use crate::pipeline::{
    internal::Response,
    problem::{self, Problem},
};
use crate::server::Gateway;
use axum::{
    Router,
    extract::State,
    handler::Handler,
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use http::{HeaderValue, StatusCode, header};
use std::{sync::Arc, time::Instant};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages are about.
#[derive(Clone, Debug)]
pub struct AdminContext {
    pub gateway: GatewayHandle,
    /// Only this machine can reach the address.
    pub is_local: bool,
}

/// The pages. The address is served as soon as a plan is, so the process is ready unless it drains.
pub fn router(context: AdminContext) -> Router {
    let mut router = Router::new()
        .route("/live", read_only(live))
        .route("/ready", read_only(ready))
        .route("/metrics", read_only(metrics));
    if context.is_local {
        router = router.route("/clusters", read_only(clusters)).merge(cache::router());
    }
    router.fallback(not_found).with_state(context)
}

/// The pages that an address has; a local one has more.
pub fn endpoint_list(is_local: bool) -> &'static str {
    match is_local {
        true => "/live, /ready, /metrics, /clusters, /cache and /cache/purge",
        false => "/live, /ready and /metrics",
    }
}

impl AdminContext {
    #[expect(clippy::result_large_err, reason = "a response is returned once per administration request")]
    fn gateway(&self) -> Result<Arc<Gateway>, Response> {
        let starting = || problem(503, "admin.draining", "Service Unavailable", "the gateway is not running");
        self.gateway.get().ok_or_else(starting)
    }
}

/// A page for GET and HEAD.
fn read_only<H, T>(page: H) -> MethodRouter<AdminContext>
where
    H: Handler<T, AdminContext>,
    T: 'static,
{
    get(page).fallback(|| async { method_not_allowed("GET, HEAD", "the page is read-only") })
}

async fn live() -> Response {
    page(TEXT, "live\n".to_owned())
}

async fn ready(State(context): State<AdminContext>) -> Result<Response, Response> {
    match context.gateway()?.drain.is_on() {
        false => Ok(page(TEXT, "ready\n".to_owned())),
        true => Ok(problem(503, "admin.draining", "Service Unavailable", "the gateway is shutting down")),
    }
}

async fn metrics(State(context): State<AdminContext>) -> Result<Response, Response> {
    Ok(page(METRICS, context.gateway()?.metrics().render()))
}

/// The clusters of the plan, with the state of their endpoints.
async fn clusters(State(context): State<AdminContext>) -> Result<Response, Response> {
    let (gateway, now) = (context.gateway()?, Instant::now());
    let plan = gateway.plan.load();
    let clusters: Vec<_> = plan.all_clusters().map(|cluster| cluster.status_json(now)).collect();
    Ok(json(&serde_json::json!({ "clusters": clusters })))
}

/// Lists the pages that exist.
async fn not_found(State(context): State<AdminContext>) -> Response {
    let more = if context.is_local { "" } else { "; a local administration address has more" };
    let detail = format!("the pages are {}{more}", endpoint_list(context.is_local));
    problem(404, "admin.none", "Not Found", &detail)
}

fn page(content_type: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn json(value: &serde_json::Value) -> Response {
    page("application/json", format!("{value}\n"))
}

fn problem(status: u16, code: &str, title: &str, detail: &str) -> Response {
    let body = Problem { status, code, title, detail, ..Problem::default() }.to_json();
    let mut response = page(problem::MEDIA_TYPE, format!("{body}\n"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn method_not_allowed(allowed: &'static str, detail: &str) -> Response {
    let mut response = problem(405, "admin.method", "Method Not Allowed", detail);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

#[cfg(test)]
mod tests;
