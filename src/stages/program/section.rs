//! Sections, scopes and origins of statements.

use crate::config::Span;
use std::sync::Arc;

/// A section of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    Inbound,
    Backend,
    Outbound,
    OnError,
}

impl Section {
    /// In the order of the walk.
    pub const ALL: [Section; 4] = [Section::Inbound, Section::Backend, Section::Outbound, Section::OnError];

    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Section::Inbound => "inbound",
            Section::Backend => "backend",
            Section::Outbound => "outbound",
            Section::OnError => "on-error",
        }
    }

    /// Whether "the message" is the response.
    pub fn is_response(self) -> bool {
        matches!(self, Section::Outbound | Section::OnError)
    }
}

/// Where a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Global,
    Workspace,
    Product,
    Policy,
    Api,
    Operation,
}

impl Scope {
    /// The name in origins and in `LastError.Scope`.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Global => "global",
            Scope::Workspace => "workspace",
            Scope::Product => "product",
            Scope::Policy => "policy",
            Scope::Api => "api",
            Scope::Operation => "operation",
        }
    }
}

/// Where a statement was written.
#[derive(Clone, Debug)]
pub struct Origin {
    pub scope: Scope,
    /// The file, relative to the configuration.
    pub file: Arc<str>,
    pub pointer: String,
    /// For diagnostics.
    pub span: Span,
    /// `choose[1]/when[2]/set-header[1]`.
    pub path: String,
    pub id: String,
    pub statement: &'static str,
}
