//! Entities and policy documents in addition to those of the files. The files have precedence.

use super::codes;
use super::diagnostics::Diagnostics;
use super::node::Node;
use super::parse::{Dialect, parse};
use super::policies::PolicyFile;
use super::source::Sources;
use super::span::Span;
use std::collections::HashSet;
use std::sync::Arc;

/// The name of the document of entities in diagnostics.
const DOCUMENT_NAME: &str = "store:entities";

/// What the store of the gateway contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredEntities {
    /// The sections of the configuration, as JSON.
    pub document: Arc<str>,
    /// Name in the directory of policies, `.xml` included, and text.
    pub policies: Vec<(String, Arc<str>)>,
}

impl StoredEntities {
    /// The policy documents that the files do not have.
    pub(super) fn policy_files(
        &self,
        files: &[PolicyFile],
        diagnostics: &mut Diagnostics,
    ) -> Vec<PolicyFile> {
        let stem = |name: &str| name.to_lowercase().trim_end_matches(".xml").to_owned();
        let known: HashSet<String> = files.iter().map(|file| stem(&file.name)).collect();
        let mut stored = Vec::new();
        for (name, text) in &self.policies {
            let display_path = format!("store:{name}");
            if known.contains(&stem(name)) {
                let message = format!("{display_path} is ignored: the files have a document of this name");
                diagnostics.warning(codes::STORED_ENTITY_IGNORED, None, message);
                continue;
            }
            stored.push(PolicyFile {
                name: name.clone(),
                display_path,
                path: None,
                text: Some(text.to_string()),
                is_stored: true,
            });
        }
        stored
    }

    /// Adds the entities that the files do not have.
    pub(super) fn lay_under(&self, root: &mut Node, sources: &mut Sources, diagnostics: &mut Diagnostics) {
        if self.document.is_empty() {
            return;
        }
        let dialect = Dialect { single_quotes: false };
        let id = sources.add(DOCUMENT_NAME.to_owned(), None, self.document.to_string(), dialect);
        let Some(text) = sources.get(id).map(|source| source.text.clone()) else { return };
        let Some(mut tree) = parse(id, &text, dialect, diagnostics) else { return };
        for section in tree.members_mut().map(std::mem::take).unwrap_or_default() {
            match root.get_mut_ignore_case(&section.key.value) {
                Some(own) => add_entities(own, section.value, &section.key.value, diagnostics),
                None => root.members_mut().into_iter().for_each(|members| members.push(section.clone())),
            }
        }
    }
}

fn add_entities(own: &mut Node, mut stored: Node, section: &str, diagnostics: &mut Diagnostics) {
    for entity in stored.members_mut().map(std::mem::take).unwrap_or_default() {
        if own.member_ignore_case(&entity.key.value).is_some() {
            let message =
                format!("{section} {} of the store is ignored: the files have it", entity.key.value);
            diagnostics.warning(codes::STORED_ENTITY_IGNORED, entity.key.span, message);
        } else if let Some(members) = own.members_mut() {
            members.push(entity);
        }
    }
}

/// Whether a value was read from the store.
pub fn is_stored(sources: &Sources, span: Span) -> bool {
    sources.get(span.file).is_some_and(|source| source.name == DOCUMENT_NAME)
}
