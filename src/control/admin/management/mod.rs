//! The management of API management: entities, policy documents and quotas, in the form of Azure's resource manager.
//!
//! Entry point: [`serve`], called for paths under `/management`, and for the same tree under the path of Azure's resource
//! manager. Entities of the files are read-only; those of the store are changed by `control::entities`.

mod entity;
mod failure;
mod filter;
mod kinds;
mod links;
mod list;
mod policy;
mod quota;
mod secrets;
mod tree;

use super::{context::AdminContext, error::AdminError, extract::RawBody};
use crate::pipeline::internal::{Request, Response};
use axum::{extract::FromRequest, response::IntoResponse};
use failure::{bad_body, with_azure_error};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kinds::Kind;
use serde_json::Value;
use std::collections::BTreeMap;

/// The provider in the path of Azure's resource manager.
const PROVIDER: &str = "microsoft.apimanagement";

/// The path of an entity below the root of the tree; `None`: the path is of another page.
pub fn tree_path(path: &str) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("/management/") {
        return Some(rest);
    }
    let parts: Vec<&str> = path.splitn(10, '/').collect();
    let [_, subscriptions, _, groups, _, providers, provider, service, _, rest] = parts[..] else {
        return None;
    };
    let fits = subscriptions.eq_ignore_ascii_case("subscriptions")
        && groups.eq_ignore_ascii_case("resourceGroups")
        && providers.eq_ignore_ascii_case("providers")
        && provider.eq_ignore_ascii_case(PROVIDER)
        && service.eq_ignore_ascii_case("service");
    fits.then_some(rest)
}

/// A call of the tree.
struct Call {
    context: AdminContext,
    method: Method,
    /// Decoded segments of the path.
    path: Vec<String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    /// `null` without a body.
    body: Value,
}

/// Responds to a request below the root of the tree.
pub async fn serve(context: AdminContext, request: Request) -> Response {
    let result = match Call::read(context, request).await {
        Ok(call) => {
            let work = call.context.shared.work.clone();
            work.run(move || call.respond()).await.and_then(|result| result)
        }
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| with_azure_error(error).into_response())
}

impl Call {
    async fn read(context: AdminContext, request: Request) -> Result<Call, AdminError> {
        let decode = |text: &str| {
            let bytes = crate::base::percent::percent_decoded(text.as_bytes(), false).into_owned();
            String::from_utf8(bytes).map_err(|_| AdminError::query("the path is not UTF-8"))
        };
        let path = tree_path(request.uri().path()).unwrap_or_default().trim_end_matches('/').to_owned();
        let path = path.split('/').map(decode).collect::<Result<Vec<String>, _>>()?;
        let query = query_of(request.uri().query().unwrap_or_default());
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let RawBody(bytes) = RawBody::from_request(request, &()).await?;
        let is_json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = is_json.is_some_and(|value| value.to_ascii_lowercase().contains("json"));
        if !bytes.is_empty() && !is_json {
            let detail = "expected a body with Content-Type: application/json";
            return Err(AdminError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "admin.media_type", detail));
        }
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes)
                .map_err(|error| bad_body(format!("the body is no JSON: {error}")))?,
        };
        Ok(Call { context, method, path, query, headers, body })
    }

    fn respond(&self) -> Result<Response, AdminError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let kind = |name: &str| Kind::of(name).ok_or_else(no_page);
        match path[..] {
            [.., "policies"] => policy::list(self, &path[..path.len() - 1]),
            [.., "policies", _] => policy::document(self, policy::scope_name(&path[..path.len() - 2])?),
            ["policyFragments", id] => policy::document(self, format!("fragments/{id}")),
            ["quotas", key] => quota::counter(self, key),
            ["quotas", key, "periods", _] => quota::counter(self, key),
            ["subscriptions", id, action] => secrets::subscription(self, id, action),
            ["namedValues", id, "listValue"] => secrets::named_value(self, id),
            ["apis", id, "operations"] => list::operations(self, id),
            ["apis", id, "operations", operation] => entity::operation(self, id, operation),
            [name] => list::entities(self, kind(name)?),
            [name, id] => entity::respond(self, kind(name)?, id),
            [name, id, linked] => links::list(self, kind(name)?, id, linked),
            [name, id, linked, other] => links::link(self, kind(name)?, id, (linked, other)),
            _ => Err(no_page()),
        }
    }

    fn properties(&self) -> Value {
        self.body.get("properties").cloned().unwrap_or(Value::Null)
    }
}

/// The decoded parameters of a query.
fn query_of(query: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        String::from_utf8_lossy(&crate::base::percent::percent_decoded(text.as_bytes(), true)).into_owned()
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    };
    parts.map(pair).collect()
}

fn no_page() -> AdminError {
    AdminError::not_found("no such resource; docs/api-management.md lists the resources")
}

fn no_method() -> AdminError {
    AdminError::new(StatusCode::METHOD_NOT_ALLOWED, "admin.method", "the resource has other methods")
}

/// A JSON response with the entity tag of its resource.
fn json_response(status: StatusCode, value: &Value, tag: Option<&str>) -> Response {
    let mut response = super::page::json(value);
    *response.status_mut() = status;
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
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
