//! `margay check`: reports all errors and warnings of the configuration at once.

use super::args::{Check, Deny};
use super::{Exit, output, settings};
use crate::config::{Severity, render};
use crate::control::candidate::Candidate;
use crate::stages::custom::StageRegistry;
use serde_json::json;

/// Reads, checks and reports; nothing is started, and no name is resolved.
pub(super) fn run(check: &Check, stages: &StageRegistry) -> Exit {
    let mut configuration = check.configuration.clone();
    configuration.config.extend(check.files.iter().cloned());
    let candidate = Candidate::read(&settings::request(&configuration), stages);
    let warned = candidate.loaded.diagnostics.list.iter().any(|d| d.severity == Severity::Warning);
    let refused = candidate.blueprint.is_none() || (warned && check.deny == Some(Deny::Warnings));
    if check.json {
        output::write_stdout(&format!("{:#}\n", as_json(&candidate, !refused)));
    } else {
        output::write_stderr(&candidate.report(settings::color_style()));
        output::write_stderr(&exit_code(&candidate));
    }
    if refused { Exit::Invalid } else { Exit::Done }
}

fn as_json(candidate: &Candidate, valid: bool) -> serde_json::Value {
    json!({
        "valid": valid,
        "routes": candidate.blueprint.as_ref().map(|b| b.routes.len()),
        "diagnostics": render::json(&candidate.loaded.diagnostics, &candidate.loaded.sources),
    })
}

fn exit_code(candidate: &Candidate) -> String {
    let files: Vec<_> = candidate.loaded.sources.iter().map(|(_, source)| source.name.as_str()).collect();
    match &candidate.blueprint {
        Some(blueprint) => {
            let (n, s) = (blueprint.routes.len(), if blueprint.routes.len() == 1 { "" } else { "s" });
            format!("{}: valid, {n} route{s}\n", files.join(", "))
        }
        None => String::new(),
    }
}
