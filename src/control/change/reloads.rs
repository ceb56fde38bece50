//! Changes of the configuration files and of the configuration store.

use super::entry::{Author, Origin, Outcome};
use super::history::NewEntry;
use super::manager::{ManagerState, Replacement};
use crate::config::Severity;
use crate::control::candidate::Candidate;
use crate::control::dry_run::failed_tests;
use crate::control::watch::Trigger;
use crate::plan::route_tests::TestResult;
use crate::telemetry::Reload;
use std::sync::Arc;

impl ManagerState {
    /// Checks a candidate of the files or the store, and applies it.
    pub fn reload(&mut self, candidate: Arc<Candidate>, trigger: Trigger) -> Reload {
        eprint!("{}", candidate.report(self.style));
        let origin = match trigger {
            Trigger::Store if self.has_store() => Origin::Store,
            Trigger::Files | Trigger::Store => Origin::Files,
            Trigger::Signal => Origin::Signal,
        };
        let author = Author { who: String::new(), from: main_file(&candidate) };
        if candidate.blueprint.is_none() {
            eprintln!("margay: the new configuration has errors; keeping the current one");
            return self.reject(&candidate, origin, author, first_error(&candidate));
        }
        if let Some(failed) = failed_tests(&candidate) {
            self.metrics.config().record_failed_tests();
            eprint!("{}", failed.iter().map(TestResult::text).collect::<String>());
            eprintln!("margay: the new configuration fails its tests; keeping the current one");
            let names: Vec<_> = failed.iter().map(|test| test.name.as_str()).collect();
            return self.reject(&candidate, origin, author, format!("failed tests: {}", names.join(", ")));
        }
        self.replace_by_files(candidate, origin, author)
    }

    fn replace_by_files(&mut self, candidate: Arc<Candidate>, origin: Origin, author: Author) -> Reload {
        if !self.is_current_saved {
            log::warn!("the active configuration was not saved; the configuration files replace it");
        }
        let replacement = Replacement {
            candidate: candidate.clone(),
            origin,
            author: author.clone(),
            watch: None,
            saves: false,
        };
        match self.replace(replacement) {
            Ok(_) => {
                let routes = candidate.blueprint.as_ref().map_or(0, |b| b.routes.len());
                eprintln!("margay: new configuration applied, {routes} routes");
                Reload::Applied
            }
            Err(error) => {
                eprintln!("margay: {error}; keeping the current configuration");
                self.reject(&candidate, origin, author, error)
            }
        }
    }

    fn reject(&mut self, candidate: &Candidate, origin: Origin, author: Author, reason: String) -> Reload {
        let (id, outcome, changes) = (candidate.id.clone(), Outcome::Rejected, Vec::new());
        self.history.add(NewEntry { id, origin, author, changes, outcome, reason, saved: true }, None);
        Reload::Rejected
    }
}

fn main_file(candidate: &Candidate) -> String {
    candidate.loaded.sources.iter().next().map_or(String::new(), |(_, source)| source.name.clone())
}

/// The first error of a candidate, with its location.
fn first_error(candidate: &Candidate) -> String {
    let diagnostics = candidate.loaded.diagnostics.sorted();
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    let Some(first) = errors.first() else { return String::new() };
    let location = first.span.map(|span| candidate.loaded.sources.location(span) + ": ").unwrap_or_default();
    let more =
        if errors.len() > 1 { format!(" and {} more errors", errors.len() - 1) } else { String::new() };
    format!("{location}{}{more}", first.message)
}
