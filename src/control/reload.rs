//! Reloading: reads and checks the configuration again and activates it. A configuration with errors is reported, and
//! the active plan stays.

use super::active::ActiveConfig;
use super::candidate::Candidate;
use super::config_store::StoredConfig;
use super::watch::{ReloadAttempt, Reloader, Trigger};
use crate::config::{Request, render::Style};
use crate::plan::blueprint::Blueprint;
use crate::stages::custom::StageRegistry;
use crate::telemetry::Reload;
use std::path::PathBuf;
use std::sync::Arc;

/// Activates a checked blueprint under this id; the error is one sentence.
pub type ApplyFn = Box<dyn FnMut(&Blueprint, &str) -> Result<(), String> + Send>;

/// State between two reloads.
pub struct ReloadState {
    request: Request,
    /// The stored document.
    store: Arc<StoredConfig>,
    stages: StageRegistry,
    style: Style,
    apply: ApplyFn,
    active: Arc<ActiveConfig>,
    /// The id of the last candidate, whether it was applied or not.
    last_seen_id: String,
    active_id: String,
    /// `ReloadOnChange` of the active plan.
    store_watch: bool,
}

impl ReloadState {
    /// The state after startup: the candidate is active.
    pub fn new(
        request: Request,
        store: Arc<StoredConfig>,
        stages: StageRegistry,
        style: Style,
        current: Arc<Candidate>,
        active: Arc<ActiveConfig>,
        apply: ApplyFn,
    ) -> Self {
        let (last_seen_id, active_id) = (current.id.clone(), current.id.clone());
        let store_watch = current.blueprint.as_ref().is_none_or(|b| b.reload_on_change);
        active.set(current);
        ReloadState { request, store, stages, style, apply, active, last_seen_id, active_id, store_watch }
    }

    /// The function that the file watch calls.
    pub fn into_reloader(mut self) -> Reloader {
        Box::new(move |trigger| self.reload(trigger))
    }

    fn reload(&mut self, trigger: Trigger) -> ReloadAttempt {
        self.request.stored = self.store.get();
        let candidate = Arc::new(Candidate::read(&self.request, &self.stages));
        let is_repeated = std::mem::replace(&mut self.last_seen_id, candidate.id.clone()) == candidate.id;
        let outcome = if candidate.id == self.active_id || (is_repeated && trigger != Trigger::Signal) {
            Reload::Unchanged
        } else {
            self.replace(&candidate)
        };
        self.active.record(outcome);
        ReloadAttempt { outcome, watch: self.watch(candidate.watched_paths.clone()) }
    }

    fn replace(&mut self, candidate: &Arc<Candidate>) -> Reload {
        eprint!("{}", candidate.report(self.style));
        let Some(blueprint) = &candidate.blueprint else {
            eprintln!("margay: the new configuration has errors; keeping the current one");
            return Reload::Rejected;
        };
        match (self.apply)(blueprint, &candidate.id) {
            Ok(()) => {
                eprintln!("margay: new configuration applied, {} routes", blueprint.routes.len());
                self.active_id.clone_from(&candidate.id);
                self.active.set(candidate.clone());
                self.store_watch = blueprint.reload_on_change;
                Reload::Applied
            }
            Err(error) => {
                eprintln!("margay: {error}; keeping the current configuration");
                Reload::Rejected
            }
        }
    }

    fn watch(&self, paths: Vec<PathBuf>) -> Vec<PathBuf> {
        if self.store_watch { paths } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Scene {
        folder: tempfile::TempDir,
        reloading: ReloadState,
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
            let current = Candidate::read(&request, &StageRegistry::default());
            let reloading = ReloadState::new(
                request,
                StoredConfig::new(None),
                StageRegistry::default(),
                Style::default(),
                Arc::new(current),
                Arc::default(),
                Box::new(apply),
            );
            Scene { folder, reloading, applied }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.folder.path().join("gateway.json"), text).unwrap();
        }

        fn files(&mut self) -> Reload {
            self.reloading.reload(Trigger::Files).outcome
        }
    }

    #[test]
    fn a_changed_file_is_applied_and_an_equal_one_is_unchanged() {
        let mut scene = Scene::new();
        assert_eq!(scene.files(), Reload::Unchanged);
        scene.write(&gateway(2, ""));
        assert_eq!((scene.files(), scene.files()), (Reload::Applied, Reload::Unchanged));
        assert_eq!(*scene.applied.lock().unwrap(), [2]);
    }

    #[test]
    fn an_invalid_file_is_rejected_once_and_restoring_it_is_unchanged() {
        let mut scene = Scene::new();
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
        let mut scene = Scene::new();
        scene.write(&gateway(9, ""));
        assert_eq!(scene.files(), Reload::Rejected);
    }

    #[test]
    fn reload_on_change_off_ends_the_watch_and_a_signal_turns_it_on_again() {
        let mut scene = Scene::new();
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
        let mut scene = Scene::new();
        scene.reloading.store.put(stored(&gateway(3, "")));
        assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Applied);
        assert_eq!(*scene.applied.lock().unwrap(), [3]);
        scene.write(&gateway(5, ""));
        scene.files();
        assert!(!scene.applied.lock().unwrap().contains(&5), "the routes come from the store");
    }

    #[test]
    fn an_invalid_stored_document_keeps_the_last_valid_one() {
        let mut scene = Scene::new();
        scene.reloading.store.put(stored(&gateway(2, "")));
        assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Applied);
        scene.reloading.store.put(stored("{ broken"));
        assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Rejected);
        scene.reloading.store.put(stored(&gateway(2, "")));
        assert_eq!(scene.reloading.reload(Trigger::Store).outcome, Reload::Unchanged, "it is active");
        assert_eq!(*scene.applied.lock().unwrap(), [2]);
    }

    #[test]
    fn a_rejected_configuration_is_applied_once_the_port_is_free() {
        let mut scene = Scene::new();
        scene.write(&gateway(9, ""));
        assert_eq!(scene.files(), Reload::Rejected);
        assert_eq!(scene.files(), Reload::Unchanged, "the same content is tried on a signal only");
        let applied = scene.applied.clone();
        scene.reloading.apply = Box::new(move |blueprint, _| {
            applied.lock().unwrap().push(blueprint.routes.len());
            Ok(())
        });
        assert_eq!(scene.reloading.reload(Trigger::Signal).outcome, Reload::Applied);
        assert_eq!(*scene.applied.lock().unwrap(), [9]);
    }

    #[test]
    fn a_replaced_certificate_is_applied_and_a_broken_one_is_rejected() {
        let mut scene = Scene::new();
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
        assert_eq!(
            scene.files(),
            Reload::Applied,
            "the files of the certificate are part of the configuration"
        );
        std::fs::write(scene.folder.path().join("key.pem"), "no key").unwrap();
        assert_eq!(scene.files(), Reload::Rejected);
        let watched = scene.reloading.reload(Trigger::Files).watch;
        assert!(watched.contains(&scene.folder.path().join("key.pem")), "{watched:?}");
        assert_eq!(scene.applied.lock().unwrap().len(), 2, "the last valid certificate stays");
    }
}
