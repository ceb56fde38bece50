//! The form of entities in the tree.

use super::{
    kinds::{Kind, get},
    tree::Entity,
};
use serde_json::{Map, Value, json};

/// The properties of an operation, and its settings.
pub const OPERATION_PROPERTIES: [(&str, &str); 4] = [
    ("displayName", "DisplayName"),
    ("method", "Method"),
    ("urlTemplate", "UrlTemplate"),
    ("description", "Description"),
];

/// The form of an entity in the tree.
pub fn shown(kind: &Kind, entity: &Entity) -> Value {
    json!({
        "id": format!("/{}/{}", kind.name, entity.id),
        "type": format!("Microsoft.ApiManagement/service/{}", kind.name),
        "name": entity.id,
        "properties": kind.to_properties(&entity.id, &entity.settings),
    })
}

/// The form of an operation in the tree.
pub fn shown_operation(api: &str, id: &str, settings: &Value) -> Value {
    let mut properties = Map::new();
    for (name, setting) in OPERATION_PROPERTIES {
        if let Some(value) = get(settings, setting) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    properties.entry("displayName".to_owned()).or_insert_with(|| Value::from(id));
    json!({
        "id": format!("/apis/{api}/operations/{id}"),
        "type": "Microsoft.ApiManagement/service/apis/operations",
        "name": id,
        "properties": properties,
    })
}
