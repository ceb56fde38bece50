//! Explains a decision of the traffic rules: `margay explain role`, and the directory.

use super::{
    blueprint::RolesBlueprint,
    matrix::{Because, Decision},
    plan::UNKNOWN_SOURCE,
};
use serde::Serialize;

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleExplanation {
    /// The role, or `(unknown)`.
    pub from: String,
    /// `Role.Endpoint`.
    pub to: String,
    pub allowed: bool,
    /// `unknown`, `no-rules`, `rule`, `same-role`, `not-named` or `default`.
    pub because: &'static str,
    /// The place of the rule, if one decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// `Enforce`, or `Audit`: what is not allowed is let through.
    pub mode: &'static str,
}

/// What an explanation does not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownName {
    Role,
    Endpoint,
}

/// Explains whether a role reaches an internal endpoint; `from` `None`: a source that is no instance.
///
/// # Errors
///
/// If the role, or the internal endpoint, does not exist.
pub fn explain(roles: &RolesBlueprint, from: Option<&str>, to: &str) -> Result<RoleExplanation, UnknownName> {
    let matrix = &roles.matrix;
    let source = match from.filter(|from| *from != UNKNOWN_SOURCE) {
        Some(role) => Some(matrix.source(role).ok_or(UnknownName::Role)?),
        None => None,
    };
    let destination = matrix.destination(to).ok_or(UnknownName::Endpoint)?;
    let Decision { allowed, because } = matrix.decide(source, destination);
    Ok(RoleExplanation {
        from: source.map_or(UNKNOWN_SOURCE, |source| &*matrix.sources[source]).to_owned(),
        to: to.to_owned(),
        allowed,
        because: because.name(),
        rule: source.filter(|_| because == Because::Rule).and_then(|at| matrix.rule_place(at, destination)),
        mode: if matrix.audits() { "Audit" } else { "Enforce" },
    })
}
