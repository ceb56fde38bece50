//! Clusters and the health of their endpoints.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::PathParams,
    page::{JsonPage, json},
};
use crate::{
    backend::{
        DrainError,
        status::{ClusterStatus, EndpointStatus},
    },
    pipeline::internal::Response,
};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use std::time::Instant;

/// The clusters of the plan.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ClusterList {
    pub clusters: Vec<ClusterStatus>,
}

/// The clusters with the health of their endpoints.
#[utoipa::path(get, path = "/v1/clusters", tag = "clusters", responses((status = 200, body = ClusterList)))]
pub async fn list_clusters(State(context): State<AdminContext>) -> Result<JsonPage<ClusterList>, AdminError> {
    let (gateway, now) = (context.gateway()?, Instant::now());
    let plan = gateway.plan.load();
    Ok(JsonPage(ClusterList { clusters: plan.all_clusters().map(|cluster| cluster.status(now)).collect() }))
}

/// The same as `/v1/clusters`.
#[utoipa::path(get, path = "/clusters", tag = "clusters", responses((status = 200, body = ClusterList)))]
pub async fn clusters(context: State<AdminContext>) -> Result<Response, AdminError> {
    list_clusters(context).await.map(|JsonPage(list)| json(&serde_json::json!(list)))
}

/// The endpoint after a change.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EndpointChange {
    pub cluster: String,
    /// Absent if the cluster does not have it any more.
    pub endpoint: Option<EndpointStatus>,
}

/// Drains an endpoint: it gets no new requests, and requests in flight finish. It stays drained across reloads until it is
/// enabled.
#[utoipa::path(post, path = "/v1/clusters/{cluster}/endpoints/{endpoint}/drain", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "The name of the cluster, or of the route that it belongs to."),
        ("endpoint" = String, Path, description = "The endpoint as in `/v1/clusters`, such as `10.0.0.1:8080`.")),
    responses((status = 200, body = EndpointChange)))]
pub async fn drain_endpoint(
    State(context): State<AdminContext>,
    PathParams(path): PathParams<(String, String)>,
) -> Result<JsonPage<EndpointChange>, AdminError> {
    set_drained(&context, path, true)
}

/// Ends the drain of an endpoint.
#[utoipa::path(post, path = "/v1/clusters/{cluster}/endpoints/{endpoint}/enable", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "The name of the cluster, or of the route that it belongs to."),
        ("endpoint" = String, Path, description = "The endpoint as in `/v1/clusters`, such as `10.0.0.1:8080`.")),
    responses((status = 200, body = EndpointChange)))]
pub async fn enable_endpoint(
    State(context): State<AdminContext>,
    PathParams(path): PathParams<(String, String)>,
) -> Result<JsonPage<EndpointChange>, AdminError> {
    set_drained(&context, path, false)
}

fn set_drained(
    context: &AdminContext,
    (name, label): (String, String),
    on: bool,
) -> Result<JsonPage<EndpointChange>, AdminError> {
    let gateway = context.gateway()?;
    let plan = gateway.plan.load();
    let clusters: Vec<_> = plan.all_clusters().filter(|cluster| *cluster.label == *name).collect();
    if clusters.is_empty() {
        return Err(AdminError::not_found(format!("no cluster \"{name}\"; /v1/clusters lists all")));
    }
    let results: Vec<_> = clusters.iter().map(|cluster| cluster.set_drained(&label, on)).collect();
    if results.contains(&Err(DrainError::TooMany)) {
        let detail = "10000 endpoints are drained already; enable some of them";
        return Err(AdminError::new(StatusCode::CONFLICT, "admin.drained", detail));
    }
    if !results.contains(&Ok(())) {
        return Err(AdminError::not_found(format!(
            "the cluster \"{name}\" has no endpoint \"{label}\"; /v1/clusters lists all"
        )));
    }
    let mut endpoints = clusters.iter().flat_map(|cluster| cluster.status(Instant::now()).endpoints);
    let endpoint = endpoints.find(|endpoint| endpoint.endpoint == label);
    Ok(JsonPage(EndpointChange { cluster: name, endpoint }))
}
