//! The roles of the configuration: the pages of the directory, where operators see everything.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::{PathParams, QueryParams},
    page::JsonPage,
};
use crate::{
    control::roles::{view, visibility::Viewer},
    pipeline::error::ErrorCode,
    plan::roles::{RolesPlan, explain},
};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

fn roles(context: &AdminContext) -> Result<Arc<RolesPlan>, AdminError> {
    Ok(context.gateway()?.plan.load().roles.clone())
}

fn unknown() -> AdminError {
    let detail = "no such role, instance or endpoint; /roles lists all roles";
    AdminError::new(StatusCode::NOT_FOUND, ErrorCode::RoleUnknown.name(), detail)
}

/// The roles with their endpoints.
#[utoipa::path(get, path = "/roles", tag = "roles", responses((status = 200, body = Value)))]
pub async fn list_roles(State(context): State<AdminContext>) -> Result<JsonPage<Value>, AdminError> {
    Ok(JsonPage(view::roles(&*roles(&context)?, &Viewer::Operator)))
}

/// A role with its instances.
#[utoipa::path(get, path = "/roles/{role}", tag = "roles",
    params(("role" = String, Path, description = "The name of the role.")), responses((status = 200, body = Value)))]
pub async fn show_role(
    State(context): State<AdminContext>,
    PathParams(role): PathParams<String>,
) -> Result<JsonPage<Value>, AdminError> {
    view::role(&*roles(&context)?, &Viewer::Operator, &role).map(JsonPage).ok_or_else(unknown)
}

/// An instance with its endpoints.
#[utoipa::path(get, path = "/roles/{role}/instances/{id}", tag = "roles",
    params(
        ("role" = String, Path, description = "The name of the role."),
        ("id" = String, Path, description = "The id of the instance.")),
    responses((status = 200, body = Value)))]
pub async fn show_instance(
    State(context): State<AdminContext>,
    PathParams((role, id)): PathParams<(String, String)>,
) -> Result<JsonPage<Value>, AdminError> {
    let roles = roles(&context)?;
    let at = view::index(&roles, &role).ok_or_else(unknown)?;
    view::instance_of(&roles, &roles.snapshot(), at, &id).map(JsonPage).ok_or_else(unknown)
}

/// The source and the destination of a decision.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionQuery {
    /// A role; absent or `(unknown)`: no instance of a role.
    pub from: Option<String>,
    /// `Role.Endpoint`.
    pub to: String,
}

/// Whether a role may reach an internal endpoint, and why.
#[utoipa::path(get, path = "/roles/$/explain", tag = "roles", params(DecisionQuery),
    responses((status = 200, body = Value)))]
pub async fn explain_role(
    State(context): State<AdminContext>,
    QueryParams(query): QueryParams<DecisionQuery>,
) -> Result<JsonPage<Value>, AdminError> {
    let roles = roles(&context)?;
    let explained = explain(&roles.blueprint, query.from.as_deref(), &query.to);
    explained.map(|explained| JsonPage(serde_json::json!(explained))).map_err(|_| unknown())
}
