//! API management: the effective policies.

use super::{context::AdminContext, error::AdminError, extract::QueryParams, page::JsonPage};
use crate::{
    plan::apis::blueprint::Programs,
    stages::program::{Program, Section, instruction::Described},
};
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Which program is shown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProgramQuery {
    /// The id of the API, with `;rev=N` for a revision that is not current.
    pub api: String,
    /// The id of the operation. Default: the program of requests that no operation takes.
    pub operation: Option<String>,
    /// The id of the product context. Default: no product.
    pub product: Option<String>,
}

/// The effective statements of an operation and a product context.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EffectivePolicy {
    pub inbound: Vec<EffectiveStatement>,
    pub backend: Vec<EffectiveStatement>,
    pub outbound: Vec<EffectiveStatement>,
    pub on_error: Vec<EffectiveStatement>,
}

/// A statement and its origin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EffectiveStatement {
    /// `operation`, `api`, `policy`, `product`, `workspace` or `global`.
    pub scope: String,
    /// The document, relative to the configuration; `built-in` for the default `forward-request`.
    pub file: String,
    /// The JSON pointer of the statement in the document.
    pub pointer: String,
    /// The path of the statement in its section, as in `context.LastError.Path`.
    pub path: String,
    /// The `id` of the statement.
    pub id: String,
    /// As written, with secrets masked.
    #[schema(value_type = Object)]
    pub statement: serde_json::Value,
}

/// The flattened policies of an operation, each statement with its origin.
#[utoipa::path(get, path = "/management/effectivePolicy", tag = "API management", params(ProgramQuery),
    responses((status = 200, body = EffectivePolicy)))]
pub async fn effective_policy(
    State(context): State<AdminContext>,
    QueryParams(query): QueryParams<ProgramQuery>,
) -> Result<JsonPage<EffectivePolicy>, AdminError> {
    let plan = context.gateway()?.plan.load_full();
    let apis = plan.apis.as_ref().map(|apis| &apis.blueprint.apis[..]).unwrap_or_default();
    let api = apis.iter().find(|one| one.api.id.eq_ignore_ascii_case(&query.api));
    let api = api.ok_or_else(|| AdminError::not_found("there is no API with this id"))?;
    let programs = match &query.operation {
        None => &api.missing,
        Some(id) => {
            let found = api.operations.iter().find(|one| one.operation.id.eq_ignore_ascii_case(id));
            &found.ok_or_else(|| AdminError::not_found("the API has no operation with this id"))?.programs
        }
    };
    program_of(programs, query.product.as_deref()).map(|program| JsonPage(effective(program)))
}

fn program_of<'p>(programs: &'p Programs, product: Option<&str>) -> Result<&'p Program, AdminError> {
    let Some(product) = product else { return Ok(&programs.plain) };
    let found = programs.products.get(&product.to_lowercase());
    found
        .map(|found| &*found.program)
        .ok_or_else(|| AdminError::not_found("the API is in no product with this id"))
}

fn effective(program: &Program) -> EffectivePolicy {
    let section = |section: Section| program.section(section).described.iter().map(statement).collect();
    EffectivePolicy {
        inbound: section(Section::Inbound),
        backend: section(Section::Backend),
        outbound: section(Section::Outbound),
        on_error: section(Section::OnError),
    }
}

fn statement(described: &Described) -> EffectiveStatement {
    let origin = &described.origin;
    EffectiveStatement {
        scope: origin.scope.name().to_owned(),
        file: origin.file.to_string(),
        pointer: origin.pointer.clone(),
        path: origin.path.clone(),
        id: origin.id.clone(),
        statement: (*described.statement).clone(),
    }
}
