//! The `Host` of requests for the pages that only a local administration address has. A web page whose name resolves to this machine (DNS
//! rebinding) could read the pages otherwise: the browser takes them for its own site.

use super::{context::AdminContext, error::AdminError};
use crate::pipeline::internal::{Request, Response};
use axum::{extract::State, middleware::Next};
use http::{HeaderMap, StatusCode, header};
use std::net::IpAddr;

/// Rejects names other than those of the machine and `Administration.AllowedHosts`.
pub async fn check_host(
    State(context): State<AdminContext>,
    request: Request,
    next: Next,
) -> Result<Response, AdminError> {
    match host(request.headers()) {
        Some(host) if !is_accepted(host, &context) => {
            if let Some(gateway) = context.gateway.get() {
                gateway.metrics().record_error("admin.host");
            }
            let detail = "the Host of the request must be a loopback address, localhost or one of \
                          Administration.AllowedHosts";
            Err(AdminError::new(StatusCode::FORBIDDEN, "admin.host", detail))
        }
        _ => Ok(next.run(request).await),
    }
}

/// The host of a request without its port.
pub fn host(fields: &HeaderMap) -> Option<&str> {
    let host = fields.get(header::HOST)?.to_str().unwrap_or_default();
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let bare = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    Some(bare.trim_start_matches('[').trim_end_matches(']'))
}

/// Whether a web page of another site cannot have this host.
pub fn is_accepted(host: &str, context: &AdminContext) -> bool {
    let is_allowed = || {
        let plan = context.gateway.get().map(|gateway| gateway.plan.load_full());
        plan.is_some_and(|plan| {
            plan.administration_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || is_allowed()
}
