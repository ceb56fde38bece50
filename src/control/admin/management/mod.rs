//! The management of API management: entities, policy documents and quotas, in the form of Azure's resource manager.
//!
//! Entry point: [`serve`], called for paths under `/management`, and for the same tree under the path of Azure's resource
//! manager. Entities of the files are read-only; those of the store are changed by `control::entities`.

mod call;
mod entity;
mod failure;
mod filter;
mod kinds;
mod links;
mod list;
mod policy;
mod quota;
mod secrets;
mod shown;
mod tree;

use super::{context::AdminContext, error::AdminError};
use crate::pipeline::internal::{Request, Response};
use axum::response::IntoResponse;
pub use call::tree_path;
use call::{Call, json_response, no_method, no_page};
use failure::with_azure_error;
use http::{Method, StatusCode};
use kinds::Kind;

/// Responds to a request below the root of the tree.
pub async fn serve(context: AdminContext, request: Request) -> Response {
    let result = match Call::read(context, request).await {
        Ok(call) => {
            let work = call.context.shared.work.clone();
            work.run(move || respond(&call)).await.and_then(|result| result)
        }
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| with_azure_error(error).into_response())
}

/// Responds by the path.
fn respond(call: &Call) -> Result<Response, AdminError> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let kind = |name: &str| Kind::of(name).ok_or_else(no_page);
    match path[..] {
        [.., "policies"] => policy::list(call, &path[..path.len() - 1]),
        [.., "policies", _] => policy::document(call, policy::scope_name(&path[..path.len() - 2])?),
        ["policyFragments"] => policy::fragments(call),
        ["policyFragments", id] => policy::document(call, format!("fragments/{id}")),
        ["quotas", key] => quota::counter(call, key),
        ["quotas", key, "periods", _] => quota::counter(call, key),
        ["traces", id] => trace(call, id),
        ["subscriptions", id, action] => secrets::subscription(call, id, action),
        ["namedValues", id, "listValue"] => secrets::named_value(call, id),
        ["apis", id, "operations"] => list::operations(call, id),
        ["apis", id, "operations", operation] => entity::operation(call, id, operation),
        [name] => list::entities(call, kind(name)?),
        [name, id] => entity::respond(call, kind(name)?, id),
        [name, id, linked] => links::list(call, kind(name)?, id, linked),
        [name, id, linked, other] => links::link(call, kind(name)?, id, (linked, other)),
        _ => Err(no_page()),
    }
}

/// A trace of a request.
fn trace(call: &Call, id: &str) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let traces = call.context.gateway()?.shared_state.programs.traces.clone();
    let missing = || AdminError::not_found("there is no trace with this id; traces are kept for 5 minutes");
    traces.get(id).map(|trace| json_response(StatusCode::OK, &trace, None)).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_two_roots() {
        assert_eq!(tree_path("/management/apis/a"), Some("apis/a"));
        let azure = "/subscriptions/0/resourceGroups/r/providers/Microsoft.ApiManagement/service/m/apis/a";
        assert_eq!(tree_path(azure), Some("apis/a"));
        assert_eq!(tree_path("/v1/config"), None);
    }
}
