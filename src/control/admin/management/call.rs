//! A call of the management tree, and its responses.

use super::super::{context::AdminContext, error::AdminError, extract::RawBody};
use super::failure::{bad_body, unknown_property};
use crate::pipeline::internal::{Request, Response};
use axum::extract::FromRequest;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
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
pub struct Call {
    pub context: AdminContext,
    pub method: Method,
    /// The path of the root of the tree.
    pub root: String,
    /// Decoded segments of the path.
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    /// `null` without a body.
    pub body: Value,
}

impl Call {
    /// Reads a request.
    pub async fn read(context: AdminContext, request: Request) -> Result<Call, AdminError> {
        let decode = |text: &str| {
            let bytes = crate::base::percent::percent_decoded(text.as_bytes(), false).into_owned();
            String::from_utf8(bytes).map_err(|_| AdminError::query("the path is not UTF-8"))
        };
        let whole = request.uri().path();
        let path = tree_path(whole).unwrap_or_default();
        let root = whole.strip_suffix(path).unwrap_or_default().to_owned();
        let path = path.trim_end_matches('/').to_owned();
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
        Ok(Call { context, method, root, path, query, headers, body })
    }

    /// The properties of the body.
    pub fn properties(&self) -> Value {
        self.body.get("properties").cloned().unwrap_or(Value::Null)
    }

    /// The properties of a body that has no other members than those of a resource.
    ///
    /// # Errors
    /// 400 with the name of the member.
    pub fn own_properties(&self) -> Result<Map<String, Value>, AdminError> {
        let known = ["properties", "id", "name", "type"];
        let mut members = self.body.as_object().into_iter().flatten();
        if let Some((name, _)) = members.find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(unknown_property(name, known.into_iter()));
        }
        match self.properties() {
            Value::Object(properties) => Ok(properties),
            _ => Err(bad_body("expected an object in `properties`")),
        }
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

/// There is no such resource.
pub fn no_page() -> AdminError {
    AdminError::not_found("no such resource; docs/api-management.md lists the resources")
}

/// The resource has no such method.
pub fn no_method() -> AdminError {
    AdminError::new(StatusCode::METHOD_NOT_ALLOWED, "admin.method", "the resource has other methods")
}

/// A JSON response with the entity tag of its resource.
pub fn json_response(status: StatusCode, value: &Value, tag: Option<&str>) -> Response {
    let mut response = super::super::page::json(value);
    *response.status_mut() = status;
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

impl Call {
    /// The response to a removal: clients of Azure's resource manager expect one without content.
    pub fn removed(&self) -> Response {
        let is_own = self.root == "/management/";
        empty_response(if is_own { StatusCode::OK } else { StatusCode::NO_CONTENT })
    }
}

/// A response without a body.
pub fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
