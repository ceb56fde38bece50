//! Secrets: the keys of subscriptions and the values of named values. No other answer contains them.

use super::super::error::AdminError;
use super::{
    call::{Call, empty_response, json_response, no_method, no_page},
    entity::{change, check_owner},
    kinds::get,
    tree::{Entity, Tree},
};
use crate::{control::entities::new_key, pipeline::internal::Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// Shows or regenerates the keys of a subscription.
pub fn subscription(call: &Call, id: &str, action: &str) -> Result<Response, AdminError> {
    if call.method != Method::POST {
        return Err(no_method());
    }
    let entity = Tree::of(&call.context)?.require("Subscriptions", id)?;
    match action {
        "listSecrets" => {
            let key = |name: &str| get(&entity.settings, name).cloned().unwrap_or_default();
            let keys = json!({ "primaryKey": key("PrimaryKey"), "secondaryKey": key("SecondaryKey") });
            Ok(json_response(StatusCode::OK, &keys, Some(&entity.tag())))
        }
        "regeneratePrimaryKey" => regenerate(call, &entity, "PrimaryKey"),
        "regenerateSecondaryKey" => regenerate(call, &entity, "SecondaryKey"),
        _ => Err(no_page()),
    }
}

fn regenerate(call: &Call, entity: &Entity, name: &str) -> Result<Response, AdminError> {
    check_owner(Some(entity))?;
    let key =
        new_key().map_err(|why| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "admin.internal", why))?;
    let mut settings = entity.settings.as_object().cloned().unwrap_or_default();
    settings.insert(name.to_owned(), Value::from(key));
    change(call, |data| {
        data.set("Subscriptions", &entity.id, Value::Object(settings));
        Ok(())
    })?;
    Ok(empty_response(StatusCode::NO_CONTENT))
}

/// Shows a named value.
pub fn named_value(call: &Call, id: &str) -> Result<Response, AdminError> {
    if call.method != Method::POST {
        return Err(no_method());
    }
    let entity = Tree::of(&call.context)?.require("NamedValues", id)?;
    let value =
        if entity.settings.is_string() { Some(&entity.settings) } else { get(&entity.settings, "Value") };
    let body = json!({ "value": value.cloned().unwrap_or_default() });
    Ok(json_response(StatusCode::OK, &body, Some(&entity.tag())))
}
