//! What the files come to at one moment: the one way from files to a checked blueprint, used by start, reload,
//! `check` and `explain` alike.

use super::services::NAMES;
use crate::config::render::{self, Style};
use crate::config::{Environment, Loaded, Request, files};
use crate::plan::blueprint::Blueprint;
use crate::plan::compile_with_stages;
use crate::plan::document::load;
use crate::stages::custom::StageRegistry;
use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// A configuration that may become the plan.
#[derive(Debug)]
pub struct Candidate {
    /// The sources, and what there is to say about them.
    pub loaded: Loaded,
    /// None: the configuration has errors.
    pub blueprint: Option<Blueprint>,
    /// Names the content: the same files, variables and secrets give the same one.
    pub id: String,
    /// Files and directories whose change may change the configuration; some may not exist yet.
    pub watched_paths: Vec<PathBuf>,
}

impl Candidate {
    /// Reads and checks what the request names.
    /// `stages` are those that the program itself adds.
    pub fn read(request: &Request, stages: &StageRegistry) -> Candidate {
        let world = RecordingEnvironment::default();
        let variable = |name: &str| world.variable(name);
        let read = |path: &Path, limit| world.read(path, limit);
        let mut loaded = load(request, Environment { variable: &variable, read: &read });
        let mut watched_paths = std::mem::take(&mut loaded.watched);
        watched_paths.append(&mut world.files.borrow_mut());
        watched_paths.sort();
        watched_paths.dedup();
        let id = format!("{:016x}", world.hash(&loaded));
        let blueprint = compile_with_stages(&mut loaded, stages, &NAMES);
        Candidate { loaded, blueprint, id, watched_paths }
    }

    /// Everything there is to say, for people; empty when there is nothing.
    pub fn report(&self, style: Style) -> String {
        render::text(&self.loaded.diagnostics, &self.loaded.sources, style)
    }
}

/// The variables and files of this process, with a note of what was asked.
#[derive(Default)]
struct RecordingEnvironment {
    files: RefCell<Vec<PathBuf>>,
    variables_read: RefCell<Vec<(String, Option<Vec<u8>>)>>,
}

impl RecordingEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok();
        self.record(name, value.as_ref().map(|v| v.as_bytes().to_vec()));
        value
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.files.borrow_mut().push(path.to_path_buf());
        let content = files::read_limited(path, limit);
        self.record(&path.display().to_string(), content.as_ref().ok().cloned());
        content
    }

    fn record(&self, asked: &str, answer: Option<Vec<u8>>) {
        self.variables_read.borrow_mut().push((asked.to_owned(), answer));
    }

    fn hash(&self, loaded: &Loaded) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (_, source) in loaded.sources.iter() {
            (&source.name, &source.text).hash(&mut hasher);
        }
        self.variables_read.borrow().hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = r#"{ "Routes": [{ "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/${file:SECRET}",
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "localhost", "Port": 1 }] }] }"#;

    fn folder() -> (tempfile::TempDir, Request) {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "one").unwrap();
        std::fs::write(
            folder.path().join("gateway.json"),
            GATEWAY.replace("SECRET", secret.to_str().unwrap()),
        )
        .unwrap();
        let request = Request { base_dir: folder.path().to_path_buf(), ..Request::default() };
        (folder, request)
    }

    #[test]
    fn the_same_content_has_the_same_id_and_a_changed_secret_another() {
        let (folder, request) = folder();
        let before = Candidate::read(&request, &StageRegistry::default());
        assert!(before.blueprint.is_some(), "{}", before.report(Style::default()));
        assert_eq!(before.id, Candidate::read(&request, &StageRegistry::default()).id);
        std::fs::write(folder.path().join("secret"), "two").unwrap();
        assert_ne!(before.id, Candidate::read(&request, &StageRegistry::default()).id);
    }

    #[test]
    fn the_files_of_placeholders_are_watched_beside_the_main_file() {
        let (folder, request) = folder();
        let watch = Candidate::read(&request, &StageRegistry::default()).watched_paths;
        for name in ["gateway.json", "secret", "policies"] {
            assert!(watch.contains(&folder.path().join(name)), "{name} is not in {watch:?}");
        }
    }

    #[test]
    fn a_configuration_with_errors_has_no_blueprint_and_says_why() {
        let (folder, request) = folder();
        std::fs::write(folder.path().join("gateway.json"), "{ \"Routes\": [ }").unwrap();
        let candidate = Candidate::read(&request, &StageRegistry::default());
        assert!(candidate.blueprint.is_none());
        assert!(candidate.report(Style::default()).contains("gateway.json:1:15"));
    }
}
