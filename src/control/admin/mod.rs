//! The administration API (Envoy's admin interface, HAProxy's runtime API): health, metrics, status, configuration,
//! clusters, cache and more, as axum pages with an OpenAPI document.
//!
//! Entry point: [`router`], an axum router that is served as an internal service: on the administration address, and on
//! routes with `"DownstreamService": "administration"`. Callers: `control::services` and `control::process`. A page is a
//! function with `#[utoipa::path]` and one line in `pages`; it is then behind the `guard`, in `/openapi.json`, and in
//! the tests of credentials, roles, methods and hosts. The router outlives plans; each request reads the current one.

mod access;
mod cache;
mod certificates;
mod changes;
mod clusters;
mod config;
mod context;
mod error;
mod explain;
mod extract;
mod guard;
mod health;
mod host;
mod limits;
mod log_level;
mod log_override;
mod ocelot;
mod openapi;
mod page;
mod rates;
mod routes;
mod status;
mod tail;
mod work;

pub use access::Access;
pub use config::{etag, matches};
pub use context::{AdminContext, AdminState};
pub use error::{AdminError, FieldError, ProblemBody};
pub use extract::{JsonBody, PathParams, QueryParams, RawBody, field_errors, read_json};
pub use guard::{Caller, Credential};
pub use page::JsonPage;
pub use work::WorkPool;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, State},
    middleware,
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The maximum size of a request body, for pages without their own `DefaultBodyLimit`.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The pages for probes and Prometheus.
fn health_pages() -> OpenApiRouter<AdminContext> {
    OpenApiRouter::default()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// All pages. A page with several methods is one line with all of its functions.
fn pages() -> OpenApiRouter<AdminContext> {
    health_pages()
        .routes(routes!(openapi::openapi))
        .routes(routes!(status::status))
        .routes(routes!(certificates::list_certificates))
        .routes(routes!(log_level::log_level, log_level::set_log_level))
        .merge(document_pages())
        .routes(routes!(changes::history))
        .routes(routes!(changes::roll_back))
        .routes(routes!(changes::tests, changes::run_configured_tests))
        .routes(routes!(explain::explain))
        .routes(routes!(routes::list_routes))
        .routes(routes!(routes::show_route))
        .routes(routes!(tail::tail))
        .routes(routes!(clusters::clusters))
        .routes(routes!(clusters::list_clusters))
        .routes(routes!(clusters::drain_endpoint))
        .routes(routes!(clusters::enable_endpoint))
        .routes(routes!(limits::limits, limits::reset_limits))
        .routes(routes!(cache::list_cache))
        .routes(routes!(cache::purge_cache))
        .routes(routes!(ocelot::ocelot_clear_region))
}

/// The pages whose bodies are configurations.
fn document_pages() -> OpenApiRouter<AdminContext> {
    OpenApiRouter::default()
        .routes(routes!(changes::check_config))
        .routes(routes!(changes::diff_config))
        .routes(routes!(config::config, changes::put_config))
        .routes(routes!(ocelot::ocelot_configuration, ocelot::ocelot_set_configuration))
        .layer(DefaultBodyLimit::max(changes::MAX_DOCUMENT_BYTES))
}

/// The pages of an address.
pub fn router(context: AdminContext) -> Router {
    let pages = match context.access {
        Access::Local | Access::Remote => pages(),
        Access::Health => health_pages(),
    };
    let (router, document) = pages.split_for_parts();
    let document = openapi::Document(openapi::complete(document).into());
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(document))
        .layer(middleware::from_fn_with_state(context.clone(), guard::guard))
        .with_state(context)
}

/// The OpenAPI document of all pages, as JSON.
pub fn openapi_document() -> String {
    openapi::complete(pages().into_openapi())
}

async fn not_found(State(context): State<AdminContext>) -> AdminError {
    AdminError::not_found(match context.access {
        Access::Health => "the pages are /live, /ready and /metrics",
        Access::Local | Access::Remote => "no such page; /openapi.json lists all pages",
    })
}

async fn method_not_allowed() -> AdminError {
    let detail = "the page has other methods; they are in Allow and in /openapi.json";
    AdminError::new(StatusCode::METHOD_NOT_ALLOWED, "admin.method", detail)
}

#[cfg(test)]
mod tests;
