//! The pages for probes and Prometheus.

use super::{context::AdminContext, error::AdminError, page::page};
use crate::pipeline::internal::Response;
use axum::{extract::State, response::IntoResponse};
use http::{
    HeaderMap,
    header::{ACCEPT, CONTENT_TYPE},
};

const TEXT: &str = "text/plain; charset=utf-8";
#[cfg(test)]
pub(super) use crate::telemetry::open_metrics::PROMETHEUS_TEXT as METRICS;

/// Whether the process runs.
#[utoipa::path(get, path = "/live", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn live() -> Response {
    page(TEXT, "live\n".to_owned())
}

/// Whether the gateway accepts requests: 503 while it starts or drains. The address is served only after a plan is active.
#[utoipa::path(get, path = "/ready", tag = "health", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 503, description = "The gateway starts, or drains (`admin.draining`).", body = super::error::ProblemBody,
        content_type = "application/problem+json")))]
pub async fn ready(State(context): State<AdminContext>) -> Result<Response, AdminError> {
    match context.gateway()?.drain.is_ready() {
        true => Ok(page(TEXT, "ready\n".to_owned())),
        false => Err(AdminError::unavailable("the gateway is shutting down")),
    }
}

/// The metrics in the Prometheus text format, or in the format that `Accept` lists: OpenMetrics, or protobuf if native
/// histograms are enabled.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(context): State<AdminContext>, fields: HeaderMap) -> Result<Response, AdminError> {
    let accept = fields.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (content_type, body) = context.gateway()?.metrics().render_for(accept);
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}
