//! Watches for configuration changes: files (however they are replaced), the configuration store and SIGHUP, on a
//! separate thread. The effect of a change is not decided here: the reloader is called, one call at a time.

use super::config_store::StoredConfig;
use super::watch_paths::{self, FileFingerprint, WatchPath};
use crate::telemetry::{Metrics, Reload};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// Changes are debounced by this interval, up to the maximum below.
const DEBOUNCE: Duration = Duration::from_millis(100);
const MAX_DEBOUNCE: Duration = Duration::from_secs(1);

/// Files are also polled at this interval, for file systems and directories without events.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The trigger of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Files,
    /// The document of the store changed.
    Store,
    Signal,
}

/// The outcome of a reload, and the files and directories to watch from now on; empty for none.
#[derive(Clone, Debug)]
pub struct ReloadAttempt {
    pub outcome: Reload,
    pub watch: Vec<PathBuf>,
}

/// Loads, checks and swaps; called on the watcher's thread outside of any runtime, so it may block.
pub type Reloader = Box<dyn FnMut(Trigger) -> ReloadAttempt + Send>;

/// Ends the watch when dropped.
#[derive(Debug)]
pub struct WatchGuard(Arc<Notify>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Starts watching. The handler of `SIGHUP` is installed immediately, so that the signal never ends the process.
pub fn spawn(
    watch: Vec<PathBuf>,
    store: Arc<StoredConfig>,
    metrics: Arc<Metrics>,
    reloader: Reloader,
) -> io::Result<WatchGuard> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hangup = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let stop = Arc::new(Notify::new());
    let watching = WatchGuard(stop.clone());
    let mut watcher = FileWatcher::new();
    watcher.watch_paths(watch);
    let triggers = Triggers { sighup: hangup, store, stop };
    let run = move || run(&runtime, watcher, triggers, &metrics, reloader);
    std::thread::Builder::new().name("reload".into()).spawn(run)?;
    Ok(watching)
}

fn run(
    runtime: &Runtime,
    mut watcher: FileWatcher,
    mut triggers: Triggers,
    metrics: &Metrics,
    mut reload: Reloader,
) {
    while let Some(trigger) = runtime.block_on(triggers.next(&watcher)) {
        let before = FileFingerprint::for_paths(&watcher.paths);
        let attempt = reload(trigger);
        metrics.reload(attempt.outcome);
        let same = attempt.watch == watcher.paths;
        watcher.watch_paths(attempt.watch);
        if !same || watcher.fingerprint != before {
            // Something may have changed between reading and watching.
            watcher.changed.notify_one();
        }
    }
}

/// The triggers in addition to files.
struct Triggers {
    sighup: Signal,
    store: Arc<StoredConfig>,
    stop: Arc<Notify>,
}

impl Triggers {
    /// Waits for the next trigger; `None` after the watch has ended.
    async fn next(&mut self, watcher: &FileWatcher) -> Option<Trigger> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.notified() => return None,
                _ = self.sighup.recv() => return Some(Trigger::Signal),
                () = self.store.changed.notified() => return Some(Trigger::Store),
                () = wait_debounced(&watcher.changed) => return Some(Trigger::Files),
                () = sleep(POLL_INTERVAL) => if watcher.poll_changed() { return Some(Trigger::Files) },
            }
        }
    }
}

/// Waits for a change, and then until changes stop.
async fn wait_debounced(changed: &Notify) {
    changed.notified().await;
    let since = Instant::now();
    while since.elapsed() < MAX_DEBOUNCE && timeout(DEBOUNCE, changed.notified()).await.is_ok() {}
}

/// The watched paths and the watcher of the operating system.
struct FileWatcher {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    paths: Vec<PathBuf>,
    places: Arc<Mutex<BTreeSet<WatchPath>>>,
    fingerprint: FileFingerprint,
}

impl FileWatcher {
    fn new() -> FileWatcher {
        let (changed, places) = (Arc::new(Notify::new()), Arc::<Mutex<BTreeSet<WatchPath>>>::default());
        let (wake, paths) = (changed.clone(), places.clone());
        let on_event = move |event: notify::Result<notify::Event>| {
            let matters = event
                .map_or(true, |e| is_relevant(&e, &paths.lock().unwrap_or_else(PoisonError::into_inner)));
            if matters {
                wake.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher
            .inspect_err(|e| {
                eprintln!("margay: cannot watch files, polling every {POLL_INTERVAL:?} instead: {e}");
            })
            .ok();
        FileWatcher {
            changed,
            watcher,
            paths: Vec::new(),
            places,
            fingerprint: FileFingerprint::for_paths(&[]),
        }
    }

    /// Replaces the watched paths; directories are watched again each time, because one may have been replaced.
    fn watch_paths(&mut self, paths: Vec<PathBuf>) {
        let new = watch_paths::for_paths(&paths);
        let old =
            std::mem::replace(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner), new.clone());
        if let Some(watcher) = &mut self.watcher {
            for removed in directories(&old).difference(&directories(&new)) {
                let _ = watcher.unwatch(removed);
            }
            for directory in directories(&new) {
                // A directory that does not exist yet is found by polling.
                let _ = watcher.watch(directory, RecursiveMode::NonRecursive);
            }
        }
        self.fingerprint = FileFingerprint::for_paths(&paths);
        self.paths = paths;
    }

    /// Whether something changed without an event.
    fn poll_changed(&self) -> bool {
        self.fingerprint != FileFingerprint::for_paths(&self.paths)
    }
}

fn directories(places: &BTreeSet<WatchPath>) -> BTreeSet<&Path> {
    places.iter().map(|p| p.directory.as_path()).collect()
}

/// Filters events: reading a file is an event too, and a directory contains other files.
fn is_relevant(event: &notify::Event, places: &BTreeSet<WatchPath>) -> bool {
    use event::{AccessKind, AccessMode};
    let read = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    let is_watched = |path: &PathBuf| {
        let (directory, name) = (path.parent(), path.file_name().map(Path::new));
        let matches = |p: &WatchPath| {
            Some(p.directory.as_path()) == directory && (p.name.is_none() || p.name.as_deref() == name)
        };
        places.iter().any(|p| matches(p) || p.directory == *path)
    };
    !read && (event.paths.is_empty() || event.paths.iter().any(is_watched))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
