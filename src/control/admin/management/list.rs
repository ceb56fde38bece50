//! Lists of entities, in pages.

use super::super::error::AdminError;
use super::{
    call::{Call, json_response, no_method},
    failure::unknown_property,
    filter::{Filter, property},
    kinds::{Kind, get},
    shown::{OPERATION_PROPERTIES, shown, shown_operation},
    tree::Tree,
};
use crate::pipeline::internal::Response;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The entries of a page without `$top`, and at most.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The entities of a kind.
pub fn entities(call: &Call, kind: &Kind) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let entities = Tree::of(&call.context)?.entities(kind.section);
    page(call, &kind.names().collect::<Vec<_>>(), entities.iter().map(|entity| shown(kind, entity)).collect())
}

/// The operations of an API.
pub fn operations(call: &Call, api: &str) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let owner = Tree::of(&call.context)?.require("Apis", api)?;
    let operations =
        get(&owner.settings, "Operations").and_then(Value::as_object).cloned().unwrap_or_default();
    let names = OPERATION_PROPERTIES.map(|(name, _)| name);
    page(call, &names, operations.iter().map(|(id, one)| shown_operation(&owner.id, id, one)).collect())
}

/// A property of a filter or an order that entities do not have.
fn check_name(name: &str, known: &[&str]) -> Result<(), AdminError> {
    let name = name.trim().trim_start_matches("properties/");
    let mut all = known.iter().copied().chain(["name", "id"]);
    match all.any(|known| known.eq_ignore_ascii_case(name)) {
        true => Ok(()),
        false => Err(unknown_property(name, known.iter().copied())),
    }
}

/// Numbers by their size, texts without regard to case.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one.to_string().to_lowercase().cmp(&other.to_string().to_lowercase()),
    }
}

/// A page of a list of entities with some properties: `$filter`, `$orderby`, `$skip` and `$top`.
pub fn page(call: &Call, known: &[&str], mut all: Vec<Value>) -> Result<Response, AdminError> {
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
        let filter = Filter::parse(filter)?;
        filter.names().into_iter().try_for_each(|name| check_name(name, known))?;
        all.retain(|entity| filter.holds(entity));
    }
    if let Some(order) = call.query.get("$orderby") {
        let (name, direction) = order.split_once(' ').unwrap_or((order, "asc"));
        check_name(name, known)?;
        let key = |entity: &Value| property(entity, name).cloned().unwrap_or_default();
        all.sort_by(|one, other| compare(&key(one), &key(other)));
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
        body["nextLink"] = json!(format!("{}{path}?$top={top}&$skip={}{others}", call.root, skip + top));
    }
    Ok(json_response(StatusCode::OK, &body, None))
}
