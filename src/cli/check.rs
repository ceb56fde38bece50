//! `margay check`: reports all errors and warnings of the configuration at once.

use super::args::{Check, Deny};
use super::{Exit, output, settings, test};
use crate::config::{Severity, render};
use crate::control::candidate::Candidate;
use crate::control::dry_run::run_tests;
use crate::plan::blueprint::Blueprint;
use crate::plan::route_tests::TestResult;
use crate::stages::custom::StageRegistry;
use serde_json::json;
use std::mem::ManuallyDrop;

/// Reads, checks and reports; nothing is started, and no name is resolved.
pub(super) fn run(check: &Check, stages: &StageRegistry) -> Exit {
    let mut configuration = check.configuration.clone();
    configuration.config.extend(check.files.iter().cloned());
    // The process ends here: freeing the tree of a large configuration would take as long as parsing it.
    let candidate = ManuallyDrop::new(Candidate::read(&settings::request(&configuration), stages));
    let warned = candidate.loaded.diagnostics.list.iter().any(|d| d.severity == Severity::Warning);
    let refused = candidate.blueprint.is_none() || (warned && check.deny == Some(Deny::Warnings));
    let results = match check.tests && candidate.blueprint.is_some() {
        true => run_tests(&candidate),
        false => Ok(Vec::new()),
    };
    let results = match results {
        Ok(results) => results,
        Err(error) => return Exit::failed(&error),
    };
    let refused = refused || !test::passed(&results);
    if check.json {
        output::write_stdout(&format!(
            "{:#}\n",
            as_json(&candidate, !refused, check.tests.then_some(&results))
        ));
    } else {
        output::write_stderr(&candidate.report(settings::color_style()));
        output::write_stderr(&summary(&candidate));
        if check.tests && candidate.blueprint.is_some() {
            output::write_stderr(&test::text(&results));
        }
    }
    if refused { Exit::Invalid } else { Exit::Done }
}

fn as_json(candidate: &Candidate, valid: bool, tests: Option<&Vec<TestResult>>) -> serde_json::Value {
    let mut report = json!({
        "valid": valid,
        "files": files(candidate),
        "environmentVariables": candidate.loaded.sources.variables().collect::<Vec<_>>(),
        "routes": candidate.blueprint.as_ref().map(|b| b.routes.len()),
        "diagnostics": render::json(&candidate.loaded.diagnostics, &candidate.loaded.sources),
    });
    if let Some(tests) = tests {
        report["tests"] = json!(tests);
    }
    report
}

fn summary(candidate: &Candidate) -> String {
    let Some(blueprint) = &candidate.blueprint else { return String::new() };
    let mut text = format!("{}: valid, {}\n", files(candidate).join(", "), contents(blueprint));
    text.extend(candidate.variables_line());
    text
}

/// What the configuration contains: routes, and what else there is.
fn contents(blueprint: &Blueprint) -> String {
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![counted(blueprint.routes.len(), "route")];
    let others = [
        (blueprint.transport_routes.len(), "TCP or UDP route"),
        (blueprint.apis.as_ref().map_or(0, |apis| apis.apis.len()), "API"),
        (blueprint.hubs.services.len(), "hub service"),
    ];
    parts.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| counted(*n, what)));
    parts.join(", ")
}

/// The files of the configuration; not the list of environment variables.
fn files(candidate: &Candidate) -> Vec<&str> {
    candidate.loaded.sources.files().map(|source| source.name.as_str()).collect()
}
