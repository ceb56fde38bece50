//! A dry run of a request through the active plan, with the health of its endpoints and the counters of its limits.

use super::{context::AdminContext, error::AdminError, extract::JsonBody, page::json};
use crate::{
    config::suggest,
    control::candidate::Candidate,
    pipeline::{exchange::Exchange, internal::Response},
    plan::{
        blueprint::Blueprint,
        explain::{Explainer, Explanation, add_body, parse_request_from},
    },
    server::Gateway,
};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// The request to explain.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ExplainRequest {
    /// Default: `GET`.
    #[schema(required = false)]
    pub method: String,
    /// The URL as the client would send it, or just a path. Required.
    #[schema(required = true)]
    pub url: String,
    /// `Name: value`.
    #[schema(required = false)]
    pub headers: Vec<String>,
    /// The address of the client. Default: `127.0.0.1`.
    #[schema(required = false)]
    pub from: String,
    /// The name of the listener. Default: the first.
    pub listener: Option<String>,
    /// The body. Default: none.
    #[schema(required = false)]
    pub data: String,
}

/// Explains a request: the route that it matches, the stages, and the request to the backend. Nothing is sent or counted.
#[utoipa::path(post, path = "/v1/explain", tag = "config", request_body = ExplainRequest,
    responses((status = 200, body = Explanation)))]
pub async fn explain(
    State(context): State<AdminContext>,
    JsonBody(request): JsonBody<ExplainRequest>,
) -> Result<Response, AdminError> {
    let (gateway, candidate) = (context.gateway()?, context.candidate()?);
    let Some(blueprint) = &candidate.blueprint else {
        return Err(AdminError::unavailable("no configuration is active"));
    };
    let exchange = to_exchange(&request, blueprint).map_err(invalid)?;
    let explanation = context.shared.work.run(move || run(&gateway, &candidate, exchange)).await??;
    Ok(json(&explanation))
}

fn invalid(detail: String) -> AdminError {
    AdminError::new(StatusCode::BAD_REQUEST, "admin.body", detail)
}

/// The exchange of the request; the error is a sentence.
fn to_exchange(request: &ExplainRequest, blueprint: &Blueprint) -> Result<Exchange, String> {
    let ExplainRequest { method, url, headers, from, listener, data } = request;
    if url.is_empty() {
        return Err("url is missing: set the URL of the request, or its path".to_owned());
    }
    let from = match from.as_str() {
        "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        text => text.parse().map_err(|_| format!("invalid from \"{text}\": expected an IP address"))?,
    };
    let split = |line: &'_ String| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let headers: Option<Vec<_>> = headers.iter().map(split).collect();
    let headers = headers.ok_or("invalid headers: expected a list of \"Name: value\"")?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut names = blueprint.listeners.iter().map(|listener| &*listener.name);
    let listener = match listener.as_deref() {
        None => names.next(),
        Some(name) if names.clone().any(|known| known == name) => Some(name),
        Some(name) => {
            let known = suggest::list(&names.collect::<Vec<_>>());
            return Err(format!("unknown listener \"{name}\"; the listeners are {known}"));
        }
    };
    let method = if method.is_empty() { "GET" } else { method };
    let mut exchange = parse_request_from(method, url, &headers, from, listener)?;
    add_body(&mut exchange, data.clone().into_bytes());
    Ok(exchange)
}

/// The dry run waits for service discovery, and its future stays on one thread.
fn run(
    gateway: &Gateway,
    candidate: &Candidate,
    exchange: Exchange,
) -> Result<serde_json::Value, AdminError> {
    let plan = gateway.plan.load_full();
    let Some(blueprint) = candidate.blueprint.as_ref().filter(|_| plan.id == candidate.id) else {
        return Err(AdminError::unavailable("the configuration is being replaced: try again"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "admin.internal", error.to_string())
    })?;
    let explainer = Explainer { plan: &plan, blueprint, sources: &candidate.loaded.sources };
    Ok(serde_json::json!(runtime.block_on(explainer.explain(exchange))))
}
