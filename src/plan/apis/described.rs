//! Effective programs as data: for the administration pages and `explain`.

use crate::stages::program::{Program, Section, dry_run::DryRun, instruction::Described};
use serde::Serialize;

/// The effective statements of an operation and a product context.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EffectivePolicy {
    pub inbound: Vec<EffectiveStatement>,
    pub backend: Vec<EffectiveStatement>,
    pub outbound: Vec<EffectiveStatement>,
    pub on_error: Vec<EffectiveStatement>,
}

/// A statement and its origin.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EffectiveStatement {
    /// `operation`, `api`, `policy`, `product`, `workspace` or `global`.
    pub scope: String,
    /// The document, relative to the configuration; `built-in` for the default `forward-request`.
    pub file: String,
    /// The JSON pointer of the statement in the document.
    pub pointer: String,
    /// The path of the statement in its section, as in `context.LastError.Path`.
    pub path: String,
    /// The `id` of the statement.
    pub id: String,
    /// As written, with secrets masked.
    #[schema(value_type = Object)]
    pub statement: serde_json::Value,
    /// In explanations: `done`, `skipped`, `responded`, `rejected`, `failed`, or `waits` for a statement that calls another service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub outcome: Option<&'static str>,
}

/// The statements of a program.
pub fn effective(program: &Program) -> EffectivePolicy {
    let section = |section: Section| program.section(section).described.iter().map(statement).collect();
    EffectivePolicy {
        inbound: section(Section::Inbound),
        backend: section(Section::Backend),
        outbound: section(Section::Outbound),
        on_error: section(Section::OnError),
    }
}

impl EffectivePolicy {
    /// The same with the outcomes of a dry run.
    pub fn with_outcomes(mut self, run: &DryRun) -> EffectivePolicy {
        let sections = [&mut self.inbound, &mut self.backend, &mut self.outbound, &mut self.on_error];
        for (statements, outcomes) in sections.into_iter().zip(&run.outcomes) {
            for (statement, outcome) in statements.iter_mut().zip(outcomes) {
                statement.outcome = Some(outcome.name());
            }
        }
        self
    }
}

fn statement(described: &Described) -> EffectiveStatement {
    let origin = &described.origin;
    EffectiveStatement {
        scope: origin.scope.name().to_owned(),
        file: origin.file.to_string(),
        pointer: origin.pointer.clone(),
        path: origin.path.clone(),
        id: origin.id.clone(),
        statement: (*described.statement).clone(),
        outcome: None,
    }
}
