//! `margay diff`: what changes for traffic between two configurations.

use super::args::Diff;
use super::configuration::{Compat, Configuration};
use super::{Exit, output, settings};
use crate::control::candidate::Candidate;
use crate::plan::diff;
use crate::stages::custom::StageRegistry;
use std::path::Path;

/// Reads both configurations, and prints the changes. The exit code is that of `diff`.
pub(super) fn run(arguments: &Diff, stages: &StageRegistry) -> Exit {
    let read = |path: &Path| read(path, arguments, stages);
    let (old, new) = (read(&arguments.old), read(&arguments.new));
    let configuration = |candidate: &'_ Candidate| candidate.blueprint.is_some();
    if !configuration(&old) || !configuration(&new) {
        for candidate in [&old, &new] {
            output::write_stderr(&candidate.report(settings::color_style()));
        }
        return Exit::Invalid;
    }
    let (Some(before), Some(after)) = (old.configuration(), new.configuration()) else {
        return Exit::Invalid;
    };
    let changes = diff::diff(&before, &after);
    match serde_json::to_string_pretty(&changes) {
        Ok(json) if arguments.json => output::write_stdout(&format!("{json}\n")),
        _ => output::write_stdout(&changes.text()),
    }
    if changes.is_empty() { Exit::Done } else { Exit::Failed }
}

fn read(path: &Path, arguments: &Diff, stages: &StageRegistry) -> Candidate {
    let configuration = Configuration {
        config: vec![path.to_owned()],
        policies: arguments.policies.clone(),
        compat: arguments.compat.map(|Compat::Ocelot| Compat::Ocelot),
    };
    Candidate::read(&settings::request(&configuration), stages)
}
