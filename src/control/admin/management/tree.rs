//! The entities of the active configuration: those of the files and those of the store.

use super::super::{context::AdminContext, error::AdminError};
use crate::{
    base::hash::stable_hash,
    config::{Member, Node, stored_entities::is_stored},
    control::candidate::Candidate,
};
use serde_json::Value;
use std::sync::Arc;

/// An entity of the active configuration.
pub struct Entity {
    /// As it was declared.
    pub id: String,
    pub settings: Value,
    /// The place in the files; `None`: it is one of the store.
    pub file: Option<String>,
}

impl Entity {
    /// The entity tag (RFC 9110 8.8.3).
    pub fn tag(&self) -> String {
        tag_of(&self.settings.to_string())
    }
}

/// The entity tag of a text.
pub fn tag_of(text: &str) -> String {
    format!("\"{:016x}\"", stable_hash(text.as_bytes()))
}

/// The active configuration.
pub struct Tree(Arc<Candidate>);

impl Tree {
    /// The entities of the active configuration.
    pub fn of(context: &AdminContext) -> Result<Tree, AdminError> {
        context.candidate().map(Tree)
    }

    fn section(&self, name: &str) -> Option<&Node> {
        self.0.loaded.root.as_ref()?.get_ignore_case(name)
    }

    /// All entities of a section.
    pub fn entities(&self, section: &str) -> Vec<Entity> {
        let members = self.section(section).map(Node::members).unwrap_or_default();
        members.iter().map(|member| self.entity_of(member)).collect()
    }

    fn entity_of(&self, member: &Member) -> Entity {
        let sources = &self.0.loaded.sources;
        let span = member.key.span;
        Entity {
            id: member.key.value.to_string(),
            settings: serde_json::from_str(&member.value.to_json()).unwrap_or_default(),
            file: (!is_stored(sources, span)).then(|| sources.location(span)),
        }
    }

    /// An entity; ids are matched without regard to case.
    pub fn entity(&self, section: &str, id: &str) -> Option<Entity> {
        self.section(section)?.member_ignore_case(id).map(|member| self.entity_of(member))
    }

    /// An entity that must exist.
    ///
    /// # Errors
    /// 404.
    pub fn require(&self, section: &str, id: &str) -> Result<Entity, AdminError> {
        let missing = || AdminError::not_found(format!("{section} has no entry \"{id}\""));
        self.entity(section, id).ok_or_else(missing)
    }

    /// The policy documents below a folder: their names, their texts, and whether they are XML.
    pub fn documents(&self, folder: &str) -> Vec<(String, String, bool)> {
        let loaded = &self.0.loaded;
        let all = loaded.policies.documents.iter().filter(|one| one.name.starts_with(folder));
        let text = |file| loaded.sources.get(file).map(|source| source.text.clone()).unwrap_or_default();
        all.map(|one| (one.name.to_string(), text(one.file), one.is_xml)).collect()
    }

    /// A policy document: its text, whether it is XML, and its place in the files.
    pub fn document(&self, name: &str) -> Option<(String, bool, Option<String>)> {
        let loaded = &self.0.loaded;
        let found = loaded.policies.documents.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
        let source = loaded.sources.get(found.file)?;
        let place = (!found.is_stored).then(|| source.name.clone());
        Some((source.text.clone(), found.is_xml, place))
    }
}
