//! `margay run`: checks the configuration, then serves.

use super::args::Run;
use super::{Exit, output, run_settings, settings, test};
use crate::control::candidate::Candidate;
use crate::control::config_store;
use crate::control::dry_run::failed_tests;
use crate::control::entities;
use crate::control::process::{Settings, serve};
use crate::stages::custom::StageRegistry;
use std::sync::Arc;

/// Serves until a signal ends the process.
pub(super) fn run(run: &Run, stages: &StageRegistry) -> Exit {
    let addresses = match run_settings::addresses(run, |name| std::env::var(name).ok()) {
        Ok(addresses) => addresses,
        Err(wrong) => return Exit::usage(&wrong),
    };
    let (mut request, style) = (settings::request(&run.configuration), settings::color_style());
    let candidate = Candidate::read(&request, stages);
    output::write_stderr(&candidate.report(style));
    let candidate = config_store::load_initial(&mut request, candidate, stages, style);
    let (candidate, entities) = match entities::load_initial(&mut request, candidate, stages, style) {
        Ok((candidate, entities)) => (Arc::new(candidate), entities),
        Err(why) => return Exit::failed(&why),
    };
    let Some(blueprint) = &candidate.blueprint else { return Exit::Invalid };
    if let Some(failed) = failed_tests(&candidate) {
        output::write_stderr(&test::text(&failed));
        output::write_stderr("margay: the configuration fails its tests, and TestsBeforeApply is set\n");
        return Exit::Invalid;
    }
    output::write_stderr(
        &candidate.variables_line().map_or_else(String::new, |line| format!("margay: {line}")),
    );
    let settings = Settings {
        listen: addresses.listen,
        admin: addresses.admin,
        threads: run_settings::threads(run),
        stages: stages.clone(),
        style,
        entities,
    };
    match serve(request, candidate.clone(), blueprint, settings) {
        Ok(()) => Exit::Done,
        Err(why) => Exit::failed(&why),
    }
}
