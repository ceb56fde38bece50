//! A candidate: the checked blueprint of the current configuration files. The only path from files to a blueprint, used
//! at startup, on reload, by `check` and by `explain`.

use super::port_checks::PortFacts;
use super::service_names::NAMES;
use crate::config::render::{self, Style};
use crate::config::{Environment, Loaded, Request, files};
use crate::plan::blueprint::Blueprint;
use crate::plan::compile_with_stages;
use crate::plan::diff::Configuration;
use crate::plan::document::load;
use crate::stages::custom::StageRegistry;
use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// A configuration that may become the active plan.
#[derive(Debug)]
pub struct Candidate {
    /// The sources and the diagnostics.
    pub loaded: Loaded,
    /// `None`: the configuration has errors.
    pub blueprint: Option<Blueprint>,
    /// Identifies the content: equal files, variables and secrets have equal ids.
    pub id: String,
    /// Files and directories that are watched for changes; some may not exist yet.
    pub watched_paths: Vec<PathBuf>,
}

impl Candidate {
    /// Reads and checks the requested configuration. `stages` are the custom stages of the program.
    pub fn read(request: &Request, stages: &StageRegistry) -> Candidate {
        let environment = RecordingEnvironment::default();
        let variable = |name: &str| environment.variable(name);
        let read = |path: &Path, limit| environment.read(path, limit);
        let mut loaded = load(request, Environment { variable: &variable, read: &read });
        let mut watched_paths = std::mem::take(&mut loaded.watched);
        watched_paths.append(&mut environment.files.borrow_mut());
        let content = environment.hash(&loaded, request);
        let blueprint = compile_with_stages(&mut loaded, stages, &NAMES);
        // What the compilation has read, or missed: files with rules of the firewall.
        let attached = std::mem::take(&mut loaded.watched);
        let id = format!("{:016x}", hash_with_files(content, &attached));
        watched_paths.extend(attached);
        watched_paths.sort();
        watched_paths.dedup();
        if let Some(roles) =
            blueprint.as_ref().map(|blueprint| &blueprint.roles).filter(|roles| !roles.is_empty())
            && let Some(facts) = PortFacts::of_process()
        {
            facts.check(roles, &mut loaded.diagnostics);
        }
        Candidate { loaded, blueprint, id, watched_paths }
    }

    /// The configuration for a comparison; `None` if it has errors.
    pub fn configuration(&self) -> Option<Configuration<'_>> {
        Configuration::new(&self.loaded, self.blueprint.as_ref()?)
    }

    /// The settings that environment variables set, as one line of text.
    pub fn variables_line(&self) -> Option<String> {
        let names: Vec<_> = self.loaded.sources.variables().collect();
        let s = if names.len() == 1 { "" } else { "s" };
        let line =
            || format!("{} setting{s} from environment variables: {}\n", names.len(), names.join(", "));
        (!names.is_empty()).then(line)
    }

    /// All diagnostics as text; empty if there are none.
    pub fn report(&self, style: Style) -> String {
        render::text(&self.loaded.diagnostics, &self.loaded.sources, style)
    }
}

/// Longer files count by their length only.
const MAX_HASHED_BYTES: u64 = 16 << 20;

/// The hash of a configuration with these files, and those in these directories.
fn hash_with_files(content: u64, paths: &[PathBuf]) -> u64 {
    if paths.is_empty() {
        return content;
    }
    let mut files: Vec<PathBuf> = paths.to_vec();
    for directory in paths {
        files.extend(std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    files.sort();
    files.dedup();
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    for file in &files {
        let length = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        let text = length.filter(|length| *length <= MAX_HASHED_BYTES).and_then(|_| std::fs::read(file).ok());
        (file, length, text).hash(&mut hasher);
    }
    hasher.finish()
}

/// The variables and files of this process, with a record of what was read.
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

    fn record(&self, name: &str, value: Option<Vec<u8>>) {
        self.variables_read.borrow_mut().push((name.to_owned(), value));
    }

    fn hash(&self, loaded: &Loaded, request: &Request) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (_, source) in loaded.sources.iter() {
            (&source.name, &source.text).hash(&mut hasher);
        }
        self.variables_read.borrow().hash(&mut hasher);
        request.dotnet.variables.hash(&mut hasher);
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
    fn equal_content_has_equal_ids_and_a_changed_secret_changes_the_id() {
        let (folder, request) = folder();
        let before = Candidate::read(&request, &StageRegistry::default());
        assert!(before.blueprint.is_some(), "{}", before.report(Style::default()));
        assert_eq!(before.id, Candidate::read(&request, &StageRegistry::default()).id);
        std::fs::write(folder.path().join("secret"), "two").unwrap();
        assert_ne!(before.id, Candidate::read(&request, &StageRegistry::default()).id);
    }

    #[test]
    fn a_changed_rule_file_of_the_firewall_changes_the_id_also_when_it_appears() {
        let (folder, request) = folder();
        let waf = r#"{ "GlobalConfiguration": { "Waf": "p" }, "WafEngine": { "Rules": "built-in", "Log": "off" },
            "WafPolicies": { "p": { "Mode": "Prevention", "RuleFiles": ["late.conf"] } } }"#;
        std::fs::write(folder.path().join("gateway.json"), waf).unwrap();
        let read = || Candidate::read(&request, &StageRegistry::default());
        let missing = read();
        assert!(missing.blueprint.is_none() && missing.id == read().id);
        let file = folder.path().join("late.conf");
        assert!(missing.watched_paths.iter().any(|path| path.ends_with("late.conf")));
        let ids: Vec<_> = ["stop", "halt"]
            .into_iter()
            .map(|word| {
                let rule = format!("SecRule ARGS:q \"@streq {word}\" \"id:1001,phase:2,deny,status:406\"\n");
                std::fs::write(&file, rule).unwrap();
                let candidate = read();
                assert!(candidate.blueprint.is_some(), "{}", candidate.report(Style::default()));
                candidate.id
            })
            .collect();
        assert!(ids[0] != ids[1] && !ids.contains(&missing.id), "{ids:?} {}", missing.id);
    }

    #[test]
    fn files_of_placeholders_are_watched_too() {
        let (folder, request) = folder();
        let watch = Candidate::read(&request, &StageRegistry::default()).watched_paths;
        for name in ["gateway.json", "secret", "policies"] {
            assert!(watch.contains(&folder.path().join(name)), "{name} is not in {watch:?}");
        }
    }

    #[test]
    fn a_configuration_with_errors_has_no_blueprint_but_diagnostics() {
        let (folder, request) = folder();
        std::fs::write(folder.path().join("gateway.json"), "{ \"Routes\": [ }").unwrap();
        let candidate = Candidate::read(&request, &StageRegistry::default());
        assert!(candidate.blueprint.is_none());
        assert!(candidate.report(Style::default()).contains("gateway.json:1:15"));
    }
}
