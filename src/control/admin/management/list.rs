//! Lists of entities, in pages.

use super::super::error::AdminError;
use super::{
    call::{Call, json_response, no_method},
    kinds::{Kind, get},
    shown::{shown, shown_operation},
    tree::Tree,
};
use crate::pipeline::internal::Response;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The entries of a page without `$top`, and at most.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The entities of a kind.
pub fn entities(call: &Call, kind: &Kind) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let entities = Tree::of(&call.context)?.entities(kind.section);
    page(call, entities.iter().map(|entity| shown(kind, entity)).collect())
}

/// The operations of an API.
pub fn operations(call: &Call, api: &str) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let owner = Tree::of(&call.context)?.require("Apis", api)?;
    let operations =
        get(&owner.settings, "Operations").and_then(Value::as_object).cloned().unwrap_or_default();
    page(call, operations.iter().map(|(id, one)| shown_operation(&owner.id, id, one)).collect())
}

/// A page of a list: `$filter`, `$orderby`, `$skip` and `$top`.
pub fn page(call: &Call, mut all: Vec<Value>) -> Result<Response, AdminError> {
    let number = |name: &str, default: usize| match call.query.get(name) {
        None => Ok(default),
        Some(text) => {
            text.parse::<usize>().map_err(|_| AdminError::query(format!("invalid {name}: must be a number")))
        }
    };
    let (skip, top) = (number("$skip", 0)?, number("$top", DEFAULT_PAGE)?);
    if top == 0 || top > MAX_PAGE {
        return Err(AdminError::query(format!("invalid $top: must be 1 to {MAX_PAGE}")));
    }
    if let Some(filter) = call.query.get("$filter") {
        let filter = super::filter::Filter::parse(filter)?;
        all.retain(|entity| filter.holds(entity));
    }
    if let Some(order) = call.query.get("$orderby") {
        let (name, direction) = order.split_once(' ').unwrap_or((order, "asc"));
        let key =
            |entity: &Value| super::filter::property(entity, name).cloned().unwrap_or_default().to_string();
        all.sort_by_key(key);
        if direction.trim().eq_ignore_ascii_case("desc") {
            all.reverse();
        }
    }
    let count = all.len();
    let value: Vec<Value> = all.into_iter().skip(skip).take(top).collect();
    let mut body = json!({ "count": count, "value": value });
    if skip + top < count {
        let path = call.path.join("/");
        let others = call.query.iter().filter(|(name, _)| !["$skip", "$top"].contains(&name.as_str()));
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let others: String =
            others.map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
        body["nextLink"] = json!(format!("/management/{path}?$top={top}&$skip={}{others}", skip + top));
    }
    Ok(json_response(StatusCode::OK, &body, None))
}
