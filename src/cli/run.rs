//! `margay run`: check, then serve.

use super::args::Run;
use super::{Exit, out, settings};
use crate::control::candidate::Candidate;
use crate::control::process::{Settings, serve};
use crate::control::store;
use crate::stages::custom::Catalogue;

/// Serves until a signal ends it.
pub fn run(run: &Run, stages: &Catalogue) -> Exit {
    let addresses = match settings::addresses(run, |name| std::env::var(name).ok()) {
        Ok(addresses) => addresses,
        Err(wrong) => return Exit::usage(&wrong),
    };
    let (mut request, style) = (settings::request(&run.configuration), settings::style());
    let candidate = Candidate::read(&request, stages);
    out::talk(&candidate.report(style));
    let candidate = store::opened(&mut request, candidate, stages, style);
    let Some(blueprint) = &candidate.blueprint else { return Exit::Invalid };
    let settings = Settings {
        listen: addresses.listen,
        admin: addresses.admin,
        threads: settings::threads(run),
        stages: stages.clone(),
        style,
    };
    match serve(request, &candidate, blueprint, settings) {
        Ok(()) => Exit::Done,
        Err(why) => Exit::failed(&why),
    }
}
