use super::*;
use crate::base::clock::Clock;
use crate::base::data_directory::DataDirectory;
use crate::control::change::requests::{ChangeError, ChangeOptions};
use crate::telemetry::RequestEnd;
use std::sync::Mutex;

struct Scene {
    folder: tempfile::TempDir,
    reloading: Arc<ConfigManager>,
    store: Arc<StoredConfig>,
    metrics: Arc<Metrics>,
    applied: Arc<Mutex<Vec<usize>>>,
}

fn gateway(routes: usize, prefix: &str) -> String {
    let route = |n| {
        format!(
            r#"{{ "UpstreamPathTemplate": "/{n}", "DownstreamPathTemplate": "/", "DownstreamScheme": "http",
            "DownstreamHostAndPorts": [{{ "Host": "localhost", "Port": 1 }}] }},"#
        )
    };
    format!("{{ {prefix} \"Routes\": [{}] }}", (0..routes).map(route).collect::<String>())
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let request = Request { base_dir: folder.path().to_path_buf(), ..Request::default() };
        std::fs::write(folder.path().join("gateway.json"), gateway(1, "")).unwrap();
        let applied = Arc::<Mutex<Vec<usize>>>::default();
        let recorder = applied.clone();
        let apply = move |blueprint: &Blueprint, _: &str| {
            if blueprint.routes.len() == 9 {
                return Err("the port is in use".to_owned());
            }
            recorder.lock().unwrap().push(blueprint.routes.len());
            Ok(())
        };
        let (store, metrics) = (StoredConfig::new(None), Metrics::new(1));
        let directory = DataDirectory::new(folder.path().join("data"));
        let reloading = ConfigManager::new(ManagerParts {
            current: Arc::new(Candidate::read(&request, &StageRegistry::default())),
            request,
            store: store.clone(),
            stages: StageRegistry::default(),
            style: Style::default(),
            active: Arc::default(),
            apply: Box::new(apply),
            metrics: metrics.clone(),
            history: History::load(directory, Clock::default(), metrics.clone()),
            baseline: Arc::default(),
        });
        Scene { folder, reloading, store, metrics, applied }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("gateway.json"), text).unwrap();
    }

    fn files(&self) -> Reload {
        self.reloading.reload(Trigger::Files).outcome
    }
}

#[test]
fn a_changed_file_is_applied_and_an_equal_one_is_unchanged() {
    let scene = Scene::new();
    assert_eq!(scene.files(), Reload::Unchanged);
    scene.write(&gateway(2, ""));
    assert_eq!((scene.files(), scene.files()), (Reload::Applied, Reload::Unchanged));
    assert_eq!(*scene.applied.lock().unwrap(), [2]);
}

#[test]
fn an_invalid_file_is_rejected_once_and_restoring_it_is_unchanged() {
    let scene = Scene::new();
    scene.write("{ \"Routes\": [ ");
    assert_eq!((scene.files(), scene.files()), (Reload::Rejected, Reload::Unchanged));
    assert_eq!(
        scene.reloading.reload(Trigger::Signal).outcome,
        Reload::Rejected,
        "a signal repeats the report"
    );
    scene.write(&gateway(1, ""));
    assert_eq!(scene.files(), Reload::Unchanged, "it is active");
}

#[test]
fn a_configuration_that_cannot_be_activated_is_rejected() {
    let scene = Scene::new();
    scene.write(&gateway(9, ""));
    assert_eq!(scene.files(), Reload::Rejected);
}

#[test]
fn reload_on_change_off_ends_the_watch_and_a_signal_turns_it_on_again() {
    let scene = Scene::new();
    assert!(!scene.reloading.reload(Trigger::Files).watch.is_empty());
    scene.write(&gateway(1, "\"ReloadOnChange\": false,"));
    assert!(scene.reloading.reload(Trigger::Files).watch.is_empty());
    scene.write(&gateway(1, ""));
    assert!(!scene.reloading.reload(Trigger::Signal).watch.is_empty());
}

/// A document of the store.
fn stored(text: &str) -> crate::config::RemoteDocument {
    crate::config::RemoteDocument { name: "consul:key".into(), text: text.into() }
}

#[test]
fn a_stored_document_replaces_the_routes_of_the_files() {
    let scene = Scene::new();
    scene.store.put(stored(&gateway(3, "")));
    assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Applied);
    assert_eq!(*scene.applied.lock().unwrap(), [3]);
    scene.write(&gateway(5, ""));
    scene.files();
    assert!(!scene.applied.lock().unwrap().contains(&5), "the routes come from the store");
}

#[test]
fn an_invalid_stored_document_keeps_the_last_valid_one() {
    let scene = Scene::new();
    scene.store.put(stored(&gateway(2, "")));
    assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Applied);
    scene.store.put(stored("{ broken"));
    assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Rejected);
    scene.store.put(stored(&gateway(2, "")));
    assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Unchanged, "it is active");
    assert_eq!(*scene.applied.lock().unwrap(), [2]);
}

#[test]
fn a_rejected_configuration_is_applied_once_the_port_is_free() {
    let scene = Scene::new();
    scene.write(&gateway(9, ""));
    assert_eq!(scene.files(), Reload::Rejected);
    assert_eq!(scene.files(), Reload::Unchanged, "the same content is tried on a signal only");
    let applied = scene.applied.clone();
    scene.reloading.state().apply = Box::new(move |blueprint, _| {
        applied.lock().unwrap().push(blueprint.routes.len());
        Ok(())
    });
    assert_eq!(scene.reloading.reload(Trigger::Signal).outcome, Reload::Applied);
    assert_eq!(*scene.applied.lock().unwrap(), [9]);
}

#[test]
fn a_replaced_certificate_is_applied_and_a_broken_one_is_rejected() {
    let scene = Scene::new();
    let issue = |scene: &Scene| {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(scene.folder.path().join("cert.pem"), issued.cert.pem()).unwrap();
        std::fs::write(scene.folder.path().join("key.pem"), issued.key_pair.serialize_pem()).unwrap();
    };
    issue(&scene);
    let listeners = r#""Listeners": [{ "Address": "127.0.0.1:1", "Tls": { "Certificates": [
        { "CertificateFile": "cert.pem", "KeyFile": "key.pem" }] } }],"#;
    scene.write(&gateway(1, listeners));
    assert_eq!((scene.files(), scene.files()), (Reload::Applied, Reload::Unchanged));
    issue(&scene);
    assert_eq!(scene.files(), Reload::Applied, "the files of the certificate are part of the configuration");
    std::fs::write(scene.folder.path().join("key.pem"), "no key").unwrap();
    assert_eq!(scene.files(), Reload::Rejected);
    let watched = scene.reloading.reload(Trigger::Files).watch;
    assert!(watched.contains(&scene.folder.path().join("key.pem")), "{watched:?}");
    assert_eq!(scene.applied.lock().unwrap().len(), 2, "the last valid certificate stays");
}

impl Scene {
    fn put(&self, text: &str, options: &ChangeOptions) -> Result<u64, ChangeError> {
        self.reloading.put(text.to_owned(), options, &|_| true).map(|applied| applied.number)
    }

    fn outcomes(&self) -> Vec<(Origin, Outcome, bool)> {
        let (entries, _) = self.reloading.history();
        entries.iter().map(|entry| (entry.origin, entry.outcome, entry.saved)).collect()
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway.json")).unwrap()
    }
}

fn watched(seconds: u64) -> ChangeOptions {
    ChangeOptions { watch: Some(Duration::from_secs(seconds)), ..ChangeOptions::default() }
}

#[test]
fn a_document_of_the_api_is_applied_and_differs_from_the_file_until_it_is_saved() {
    let scene = Scene::new();
    let number = scene.put(&gateway(2, ""), &ChangeOptions::default()).unwrap();
    assert_eq!(*scene.applied.lock().unwrap(), [2]);
    assert!(scene.metrics.config().is_unsaved());
    assert_eq!(scene.files(), Reload::Unchanged, "the file is as it was");
    let (entries, _) = scene.reloading.history();
    assert_eq!(entries[1].number, number);
    assert_eq!(entries[1].changes, ["route /1 added (* /1)"]);
    let save = ChangeOptions { save: true, ..ChangeOptions::default() };
    scene.put(&gateway(3, ""), &save).unwrap();
    assert_eq!(scene.file(), gateway(3, ""));
    assert!(!scene.metrics.config().is_unsaved());
    assert_eq!(scene.files(), Reload::Unchanged, "the file is what is active");
    let expected = [(Origin::Start, true), (Origin::Api, false), (Origin::Api, true)];
    assert_eq!(scene.outcomes(), expected.map(|(origin, saved)| (origin, Outcome::Applied, saved)));
}

#[test]
fn a_changed_file_replaces_what_was_not_saved() {
    let scene = Scene::new();
    scene.put(&gateway(2, ""), &ChangeOptions::default()).unwrap();
    scene.write(&gateway(4, ""));
    assert_eq!(scene.files(), Reload::Applied);
    assert!(!scene.metrics.config().is_unsaved());
    assert_eq!(*scene.applied.lock().unwrap(), [2, 4]);
}

#[test]
fn a_document_with_errors_or_for_another_configuration_changes_nothing() {
    let scene = Scene::new();
    let default = ChangeOptions::default();
    assert!(matches!(scene.put("{ \"Routes\": 1 }", &default), Err(ChangeError::Invalid(_))));
    assert!(matches!(scene.put(&gateway(9, ""), &default), Err(ChangeError::Failed(_))));
    let stale = scene.reloading.put(gateway(2, ""), &default, &|id| id == "other");
    assert!(matches!(stale, Err(ChangeError::Stale(_))));
    scene.write(&gateway(5, ""));
    let save = ChangeOptions { save: true, ..default };
    assert!(matches!(scene.put(&gateway(2, ""), &save), Err(ChangeError::NotSaved(_))), "the file changed");
    assert!(scene.applied.lock().unwrap().is_empty());
    assert_eq!(scene.outcomes().len(), 1);
}

#[test]
fn a_configuration_that_fails_its_tests_is_rejected() {
    let scene = Scene::new();
    let tests =
        r#""TestsBeforeApply": true, "Tests": [{ "Request": "GET /0", "Expect": { "Route": "/1" } }],"#;
    assert!(matches!(
        scene.put(&gateway(2, tests), &ChangeOptions::default()),
        Err(ChangeError::TestsFailed(_))
    ));
    scene.write(&gateway(2, tests));
    assert_eq!(scene.files(), Reload::Rejected);
    scene.write(&gateway(2, &tests.replace("GET /0", "GET /1")));
    assert_eq!(scene.files(), Reload::Applied);
}

#[test]
fn an_entry_of_the_history_can_be_restored() {
    let scene = Scene::new();
    scene.put(&gateway(2, ""), &ChangeOptions::default()).unwrap();
    scene.reloading.roll_back(1, &ChangeOptions::default()).unwrap();
    assert_eq!(*scene.applied.lock().unwrap(), [2, 1]);
    assert!(!scene.metrics.config().is_unsaved(), "it is the configuration of the file");
    assert!(matches!(
        scene.reloading.roll_back(99, &ChangeOptions::default()),
        Err(ChangeError::NotFound(_))
    ));
}

#[test]
fn a_second_change_waits_for_the_watch_and_a_rollback_or_a_file_ends_it() {
    let scene = Scene::new();
    let number = scene.put(&gateway(2, ""), &watched(60)).unwrap();
    let second = scene.put(&gateway(3, ""), &ChangeOptions::default());
    assert!(matches!(second, Err(ChangeError::Watching(watched)) if watched == number));
    scene.reloading.roll_back(1, &ChangeOptions::default()).unwrap();
    assert_eq!(scene.outcomes()[1].1, Outcome::Superseded);
    scene.put(&gateway(3, ""), &watched(60)).unwrap();
    scene.write(&gateway(4, ""));
    assert_eq!(scene.files(), Reload::Applied);
    assert_eq!(scene.outcomes()[3].1, Outcome::Superseded);
}

#[test]
fn a_watch_ends_with_the_window_or_with_the_process() {
    let scene = Scene::new();
    let save = ChangeOptions { save: true, ..watched(60) };
    let number = scene.put(&gateway(2, ""), &save).unwrap();
    assert_eq!(scene.file(), gateway(1, ""), "not saved before it is kept");
    let end = Instant::now() + Duration::from_secs(61);
    assert!(!scene.reloading.state().observe(number, end));
    assert_eq!(scene.outcomes()[1], (Origin::Api, Outcome::NotJudged, true));
    assert_eq!(scene.file(), gateway(2, ""));
    scene.put(&gateway(3, ""), &watched(60)).unwrap();
    scene.reloading.stop();
    assert_eq!(scene.outcomes()[2].1, Outcome::Interrupted);
}

#[test]
fn a_changed_route_that_fails_is_rolled_back() {
    let scene = Scene::new();
    let timeout = gateway(1, "\"GlobalConfiguration\": { \"Timeout\": \"7s\" },");
    let number = scene.put(&timeout, &watched(60)).unwrap();
    let route = scene.metrics.route("/0");
    for _ in 0..20 {
        route.begin(0);
        route
            .end(0, &RequestEnd { status: 500, duration: Duration::from_millis(1), ..RequestEnd::default() });
    }
    scene.reloading.state().observe(number, Instant::now());
    let (entries, _) = scene.reloading.history();
    assert_eq!(entries[1].outcome, Outcome::RolledBack);
    assert!(entries[1].reason.contains("5xx ratio 0.0 % -> 100.0 %"), "{}", entries[1].reason);
    assert_eq!((entries[2].origin, &entries[2].id), (Origin::Watch, &entries[0].id));
    assert!(scene.metrics.render().contains("margay_config_rollbacks_total{reason=\"errors\"} 1"));
}
