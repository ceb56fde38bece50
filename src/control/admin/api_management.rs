//! API management: the effective policies.

use super::{context::AdminContext, error::AdminError, extract::QueryParams, page::JsonPage};
use crate::{
    plan::apis::{
        blueprint::Programs,
        described::{EffectivePolicy, effective},
    },
    stages::program::Program,
};
use axum::extract::State;
use serde::Deserialize;

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
