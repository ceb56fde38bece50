//! Notices that the configuration may have changed: files (any way they are replaced) and SIGHUP, on a thread of its
//! own. What a change means is not decided here: the reloader is called, one call at a time.

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

/// A change counts when it has been quiet for so long, but waits no longer than the second.
const DEBOUNCE: Duration = Duration::from_millis(100);
const MAX_DEBOUNCE: Duration = Duration::from_secs(1);

/// Files are also looked at this often, for file systems and directories that send no events.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// What asks for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Files,
    /// What the store holds.
    Store,
    Signal,
}

/// What a reload came to, and what to watch from now on: files and directories, empty for none.
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

/// Starts watching. `SIGHUP` is taken over at once, so it never ends the process.
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
    let mut eyes = FileWatcher::new();
    eyes.watch_paths(watch);
    let ears = Triggers { sighup: hangup, store, stop };
    let run = move || run(&runtime, eyes, ears, &metrics, reloader);
    std::thread::Builder::new().name("reload".into()).spawn(run)?;
    Ok(watching)
}

fn run(
    runtime: &Runtime,
    mut eyes: FileWatcher,
    mut ears: Triggers,
    metrics: &Metrics,
    mut reload: Reloader,
) {
    while let Some(trigger) = runtime.block_on(ears.next(&eyes)) {
        let before = FileFingerprint::for_paths(&eyes.paths);
        let attempt = reload(trigger);
        metrics.reload(attempt.outcome);
        let same = attempt.watch == eyes.paths;
        eyes.watch_paths(attempt.watch);
        if !same || eyes.fingerprint != before {
            // Something changed between reading and watching, or may have.
            eyes.changed.notify_one();
        }
    }
}

/// What the watch listens to beside the files.
struct Triggers {
    sighup: Signal,
    store: Arc<StoredConfig>,
    stop: Arc<Notify>,
}

impl Triggers {
    /// Waits for the next trigger; none when it is over.
    async fn next(&mut self, eyes: &FileWatcher) -> Option<Trigger> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.notified() => return None,
                _ = self.sighup.recv() => return Some(Trigger::Signal),
                () = self.store.changed.notified() => return Some(Trigger::Store),
                () = wait_debounced(&eyes.changed) => return Some(Trigger::Files),
                () = sleep(POLL_INTERVAL) => if eyes.poll_changed() { return Some(Trigger::Files) },
            }
        }
    }
}

/// Waits for a change and then until changes stop.
async fn wait_debounced(changed: &Notify) {
    changed.notified().await;
    let since = Instant::now();
    while since.elapsed() < MAX_DEBOUNCE && timeout(DEBOUNCE, changed.notified()).await.is_ok() {}
}

/// What is watched, and how.
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
        let (tell, of) = (changed.clone(), places.clone());
        let on_event = move |event: notify::Result<notify::Event>| {
            let matters =
                event.map_or(true, |e| is_relevant(&e, &of.lock().unwrap_or_else(PoisonError::into_inner)));
            if matters {
                tell.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher
            .inspect_err(|e| eprintln!("margay: files are only looked at every {POLL_INTERVAL:?}: {e}"))
            .ok();
        FileWatcher {
            changed,
            watcher,
            paths: Vec::new(),
            places,
            fingerprint: FileFingerprint::for_paths(&[]),
        }
    }

    /// From now on these; directories are watched anew each time, because one may have been replaced.
    fn watch_paths(&mut self, paths: Vec<PathBuf>) {
        let new = watch_paths::for_paths(&paths);
        let old =
            std::mem::replace(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner), new.clone());
        if let Some(watcher) = &mut self.watcher {
            for gone in directories(&old).difference(&directories(&new)) {
                let _ = watcher.unwatch(gone);
            }
            for directory in directories(&new) {
                // A directory that does not exist (yet) is found by looking again.
                let _ = watcher.watch(directory, RecursiveMode::NonRecursive);
            }
        }
        self.fingerprint = FileFingerprint::for_paths(&paths);
        self.paths = paths;
    }

    /// Whether something changed that no event told of.
    fn poll_changed(&self) -> bool {
        self.fingerprint != FileFingerprint::for_paths(&self.paths)
    }
}

fn directories(places: &BTreeSet<WatchPath>) -> BTreeSet<&Path> {
    places.iter().map(|p| p.directory.as_path()).collect()
}

/// Reading a file is an event too, and a directory holds files that are not ours.
fn is_relevant(event: &notify::Event, places: &BTreeSet<WatchPath>) -> bool {
    use event::{AccessKind, AccessMode};
    let read = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    let ours = |path: &PathBuf| {
        let (directory, name) = (path.parent(), path.file_name().map(Path::new));
        let here = |p: &WatchPath| {
            Some(p.directory.as_path()) == directory && (p.name.is_none() || p.name.as_deref() == name)
        };
        places.iter().any(|p| here(p) || p.directory == *path)
    };
    !read && (event.paths.is_empty() || event.paths.iter().any(ours))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
