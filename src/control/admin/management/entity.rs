//! One entity: read, created, replaced, merged, removed.

use super::super::error::AdminError;
use super::{
    call::{Call, empty_response, json_response, no_method},
    failure::{bad_body, bad_property, conflict, of_change, read_only, unknown_property},
    kinds::{Form, Kind, get, with_first},
    shown::{OPERATION_PROPERTIES, shown, shown_operation},
    tree::{Entity, Tree, tag_of},
};
use crate::{
    control::entities::{EntityData, new_key},
    pipeline::internal::Response,
};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value};

/// Clients of Azure declare the names of the template; they follow from it.
const TEMPLATE_PARAMETERS: &str = "templateParameters";

/// The moves of the state of a subscription.
const MOVES: [(&str, &[&str]); 3] = [
    ("Submitted", &["Active", "Rejected"]),
    ("Active", &["Suspended", "Cancelled", "Expired"]),
    ("Suspended", &["Active", "Cancelled"]),
];

/// Responds to a request for an entity.
pub fn respond(call: &Call, kind: &'static Kind, id: &str) -> Result<Response, AdminError> {
    let tree = Tree::of(&call.context)?;
    match call.method {
        Method::GET | Method::HEAD => {
            let entity = tree.require(kind.section, id)?;
            Ok(json_response(StatusCode::OK, &shown(kind, &entity), Some(&entity.tag())))
        }
        Method::PUT => write(call, kind, id, tree.entity(kind.section, id), false),
        Method::PATCH => write(call, kind, id, Some(tree.require(kind.section, id)?), true),
        Method::DELETE => remove(call, kind, id, &tree),
        _ => Err(no_method()),
    }
}

fn write(
    call: &Call,
    kind: &'static Kind,
    id: &str,
    existing: Option<Entity>,
    merges: bool,
) -> Result<Response, AdminError> {
    check_id(id)?;
    check_owner(existing.as_ref())?;
    check_tag(&call.headers, existing.as_ref(), merges)?;
    let is_new = existing.is_none();
    let old = existing.as_ref().map(|entity| entity.settings.clone());
    let given = call.own_properties()?;
    check_properties(kind, existing.as_ref().map_or(id, |entity| &entity.id), &given)?;
    let mut settings = settings(kind, &given, old.as_ref(), merges)?;
    if kind.name == "subscriptions" {
        check_move(old.as_ref(), &settings)?;
        if is_new {
            check_new_subscription(call, &mut settings)?;
        }
    }
    let id = existing.map_or_else(|| id.to_owned(), |entity| entity.id);
    change(call, |data| {
        data.set(kind.section, &id, Value::Object(settings));
        Ok(())
    })?;
    let entity = Tree::of(&call.context)?.require(kind.section, &id)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &shown(kind, &entity), Some(&entity.tag())))
}

/// Ids are letters, digits and `-._;=`, as in Azure.
fn check_id(id: &str) -> Result<(), AdminError> {
    let is_valid = !id.is_empty()
        && id.len() <= 256
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-._;=".contains(c));
    match is_valid {
        true => Ok(()),
        false => Err(bad_body("invalid id: must be 1 to 256 letters, digits and -._;=")),
    }
}

/// Reports properties that the kind does not have, and others than those that are fixed.
fn check_properties(kind: &Kind, id: &str, given: &Map<String, Value>) -> Result<(), AdminError> {
    let fixed = kind.fixed(id);
    for (name, value) in given {
        if !kind.names().any(|known| known == name) {
            return Err(unknown_property(name, kind.names()));
        }
        let is_same = |known: &Value| value.to_string().eq_ignore_ascii_case(&known.to_string());
        match fixed.iter().find(|(known, _)| known == name) {
            Some((_, known)) if !value.is_null() && !is_same(known) => {
                return Err(bad_property(name, format!("must be {known}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The limit of a product, and its approval, for a new subscription of a user.
fn check_new_subscription(call: &Call, settings: &mut Map<String, Value>) -> Result<(), AdminError> {
    let (Some(owner), Some(product)) = (settings.get("Owner"), settings.get("Product")) else {
        return Ok(());
    };
    let tree = Tree::of(&call.context)?;
    let Some(found) = product.as_str().and_then(|id| tree.entity("Products", id)) else { return Ok(()) };
    let same = |one: &Entity, name: &str, value: &Value| {
        let own = get(&one.settings, name).and_then(Value::as_str);
        own.zip(value.as_str()).is_some_and(|(own, value)| own.eq_ignore_ascii_case(value))
    };
    let counts = |one: &Entity| {
        let state = get(&one.settings, "State").and_then(Value::as_str).unwrap_or("Active");
        same(one, "Owner", owner)
            && same(one, "Product", product)
            && ["Submitted", "Active", "Suspended"].contains(&state)
    };
    let used = tree.entities("Subscriptions").iter().filter(|one| counts(one)).count();
    let limit = get(&found.settings, "SubscriptionsLimit").and_then(Value::as_u64);
    if limit.is_some_and(|limit| used as u64 >= limit) {
        return Err(conflict(format!(
            "the user has {used} subscriptions of the product, as many as it permits"
        )));
    }
    if get(&found.settings, "ApprovalRequired").and_then(Value::as_bool) == Some(true) {
        settings.entry("State").or_insert_with(|| Value::from("Submitted"));
    }
    Ok(())
}

/// The settings that properties mean.
fn settings(
    kind: &Kind,
    given: &Map<String, Value>,
    old: Option<&Value>,
    merges: bool,
) -> Result<Map<String, Value>, AdminError> {
    let kept = |name: &str| {
        let is_secret =
            kind.properties.iter().any(|(_, known, form)| *form == Form::Secret && name == *known);
        merges || is_secret || !kind.properties.iter().any(|(_, known, _)| name == *known)
    };
    let mut settings: Map<String, Value> = match old {
        Some(Value::Object(old)) => old
            .iter()
            .filter(|(name, _)| kept(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Some(Value::String(text)) => Map::from_iter([("Value".to_owned(), Value::from(text.as_str()))]),
        _ => Map::new(),
    };
    for (name, setting, form) in kind.properties {
        match given.get(*name) {
            None => {}
            Some(Value::Null) => drop(settings.remove(*setting)),
            Some(value) => drop(settings.insert((*setting).to_owned(), written(*form, value))),
        }
    }
    if kind.name == "subscriptions" {
        complete_subscription(given, &mut settings)?;
    }
    Ok(settings)
}

fn written(form: Form, value: &Value) -> Value {
    match (form, value.as_str()) {
        (Form::Word, Some(word)) => Value::from(with_first(word, char::to_uppercase)),
        (Form::Id(_), Some(id)) => Value::from(id.rsplit('/').next().unwrap_or_default()),
        _ => value.clone(),
    }
}

/// The scope of a subscription, and its keys: a new one gets keys of the system.
fn complete_subscription(
    given: &Map<String, Value>,
    settings: &mut Map<String, Value>,
) -> Result<(), AdminError> {
    if let Some(scope) = given.get("scope").and_then(Value::as_str) {
        for name in ["Product", "Api", "AllApis"] {
            settings.remove(name);
        }
        let mut parts = scope.rsplit('/');
        let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match (before, last) {
            ("products", id) => drop(settings.insert("Product".to_owned(), Value::from(id))),
            ("apis", id) if !id.is_empty() => drop(settings.insert("Api".to_owned(), Value::from(id))),
            (_, "apis") | ("apis", "") => drop(settings.insert("AllApis".to_owned(), Value::from(true))),
            _ => {
                return Err(bad_body(format!(
                    "invalid scope \"{scope}\": must be /products/ID, /apis/ID or /apis"
                )));
            }
        }
    }
    for name in ["PrimaryKey", "SecondaryKey"] {
        if !settings.contains_key(name) {
            let key = new_key()
                .map_err(|why| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "admin.internal", why))?;
            settings.insert(name.to_owned(), Value::from(key));
        }
    }
    Ok(())
}

fn check_move(old: Option<&Value>, new: &Map<String, Value>) -> Result<(), AdminError> {
    let state = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("Active").to_owned();
    let Some(old) = old else { return Ok(()) };
    let (from, to) = (state(get(old, "State")), state(new.get("State")));
    let is_permitted =
        from == to || MOVES.iter().any(|(known, targets)| *known == from && targets.contains(&to.as_str()));
    match is_permitted {
        true => Ok(()),
        false => Err(conflict(format!("a subscription that is {from} cannot become {to}"))),
    }
}

fn remove(call: &Call, kind: &'static Kind, id: &str, tree: &Tree) -> Result<Response, AdminError> {
    let Some(entity) = tree.entity(kind.section, id) else {
        return Ok(empty_response(StatusCode::NO_CONTENT));
    };
    check_owner(Some(&entity))?;
    check_tag(&call.headers, Some(&entity), true)?;
    let dependent: Vec<Entity> = match kind.name {
        "products" => {
            let opens = |one: &Entity| {
                let product = get(&one.settings, "Product").and_then(Value::as_str);
                product.is_some_and(|product| product.eq_ignore_ascii_case(&entity.id))
            };
            tree.entities("Subscriptions").into_iter().filter(opens).collect()
        }
        _ => Vec::new(),
    };
    let deletes_subscriptions =
        call.query.get("deleteSubscriptions").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !dependent.is_empty() && !deletes_subscriptions {
        return Err(conflict("the product has subscriptions; deleteSubscriptions=true deletes them"));
    }
    if let Some(place) = dependent.iter().find_map(|one| one.file.as_ref()) {
        return Err(read_only(place));
    }
    change(call, |data| {
        for one in &dependent {
            data.remove("Subscriptions", &one.id);
        }
        data.remove(kind.section, &entity.id);
        Ok(())
    })?;
    Ok(call.removed())
}

/// An operation of an API of the store, or a look at one of the files.
pub fn operation(call: &Call, api: &str, id: &str) -> Result<Response, AdminError> {
    let owner = Tree::of(&call.context)?.require("Apis", api)?;
    let existing = get(&owner.settings, "Operations").and_then(|operations| get(operations, id)).cloned();
    let tag = existing.as_ref().map(|one| tag_of(&one.to_string()));
    let missing = || AdminError::not_found("the API has no operation with this id");
    match call.method {
        Method::GET | Method::HEAD => {
            let found = existing.ok_or_else(missing)?;
            Ok(json_response(StatusCode::OK, &shown_operation(&owner.id, id, &found), tag.as_deref()))
        }
        Method::PUT | Method::PATCH => {
            let merges = call.method == Method::PATCH;
            if merges && existing.is_none() {
                return Err(missing());
            }
            check_id(id)?;
            check_match(&call.headers, tag, merges)?;
            let settings = operation_settings(call, existing.as_ref().filter(|_| merges))?;
            let tag = tag_of(&settings.to_string());
            set_operation(call, &owner, id, Some(settings.clone()))?;
            let status = if existing.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            Ok(json_response(status, &shown_operation(&owner.id, id, &settings), Some(&tag)))
        }
        Method::DELETE if existing.is_none() => Ok(empty_response(StatusCode::NO_CONTENT)),
        Method::DELETE => {
            check_match(&call.headers, tag, true)?;
            set_operation(call, &owner, id, None)?;
            Ok(call.removed())
        }
        _ => Err(no_method()),
    }
}

/// The settings of an operation; the template parameters repeat the names in the template.
fn operation_settings(call: &Call, old: Option<&Value>) -> Result<Value, AdminError> {
    let given = call.own_properties()?;
    let mut settings = old.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in given.iter().filter(|(name, _)| *name != TEMPLATE_PARAMETERS) {
        let Some((_, setting)) = OPERATION_PROPERTIES.iter().find(|(known, _)| known == name) else {
            return Err(unknown_property(name, OPERATION_PROPERTIES.iter().map(|(known, _)| *known)));
        };
        match value {
            Value::Null => drop(settings.remove(*setting)),
            value => drop(settings.insert((*setting).to_owned(), value.clone())),
        }
    }
    let template = settings.get("UrlTemplate").and_then(Value::as_str).unwrap_or_default();
    for parameter in given.get(TEMPLATE_PARAMETERS).and_then(Value::as_array).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        if !template.contains(&format!("{{{name}}}")) && !template.contains(&format!("{{*{name}}}")) {
            return Err(bad_property(TEMPLATE_PARAMETERS, format!("`urlTemplate` has no `{{{name}}}`")));
        }
    }
    Ok(Value::Object(settings))
}

fn set_operation(call: &Call, owner: &Entity, id: &str, settings: Option<Value>) -> Result<(), AdminError> {
    check_owner(Some(owner))?;
    let mut api = owner.settings.as_object().cloned().unwrap_or_default();
    let operations = get(&owner.settings, "Operations").and_then(Value::as_object).cloned();
    let mut operations = operations.unwrap_or_default();
    operations.retain(|known, _| !known.eq_ignore_ascii_case(id));
    if let Some(settings) = settings {
        operations.insert(id.to_owned(), settings);
    }
    api.insert("Operations".to_owned(), Value::Object(operations));
    change(call, |data| {
        data.set("Apis", &owner.id, Value::Object(api));
        Ok(())
    })
}

/// Entities of the files are read-only.
pub fn check_owner(entity: Option<&Entity>) -> Result<(), AdminError> {
    match entity.and_then(|entity| entity.file.as_ref()) {
        Some(place) => Err(read_only(place)),
        None => Ok(()),
    }
}

/// `If-Match`: required by changes of an entity that exists, except by PUT.
pub fn check_tag(headers: &HeaderMap, entity: Option<&Entity>, is_required: bool) -> Result<(), AdminError> {
    check_match(headers, entity.map(Entity::tag), is_required)
}

/// The same for a tag.
pub fn check_match(headers: &HeaderMap, tag: Option<String>, is_required: bool) -> Result<(), AdminError> {
    let name = header::IF_MATCH;
    if !headers.contains_key(&name) {
        let detail = "the request needs If-Match with the ETag of the entity, or *";
        return match is_required {
            true => Err(AdminError::new(StatusCode::PRECONDITION_REQUIRED, "request.precondition", detail)),
            false => Ok(()),
        };
    }
    let fits = match tag {
        Some(tag) => super::super::config::matches(headers, name.as_str(), &tag),
        None => false,
    };
    match fits {
        true => Ok(()),
        false => {
            let detail = "the entity has another ETag than If-Match";
            Err(AdminError::new(StatusCode::PRECONDITION_FAILED, "management.stale", detail))
        }
    }
}

/// Changes the entities of the store.
pub fn change<R>(
    call: &Call,
    change: impl FnOnce(&mut EntityData) -> Result<R, AdminError>,
) -> Result<R, AdminError> {
    let (manager, entities) = (call.context.changes()?, call.context.entities()?);
    entities.change(&manager, change).map_err(of_change)
}
