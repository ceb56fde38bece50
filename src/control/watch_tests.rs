use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant as StdInstant;
use tempfile::TempDir;

/// Longer than any machine needs, shorter than the polling interval.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(4);

/// A directory with `gateway.json`, watched; the receiver gets every trigger.
struct Scene {
    folder: TempDir,
    store: Arc<StoredConfig>,
    reloads: Receiver<Trigger>,
    metrics: Arc<Metrics>,
    _watching: WatchGuard,
}

impl Scene {
    fn new(prepare: impl Fn(&Path), watch: &[&str]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let watch: Vec<_> = watch.iter().map(|p| folder.path().join(p)).collect();
        let store = StoredConfig::new(None);
        let (sender, reloads) = channel();
        let metrics = Metrics::new(1);
        let watch_again = watch.clone();
        let reloader = move |trigger| {
            let _ = sender.send(trigger);
            ReloadAttempt { outcome: Reload::Applied, watch: watch_again.clone() }
        };
        let watching = spawn(watch, store.clone(), metrics.clone(), Box::new(reloader)).unwrap();
        Scene { folder, store, reloads, metrics, _watching: watching }
    }

    #[track_caller]
    fn expect_reload(&self) {
        assert!(self.wait(Trigger::Files, RELOAD_TIMEOUT), "no reload");
    }

    #[track_caller]
    fn expect_no_reload(&self) {
        assert!(!self.wait(Trigger::Files, DEBOUNCE * 4), "a reload without a change");
    }

    /// The signal of one test reaches the watchers of all tests: each waits for its own trigger.
    fn wait(&self, for_trigger: Trigger, limit: Duration) -> bool {
        let start = StdInstant::now();
        let remaining = || limit.saturating_sub(start.elapsed());
        std::iter::from_fn(|| self.reloads.recv_timeout(remaining()).ok()).any(|t| t == for_trigger)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_changed_stored_document_is_reported_once() {
    let scene = Scene::new(one_file, &["gateway.json"]);
    let stored = |text: &str| crate::config::RemoteDocument { name: "consul:key".into(), text: text.into() };
    scene.store.put(stored("{}"));
    assert!(scene.wait(Trigger::Store, RELOAD_TIMEOUT));
    scene.store.put(stored("{}"));
    assert!(!scene.wait(Trigger::Store, DEBOUNCE * 4), "the document is unchanged");
}

fn one_file(folder: &Path) {
    fs::write(folder.join("gateway.json"), "{}").unwrap();
}

#[test]
fn a_file_written_in_place_is_one_reload_and_is_counted() {
    let scene = Scene::new(one_file, &["gateway.json"]);
    for _ in 0..5 {
        fs::write(scene.path("gateway.json"), "[]").unwrap();
    }
    scene.expect_reload();
    scene.expect_no_reload();
    assert!(!scene.metrics.render().contains("margay_config_reloads_total{outcome=\"applied\"} 0"));
}

#[test]
fn a_file_renamed_into_place_is_detected_repeatedly() {
    let scene = Scene::new(one_file, &["gateway.json"]);
    for text in ["1", "2", "3"] {
        fs::write(scene.path("gateway.json.tmp"), text).unwrap();
        fs::rename(scene.path("gateway.json.tmp"), scene.path("gateway.json")).unwrap();
        scene.expect_reload();
    }
}

#[test]
fn a_link_swapped_as_in_kubernetes_is_detected_repeatedly() {
    let version = |folder: &Path, name: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("gateway.json"), name).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    let prepare = |folder: &Path| {
        version(folder, "..v1");
        symlink("..data/gateway.json", folder.join("gateway.json")).unwrap();
    };
    let scene = Scene::new(prepare, &["gateway.json"]);
    version(scene.folder.path(), "..v2");
    scene.expect_reload();
    version(scene.folder.path(), "..v3");
    scene.expect_reload();
}

#[test]
fn a_file_added_to_a_watched_directory_is_detected() {
    let scene = Scene::new(|folder| fs::create_dir(folder.join("policies")).unwrap(), &["policies"]);
    fs::write(scene.path("policies/edge.json"), "{}").unwrap();
    scene.expect_reload();
}

#[test]
fn a_directory_created_later_is_detected_and_then_watched() {
    let scene = Scene::new(one_file, &["gateway.json", "policies"]);
    fs::create_dir(scene.path("policies")).unwrap();
    scene.expect_reload();
    fs::write(scene.path("policies/edge.json"), "{}").unwrap();
    scene.expect_reload();
}

#[test]
fn neither_reading_nor_another_file_is_a_change() {
    let scene = Scene::new(one_file, &["gateway.json"]);
    let _ = fs::read(scene.path("gateway.json")).unwrap();
    fs::write(scene.path("other.json"), "{}").unwrap();
    scene.expect_no_reload();
}

#[test]
fn sighup_triggers_a_reload() {
    let scene = Scene::new(one_file, &[]);
    let me = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
    assert!(scene.wait(Trigger::Signal, RELOAD_TIMEOUT));
}

/// Triggers without files, events and SIGHUP; the clock of the test is paused.
fn scripted() -> (FileWatcher, Triggers) {
    let sighup = signal(SignalKind::window_change()).unwrap();
    let triggers = Triggers { sighup, store: StoredConfig::new(None), stop: Arc::default() };
    (FileWatcher { watcher: None, ..FileWatcher::new() }, triggers)
}

/// Reports a change every 50 ms, this many times.
fn change_repeatedly(changed: &Arc<Notify>, times: usize) {
    let changed = changed.clone();
    tokio::spawn(async move {
        for _ in 0..times {
            changed.notify_one();
            sleep(DEBOUNCE / 2).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn changes_in_quick_succession_are_one_trigger() {
    let (files, mut triggers) = scripted();
    change_repeatedly(&files.changed, 5);
    let start = Instant::now();
    assert_eq!(triggers.next(&files).await, Some(Trigger::Files));
    let expected = DEBOUNCE * 3..DEBOUNCE * 4;
    assert!(expected.contains(&start.elapsed()), "the last change, and a pause: {:?}", start.elapsed());
    assert!(timeout(DEBOUNCE * 4, triggers.next(&files)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn continuous_changes_delay_a_reload_by_a_second_at_most() {
    let (files, mut triggers) = scripted();
    change_repeatedly(&files.changed, 1000);
    let start = Instant::now();
    assert_eq!(triggers.next(&files).await, Some(Trigger::Files));
    assert!(start.elapsed() <= MAX_DEBOUNCE + DEBOUNCE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_event_is_found_by_polling() {
    let folder = tempfile::tempdir().unwrap();
    one_file(folder.path());
    let (mut files, mut triggers) = scripted();
    files.watch_paths(vec![folder.path().join("gateway.json")]);
    fs::write(folder.path().join("gateway.json"), "[1]").unwrap();
    let start = Instant::now();
    assert_eq!(triggers.next(&files).await, Some(Trigger::Files));
    assert!(start.elapsed() >= POLL_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_watch_precedes_other_triggers() {
    let (files, mut triggers) = scripted();
    triggers.store.changed.notify_one();
    drop(WatchGuard(triggers.stop.clone()));
    assert_eq!(triggers.next(&files).await, None);
}
