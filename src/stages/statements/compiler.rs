//! The state of a compilation: what statements may name, and where the document is.

use super::{logger::Logger, token_source::TokenSource};
use crate::{
    config::{Diagnostics, Node, Span, ids::Ids},
    stages::{
        authentication::scheme_set::SchemeSet,
        program::{
            Instruction, Scope, Section, Statement, backend::ServiceCertificates, entities::Operation,
            instruction::Described,
        },
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Depth of fragments in fragments.
pub(super) const MAX_FRAGMENT_DEPTH: usize = 8;

/// What documents may name.
#[derive(Debug, Default)]
pub struct Facts {
    /// In lower case.
    pub backends: HashSet<String>,
    pub backend_names: Vec<String>,
    /// Ids and display names of APIs; `None`: they are not known.
    pub apis: Option<Ids>,
    /// The operations by the ids and the display names of their APIs, in lower case.
    pub operations: HashMap<String, Vec<Arc<Operation>>>,
    pub identities: HashMap<String, Arc<TokenSource>>,
    pub certificates: ServiceCertificates,
    pub loggers: HashMap<String, Arc<Logger>>,
    pub has_callout_rules: bool,
    pub entra_authority: String,
    pub schemes: Option<Arc<SchemeSet>>,
}

/// A fragment: its file and its statements.
#[derive(Clone, Debug)]
pub struct Fragment {
    pub file: Arc<str>,
    /// `None` if it could not be read.
    pub statements: Option<Node>,
}

/// A document that is compiled.
pub struct StatementCompiler<'c, 'd> {
    pub diagnostics: &'d mut Diagnostics,
    pub facts: &'c Facts,
    pub fragments: &'c HashMap<String, Fragment>,
    pub used_fragments: &'c mut HashSet<String>,
    /// What is shown in the place of texts with secret values.
    pub masks: &'c HashMap<Span, String>,
    /// The root of the file, for pointers; that of the fragment in fragments.
    pub root: &'c Node,
    pub file: Arc<str>,
    pub scope: Scope,
    pub section: Section,
    /// The names of path values, if all operations of the document are known.
    pub placeholders: Option<HashSet<String>>,
    /// The path of the enclosing statement.
    pub(super) prefix: String,
    pub(super) fragment_stack: Vec<String>,
}

/// The compiled statements of a list.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub instructions: Vec<Instruction>,
    /// For lists directly in a section.
    pub described: Vec<Described>,
}

impl<'c, 'd> StatementCompiler<'c, 'd> {
    /// A compiler for one document.
    #[expect(clippy::too_many_arguments, reason = "everything that a document may refer to")]
    pub fn new(
        diagnostics: &'d mut Diagnostics,
        facts: &'c Facts,
        fragments: &'c HashMap<String, Fragment>,
        used_fragments: &'c mut HashSet<String>,
        masks: &'c HashMap<Span, String>,
        root: &'c Node,
        file: Arc<str>,
        scope: Scope,
    ) -> StatementCompiler<'c, 'd> {
        StatementCompiler {
            diagnostics,
            facts,
            fragments,
            used_fragments,
            masks,
            root,
            file,
            scope,
            section: Section::Inbound,
            placeholders: None,
            prefix: String::new(),
            fragment_stack: Vec::new(),
        }
    }

    /// Whether a text contains a secret value: messages do not show it.
    pub fn is_secret_text(&self, span: Span) -> bool {
        self.masks.contains_key(&span)
    }
}

/// Boxes a statement.
pub fn done(statement: impl Statement + 'static) -> Option<Arc<dyn Statement>> {
    Some(Arc::new(statement))
}
