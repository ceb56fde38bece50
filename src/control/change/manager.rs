//! The owner of the active configuration: every replacement of it runs here, one at a time. A configuration with errors,
//! or one that fails its tests, is reported, and the active one stays.

use super::baseline::{Baseline, counters};
use super::entry::{Author, Origin, Outcome};
use super::history::{History, NewEntry};
use super::judge::Verdict;
use super::save;
use super::watched::{self, ActiveWatch};
use crate::config::{Request, Snapshot, render::Style};
use crate::control::active::ActiveConfig;
use crate::control::candidate::Candidate;
use crate::control::config_store::StoredConfig;
use crate::control::watch::{ReloadAttempt, Trigger};
use crate::plan::blueprint::Blueprint;
use crate::plan::diff::{Diff, diff};
use crate::stages::custom::StageRegistry;
use crate::telemetry::{Metrics, Reload, RollbackReason};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Activates a checked blueprint under this id; the error is one sentence.
pub type ApplyFn = Box<dyn FnMut(&Blueprint, &str) -> Result<(), String> + Send>;

/// What the manager is made of.
pub struct ManagerParts {
    /// The location of the configuration.
    pub request: Request,
    /// The stored document.
    pub store: Arc<StoredConfig>,
    pub stages: StageRegistry,
    pub style: Style,
    /// The candidate that is active.
    pub current: Arc<Candidate>,
    pub active: Arc<ActiveConfig>,
    pub apply: ApplyFn,
    pub metrics: Arc<Metrics>,
    pub history: History,
    pub baseline: Arc<Baseline>,
}

/// The owner of the active configuration.
pub struct ConfigManager {
    state: Mutex<ManagerState>,
    /// Notified when a watch ends.
    pub(super) ended: Condvar,
}

/// What a replacement of the configuration reads and changes.
pub(super) struct ManagerState {
    pub request: Request,
    store: Arc<StoredConfig>,
    stages: StageRegistry,
    pub style: Style,
    pub apply: ApplyFn,
    active: Arc<ActiveConfig>,
    pub metrics: Arc<Metrics>,
    pub history: History,
    baseline: Arc<Baseline>,
    /// The files as they were read last, whether they were applied or not.
    pub files: ConfigTexts,
    /// The active configuration.
    pub current: ConfigTexts,
    /// Whether it comes from a store, which this process does not write.
    is_stored: bool,
    /// Whether the active candidate came from the files, or was saved to them.
    pub is_current_saved: bool,
    /// `ReloadOnChange` of the active plan.
    store_watch: bool,
    pub watch: Option<ActiveWatch>,
}

/// The id and the texts of a configuration: its tree and its blueprint take much more memory.
#[derive(Clone, Debug)]
pub(super) struct ConfigTexts {
    pub id: String,
    pub snapshot: Arc<Snapshot>,
}

impl ConfigTexts {
    /// Of a candidate.
    pub fn of(candidate: &Candidate) -> ConfigTexts {
        ConfigTexts { id: candidate.id.clone(), snapshot: Arc::new(Snapshot::of(&candidate.loaded)) }
    }
}

/// A replacement of the configuration.
pub(super) struct Replacement {
    pub candidate: Arc<Candidate>,
    pub origin: Origin,
    pub author: Author,
    /// The window of the watch.
    pub watch: Option<Duration>,
    /// Whether the configuration is saved to its file.
    pub saves: bool,
}

impl fmt::Debug for ConfigManager {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ConfigManager").finish_non_exhaustive()
    }
}

impl ConfigManager {
    /// The manager after startup: the candidate is active.
    pub fn new(parts: ManagerParts) -> Arc<ConfigManager> {
        let ManagerParts {
            request,
            store,
            stages,
            style,
            current,
            active,
            apply,
            metrics,
            history,
            baseline,
        } = parts;
        let (store_watch, is_stored) = (follows_files(&current), is_stored(&current));
        let files = ConfigTexts::of(&current);
        active.set(current);
        let mut state = ManagerState {
            request,
            store,
            stages,
            style,
            apply,
            active,
            metrics,
            history,
            baseline,
            current: files.clone(),
            files,
            is_stored,
            is_current_saved: true,
            store_watch,
            watch: None,
        };
        state.record_start();
        Arc::new(ConfigManager { state: Mutex::new(state), ended: Condvar::new() })
    }

    /// The state; blocks while a replacement runs.
    pub(super) fn state(&self) -> MutexGuard<'_, ManagerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again and applies them if they changed; called by the file watch.
    pub fn reload(&self, trigger: Trigger) -> ReloadAttempt {
        let mut state = self.state();
        state.request.stored = state.store.get();
        let candidate = Arc::new(Candidate::read(&state.request, &state.stages));
        let before = std::mem::replace(&mut state.files, ConfigTexts::of(&candidate));
        let is_repeated = before.id == candidate.id;
        let outcome = if candidate.id == state.current.id || (is_repeated && trigger != Trigger::Signal) {
            Reload::Unchanged
        } else {
            state.reload(candidate.clone(), trigger)
        };
        state.publish_unsaved();
        state.active.record(outcome);
        let watch = if state.store_watch { candidate.watched_paths.clone() } else { Vec::new() };
        drop(state);
        self.ended.notify_all();
        ReloadAttempt { outcome, watch }
    }

    /// Applies the active configuration again: the registrations of role instances change its listeners.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn apply_again(&self) -> Result<(), String> {
        let mut state = self.state();
        let candidate = state.active.candidate();
        let Some(blueprint) = candidate.as_ref().and_then(|candidate| candidate.blueprint.as_ref()) else {
            return Ok(());
        };
        let id = state.current.id.clone();
        (state.apply)(blueprint, &id)
    }

    /// The process stops: a watch is interrupted.
    pub fn stop(&self) {
        self.state().end_watch(Outcome::Interrupted, "the gateway stopped during the watch");
        self.ended.notify_all();
    }
}

impl ManagerState {
    /// The id of the active configuration.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// What reads a configuration in the place of the files, and the texts of these.
    pub fn candidate_source(&self) -> (Request, StageRegistry, Arc<Snapshot>) {
        (self.request.clone(), self.stages.clone(), self.files.snapshot.clone())
    }

    /// Lets the file watch read the files again, so that it follows `ReloadOnChange` of the active configuration.
    pub fn refresh_file_watch(&self) {
        self.store.changed.notify_one();
    }

    /// Whether the configuration comes from a store, which this process does not write.
    pub fn has_store(&self) -> bool {
        self.request.stored.is_some() || self.is_stored
    }

    fn record_start(&mut self) {
        let last = self.history.entries().last().cloned();
        if last.as_ref().is_some_and(|last| last.id == self.current.id) {
            return;
        }
        let applied = [Outcome::Applied, Outcome::Kept, Outcome::NotJudged, Outcome::Interrupted];
        if let Some(last) = last.filter(|last| !last.saved && applied.contains(&last.outcome)) {
            log::warn!(
                "configuration {} of the history was not saved; starting with the configuration files instead",
                last.number
            );
        }
        self.record(Origin::Start, Author::default(), Vec::new(), Outcome::Applied, String::new());
    }

    /// Adds the active configuration to the history.
    fn record(
        &mut self,
        origin: Origin,
        author: Author,
        changes: Vec<String>,
        outcome: Outcome,
        reason: String,
    ) -> u64 {
        let (id, saved) = (self.current.id.clone(), self.current.id == self.files.id);
        let new = NewEntry { id, origin, author, changes, outcome, reason, saved };
        self.history.add(new, Some(self.current.snapshot.clone()))
    }

    /// Activates a valid candidate and records it; its number in the history. A watch that is active ends.
    pub fn replace(&mut self, replacement: Replacement) -> Result<(u64, Diff), String> {
        let Replacement { candidate, origin, author, watch, saves } = replacement;
        let Some(blueprint) = &candidate.blueprint else {
            return Err("the configuration has errors".to_owned());
        };
        let diff = self.diff(&candidate);
        (self.apply)(blueprint, &candidate.id)?;
        let at = counters(&self.metrics);
        let ended = self.end_watch(Outcome::Superseded, "another change was applied");
        if let Some(ended) = ended.filter(|_| origin == Origin::Rollback) {
            self.baseline.exclude(Instant::now(), ended.judge.changed_counters());
        }
        let previous = if watch.is_some() { self.active.candidate() } else { None };
        let is_read = matches!(origin, Origin::Files | Origin::Signal | Origin::Store);
        let texts = if is_read { self.files.clone() } else { ConfigTexts::of(&candidate) };
        self.activate(candidate.clone(), texts);
        self.is_current_saved = is_read || candidate.id == self.files.id;
        let outcome = if watch.is_some() { Outcome::Watching } else { Outcome::Applied };
        let number = self.record(origin, author, diff.lines(), outcome, String::new());
        if let (Some(window), Some(previous)) = (watch, previous) {
            let recent = self.baseline.recent(&at);
            let judge = watched::judge(Instant::now(), window, blueprint, &diff, &recent, &at);
            self.watch = Some(ActiveWatch { number, judge, previous, saves });
            self.metrics.config().set_watching(true);
        }
        Ok((number, diff))
    }

    /// Makes an activated candidate the current one.
    pub fn activate(&mut self, candidate: Arc<Candidate>, texts: ConfigTexts) {
        (self.store_watch, self.is_stored) = (follows_files(&candidate), is_stored(&candidate));
        self.current = texts;
        self.active.set(candidate);
        self.publish_unsaved();
    }

    fn publish_unsaved(&self) {
        self.metrics.config().set_unsaved(self.current.id != self.files.id);
    }

    /// What changes for traffic with a candidate.
    pub fn diff(&self, candidate: &Candidate) -> Diff {
        let current = self.active.candidate();
        let current = current.as_ref().and_then(|current| current.configuration());
        match (current, candidate.configuration()) {
            (Some(before), Some(after)) => diff(&before, &after),
            _ => Diff::default(),
        }
    }

    /// Writes the active configuration to its file.
    pub fn save(&mut self) -> Result<PathBuf, save::SaveError> {
        let path = save::save(&self.files.snapshot, &self.current.snapshot)?;
        self.files = self.current.clone();
        self.is_current_saved = true;
        self.publish_unsaved();
        Ok(path)
    }

    /// Whether a candidate could be saved now.
    pub fn check_savable(&self, candidate: &Candidate) -> Result<(), save::SaveError> {
        save::check(&self.files.snapshot, &Snapshot::of(&candidate.loaded)).map(drop)
    }

    /// Ends the watch with this outcome.
    pub fn end_watch(&mut self, outcome: Outcome, reason: &str) -> Option<ActiveWatch> {
        let watch = self.watch.take()?;
        self.metrics.config().set_watching(false);
        self.history
            .update(watch.number, |entry| (entry.outcome, entry.reason) = (outcome, reason.to_owned()));
        Some(watch)
    }

    /// Judges the change that is being watched; whether the watch goes on.
    pub fn observe(&mut self, number: u64, now: Instant) -> bool {
        let counters = counters(&self.metrics);
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.number == number) else { return false };
        match watch.judge.observe(now, |route| counters.get(route).copied()) {
            Verdict::Watching => return true,
            Verdict::RollBack(finding) => {
                self.roll_back(finding.reason(), &finding.to_string());
            }
            Verdict::Kept { requests } => {
                self.keep(Outcome::Kept, &format!("{requests} requests of the changed routes"));
            }
            Verdict::NotJudged { requests } => {
                let reason = format!("not judged: {requests} requests of the changed routes are too few");
                self.keep(Outcome::NotJudged, &reason);
            }
        }
        false
    }

    fn keep(&mut self, outcome: Outcome, reason: &str) {
        let Some(watch) = self.end_watch(outcome, reason) else { return };
        log::info!("configuration {} is kept: {reason}", watch.number);
        if watch.saves {
            self.save_recorded(watch.number);
        }
    }

    /// Saves the active configuration and records the result.
    pub fn save_recorded(&mut self, number: u64) -> Option<save::SaveError> {
        match self.save() {
            Ok(path) => {
                log::info!("configuration {number} is saved to {}", path.display());
                self.history.update(number, |entry| entry.saved = true);
                None
            }
            Err(error) => {
                log::warn!("configuration {number} is not saved: {error}");
                self.history
                    .update(number, |entry| entry.reason = format!("{}; not saved: {error}", entry.reason));
                Some(error)
            }
        }
    }

    fn roll_back(&mut self, reason: RollbackReason, finding: &str) {
        let Some(previous) = self.watch.as_ref().map(|watch| watch.previous.clone()) else { return };
        let changes = self.diff(&previous).lines();
        let blueprint = previous.blueprint.as_ref();
        let applied = blueprint.map_or(Ok(()), |blueprint| (self.apply)(blueprint, &previous.id));
        if let Err(error) = applied {
            log::error!("the configuration cannot be rolled back: {error}");
            self.end_watch(Outcome::Kept, &format!("{finding}; it cannot be rolled back: {error}"));
            return;
        }
        let Some(watch) = self.end_watch(Outcome::RolledBack, finding) else { return };
        log::error!("configuration {} is rolled back: {finding}", watch.number);
        self.baseline.exclude(Instant::now(), watch.judge.changed_counters());
        self.metrics.config().record_rollback(reason);
        self.is_current_saved = previous.id == self.files.id;
        let texts = ConfigTexts::of(&previous);
        self.activate(previous, texts);
        self.record(Origin::Watch, Author::default(), changes, Outcome::Applied, finding.to_owned());
    }
}

/// `ReloadOnChange`.
fn follows_files(candidate: &Candidate) -> bool {
    candidate.blueprint.as_ref().is_none_or(|blueprint| blueprint.reload_on_change)
}

fn is_stored(candidate: &Candidate) -> bool {
    candidate.blueprint.as_ref().is_some_and(|blueprint| blueprint.store.is_some())
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
