//! The entities in memory.

use crate::{config::StoredEntities, state::database::EntityRow};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// The kind of policy documents; their ids are names in the directory of policies.
pub const POLICIES: &str = "Policies";

/// Entities by the section of the configuration to which they belong, then by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityData {
    sections: BTreeMap<String, BTreeMap<String, Value>>,
}

impl EntityData {
    /// The entities that a database contains.
    ///
    /// # Errors
    /// A sentence: an entity is no JSON.
    pub fn from_rows(rows: Vec<EntityRow>) -> Result<EntityData, String> {
        let mut data = EntityData::default();
        for EntityRow { kind, id, body } in rows {
            let Some(body) = body else { continue };
            let value = serde_json::from_str(&body)
                .map_err(|_| format!("{kind} {id} of the store is damaged: restore a backup"))?;
            data.set(&kind, &id, value);
        }
        Ok(data)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.sections.values().all(BTreeMap::is_empty)
    }

    /// An entity and its id as it was first written; ids are matched without regard to case.
    pub fn get(&self, section: &str, id: &str) -> Option<(&str, &Value)> {
        let entities = self.sections.get(section)?;
        let found = entities.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
        found.map(|(known, value)| (known.as_str(), value))
    }

    /// Adds or replaces an entity.
    pub fn set(&mut self, section: &str, id: &str, value: Value) {
        let id = self.get(section, id).map_or_else(|| id.to_owned(), |(known, _)| known.to_owned());
        self.sections.entry(section.to_owned()).or_default().insert(id, value);
    }

    /// Removes an entity; whether there was one.
    pub fn remove(&mut self, section: &str, id: &str) -> bool {
        let Some(id) = self.get(section, id).map(|(known, _)| known.to_owned()) else { return false };
        self.sections.get_mut(section).is_some_and(|entities| entities.remove(&id).is_some())
    }

    /// As the configuration is read with them.
    pub fn to_stored(&self) -> StoredEntities {
        let is_section = |section: &&String| *section != POLICIES;
        let sections = self.sections.keys().filter(is_section).map(|section| {
            let entities: Map<String, Value> = self.sections[section].clone().into_iter().collect();
            (section.clone(), Value::Object(entities))
        });
        let document = Value::Object(sections.collect()).to_string();
        let policies = self.sections.get(POLICIES).into_iter().flatten();
        let text = |value: &Value| Arc::from(value.as_str().unwrap_or_default());
        StoredEntities {
            document: document.into(),
            policies: policies.map(|(name, value)| (name.clone(), text(value))).collect(),
        }
    }

    /// The rows that lead from older data to this.
    pub fn changes_since(&self, before: &EntityData) -> Vec<EntityRow> {
        let row = |kind: &str, id: &str, body: Option<String>| EntityRow {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body,
        };
        let mut rows = Vec::new();
        for (kind, entities) in &self.sections {
            let changed = entities.iter().filter(|(id, value)| before.exact(kind, id) != Some(*value));
            rows.extend(changed.map(|(id, value)| row(kind, id, Some(value.to_string()))));
        }
        for (kind, entities) in &before.sections {
            let removed = entities.keys().filter(|id| self.exact(kind, id).is_none());
            rows.extend(removed.map(|id| row(kind, id, None)));
        }
        rows
    }

    fn exact(&self, section: &str, id: &str) -> Option<&Value> {
        self.sections.get(section)?.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changed_and_removed_entities_become_rows() {
        let mut before = EntityData::default();
        before.set("Products", "gold", json!({ "State": "Published" }));
        before.set("Products", "iron", json!({}));
        let mut after = before.clone();
        after.set("Products", "GOLD", json!({ "State": "NotPublished" }));
        assert!(after.remove("Products", "Iron"));
        let rows = after.changes_since(&before);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].id.as_str(), rows[1].id.as_str()), ("gold", "iron"));
        assert!(rows[0].body.is_some() && rows[1].body.is_none());
        assert!(after.changes_since(&after).is_empty());
    }
}
