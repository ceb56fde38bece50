//! Changes that the administration API requests.

use super::entry::{Author, Entry, Origin};
use super::manager::{ConfigManager, ManagerState, Replacement};
use super::observer;
use super::save::SaveError;
use crate::control::candidate::Candidate;
use crate::control::dry_run::failed_tests;
use crate::plan::diff::Diff;
use crate::plan::route_tests::TestResult;
use crate::telemetry::{Reload, RollbackReason};
use std::sync::Arc;
use std::time::Duration;

/// How a change is applied.
#[derive(Clone, Debug, Default)]
pub struct ChangeOptions {
    /// The window in which it is watched.
    pub watch: Option<Duration>,
    /// Whether it is written to the configuration file.
    pub save: bool,
    pub author: Author,
}

/// A change that was applied.
#[derive(Clone, Debug)]
pub struct AppliedChange {
    /// Its number in the history.
    pub number: u64,
    /// The id of the configuration.
    pub id: String,
    pub diff: Diff,
    /// Why it was not saved although that was requested.
    pub save_error: Option<String>,
}

/// Why a change is not applied.
#[derive(Debug)]
pub enum ChangeError {
    /// The active configuration is another one; its id.
    Stale(String),
    /// The configuration has errors.
    Invalid(Box<Candidate>),
    /// The configuration fails its tests.
    TestsFailed(Vec<TestResult>),
    /// A change is being watched; its number.
    Watching(u64),
    /// The configuration comes from a store.
    Stored,
    /// The history has no such entry, or not the texts of its configuration.
    NotFound(String),
    /// The file cannot be written, or must not.
    NotSaved(SaveError),
    /// The configuration cannot be activated.
    Failed(String),
}

impl ConfigManager {
    /// Reads and checks a document in the place of the configuration file, without applying it.
    pub fn check(&self, text: String) -> Candidate {
        let (mut request, stages, files) = self.state().candidate_source();
        request.snapshot = Some(Arc::new(files.with_document(text)));
        Candidate::read(&request, &stages)
    }

    /// Applies a document, if `is_expected` of the id of the active configuration.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn put(
        self: &Arc<Self>,
        text: String,
        options: &ChangeOptions,
        is_expected: &dyn Fn(&str) -> bool,
    ) -> Result<AppliedChange, ChangeError> {
        // A request that is stale already costs no check.
        check_is_current(&self.state(), is_expected)?;
        let candidate = self.check(text);
        self.apply(candidate, Origin::Api, options, is_expected, true)
    }

    /// Returns to the configuration of an entry of the history; ends a watch.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn roll_back(
        self: &Arc<Self>,
        number: u64,
        options: &ChangeOptions,
    ) -> Result<AppliedChange, ChangeError> {
        let (candidate, metrics) = {
            let state = self.state();
            let missing = || ChangeError::NotFound(format!("the history has no entry {number}"));
            let id = state.history.get(number).ok_or_else(missing)?.id.clone();
            let snapshot = state.history.snapshot(&id).map_err(ChangeError::NotFound)?;
            let (mut request, stages, _) = state.candidate_source();
            let metrics = state.metrics.clone();
            drop(state);
            request.snapshot = Some(snapshot);
            (Candidate::read(&request, &stages), metrics)
        };
        let applied = self.apply(candidate, Origin::Rollback, options, &|_| true, false)?;
        metrics.config().record_rollback(RollbackReason::Request);
        Ok(applied)
    }

    /// The history, the oldest entry first, and whether it survives a restart.
    pub fn history(&self) -> (Vec<Entry>, bool) {
        let state = self.state();
        (state.history.entries().to_vec(), state.history.is_durable())
    }

    /// What changes for traffic with a valid candidate.
    pub fn diff(&self, candidate: &Candidate) -> Diff {
        self.state().diff(candidate)
    }

    fn apply(
        self: &Arc<Self>,
        candidate: Candidate,
        origin: Origin,
        options: &ChangeOptions,
        is_expected: &dyn Fn(&str) -> bool,
        respects_watch: bool,
    ) -> Result<AppliedChange, ChangeError> {
        if candidate.blueprint.is_none() {
            return Err(ChangeError::Invalid(Box::new(candidate)));
        }
        let metrics = self.state().metrics.clone();
        if let Some(failed) = failed_tests(&candidate) {
            metrics.config().record_failed_tests();
            return Err(ChangeError::TestsFailed(failed));
        }
        let mut state = self.state();
        check_preconditions(&state, &candidate, options, is_expected)?;
        if let Some(watch) = state.watch.as_ref().filter(|_| respects_watch) {
            return Err(ChangeError::Watching(watch.number));
        }
        let id = candidate.id.clone();
        let ChangeOptions { watch, save, author } = options.clone();
        let replacement = Replacement { candidate: Arc::new(candidate), origin, author, watch, saves: save };
        let (number, diff) = state.replace(replacement).map_err(ChangeError::Failed)?;
        metrics.reload(Reload::Applied);
        state.refresh_file_watch();
        log::info!("configuration {number} is applied over the administration API");
        let save_error = if save && watch.is_none() { state.save_recorded(number) } else { None };
        drop(state);
        self.ended.notify_all();
        if watch.is_some() {
            observer::observe(self, number).map_err(|error| ChangeError::Failed(error.to_string()))?;
        }
        Ok(AppliedChange { number, id, diff, save_error: save_error.map(|error| error.to_string()) })
    }
}

/// Whether the request is about the active configuration.
fn check_is_current(state: &ManagerState, is_expected: &dyn Fn(&str) -> bool) -> Result<(), ChangeError> {
    match is_expected(state.current_id()) {
        true => Ok(()),
        false => Err(ChangeError::Stale(state.current_id().to_owned())),
    }
}

fn check_preconditions(
    state: &ManagerState,
    candidate: &Candidate,
    options: &ChangeOptions,
    is_expected: &dyn Fn(&str) -> bool,
) -> Result<(), ChangeError> {
    check_is_current(state, is_expected)?;
    if state.has_store() {
        return Err(ChangeError::Stored);
    }
    if options.save {
        state.check_savable(candidate).map_err(ChangeError::NotSaved)?;
    }
    Ok(())
}
