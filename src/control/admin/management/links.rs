//! The links between entities: the APIs and groups of a product, the groups of a user.

use super::super::error::AdminError;
use super::{
    call::{Call, empty_response, json_response, no_method, no_page},
    entity::{change, check_owner},
    kinds::{Kind, get},
    list::page,
    shown::shown,
    tree::{Entity, Tree},
};
use crate::pipeline::internal::Response;
use http::{Method, StatusCode};
use serde_json::Value;

/// The entities that an entity is linked with.
pub fn list(call: &Call, kind: &Kind, id: &str, linked: &str) -> Result<Response, AdminError> {
    if call.method != Method::GET {
        return Err(no_method());
    }
    let tree = Tree::of(&call.context)?;
    let owner = tree.require(kind.section, id)?;
    let (other, entities) = match (kind.name, linked) {
        ("products", "subscriptions") => {
            let other = Kind::of(linked).ok_or_else(no_page)?;
            (other, with(&tree, other, "Product", &owner))
        }
        ("users", "subscriptions") => {
            let other = Kind::of(linked).ok_or_else(no_page)?;
            (other, with(&tree, other, "Owner", &owner))
        }
        ("apis", "products") | ("groups", "users") => {
            let other = Kind::of(linked).ok_or_else(no_page)?;
            let setting = if kind.name == "apis" { "Apis" } else { "Groups" };
            let holds = |one: &Entity| ids(one, setting).iter().any(|id| id.eq_ignore_ascii_case(&owner.id));
            (other, tree.entities(other.section).into_iter().filter(holds).collect())
        }
        _ => {
            let (name, setting) = link_of(kind, linked).ok_or_else(no_page)?;
            let other = Kind::of(name).ok_or_else(no_page)?;
            let own = ids(&owner, setting);
            let is_linked = |one: &Entity| own.iter().any(|id| id.eq_ignore_ascii_case(&one.id));
            (other, tree.entities(other.section).into_iter().filter(is_linked).collect::<Vec<_>>())
        }
    };
    page(
        call,
        &other.names().collect::<Vec<_>>(),
        entities.iter().map(|entity| shown(other, entity)).collect(),
    )
}

fn with(tree: &Tree, kind: &Kind, setting: &str, owner: &Entity) -> Vec<Entity> {
    let refers = |one: &Entity| {
        let id = get(&one.settings, setting).and_then(Value::as_str);
        id.is_some_and(|id| id.eq_ignore_ascii_case(&owner.id))
    };
    tree.entities(kind.section).into_iter().filter(refers).collect()
}

fn link_of(kind: &Kind, name: &str) -> Option<(&'static str, &'static str)> {
    kind.links.iter().copied().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The ids in a list of an entity.
fn ids(entity: &Entity, setting: &str) -> Vec<String> {
    let list = get(&entity.settings, setting).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// One link: it exists, is made or removed.
pub fn link(
    call: &Call,
    kind: &Kind,
    id: &str,
    (linked, other): (&str, &str),
) -> Result<Response, AdminError> {
    // The users of a group are kept with the users.
    if kind.name == "groups" && linked == "users" {
        let users = Kind::of("users").ok_or_else(no_page)?;
        return link(call, users, other, ("groups", id));
    }
    let (name, setting) = link_of(kind, linked).ok_or_else(no_page)?;
    let other_kind = Kind::of(name).ok_or_else(no_page)?;
    let tree = Tree::of(&call.context)?;
    let owner = tree.require(kind.section, id)?;
    let mut own = ids(&owner, setting);
    let at = own.iter().position(|known| known.eq_ignore_ascii_case(other));
    match call.method {
        Method::GET | Method::HEAD => match at {
            Some(_) => Ok(empty_response(StatusCode::NO_CONTENT)),
            None => Err(AdminError::not_found("the entities are not linked")),
        },
        Method::PUT => {
            let linked = tree.require(other_kind.section, other)?;
            if at.is_none() {
                own.push(linked.id.clone());
                set_links(call, kind, &owner, setting, own)?;
            }
            let status = if at.is_none() { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json_response(status, &shown(other_kind, &linked), None))
        }
        Method::DELETE => {
            let Some(at) = at else { return Ok(empty_response(StatusCode::NO_CONTENT)) };
            own.remove(at);
            set_links(call, kind, &owner, setting, own)?;
            Ok(call.removed())
        }
        _ => Err(no_method()),
    }
}

fn set_links(
    call: &Call,
    kind: &Kind,
    owner: &Entity,
    setting: &str,
    ids: Vec<String>,
) -> Result<(), AdminError> {
    check_owner(Some(owner))?;
    let mut settings = owner.settings.as_object().cloned().unwrap_or_default();
    settings.insert(setting.to_owned(), Value::from(ids));
    change(call, |data| {
        data.set(kind.section, &owner.id, Value::Object(settings));
        Ok(())
    })
}
