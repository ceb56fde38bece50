//! The lines of the table of statements: the name, the sections, the scopes, the attributes and a description. Documents
//! are checked, explained, imported and documented from it.

use super::{
    args::Args,
    compiler::StatementCompiler,
    schema::{Attribute, find},
};
use crate::stages::program::{Scope, Section, Statement};
use std::sync::Arc;

/// Compiles a statement; `None` after a diagnostic.
pub type Compile = fn(&Args, &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>>;

/// A statement.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub name: &'static str,
    /// The initials of its sections: `i`, `b`, `o`, `e`.
    pub sections: &'static str,
    /// Empty: all scopes.
    pub scopes: &'static [Scope],
    /// Whether a section may have it once.
    pub is_once: bool,
    /// The attribute that a bare text sets.
    pub bare: Option<&'static str>,
    pub attributes: &'static [Attribute],
    pub about: &'static str,
    pub compile: Compile,
}

impl Spec {
    /// Whether it may stand in a section.
    pub fn is_allowed_in(&self, section: Section) -> bool {
        let initial = match section {
            Section::Inbound => 'i',
            Section::Backend => 'b',
            Section::Outbound => 'o',
            Section::OnError => 'e',
        };
        self.sections.contains(initial)
    }

    /// The names of its sections.
    pub fn section_names(&self) -> Vec<&'static str> {
        Section::ALL
            .iter()
            .filter(|section| self.is_allowed_in(**section))
            .map(|section| section.name())
            .collect()
    }

    /// The attribute of a name.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.attributes, name)
    }
}
