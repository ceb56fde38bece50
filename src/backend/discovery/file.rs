//! A JSON file of instances, for those who have a registry that nobody else knows.
//!
//! `{ "orders": [ "10.0.0.1:8080", { "Host": "10.0.0.2", "Port": 8080, "Weight": 2 } ] }`. The file is looked at every
//! so often, through links and on every file system, and read when it changed, once for all services in it.

use super::{InstanceSink, Provider, ProviderSettings, Service, validate};
use crate::backend::endpoint::Instance;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// The largest file.
const MAX_FILE: u64 = 16 << 20;
/// Two changes within so long may leave the same times behind: until then the content counts.
const MTIME_GRANULARITY: Duration = Duration::from_secs(2);

/// Services by name.
type Services = HashMap<String, Vec<Instance>>;

/// A file of instances.
#[derive(Debug)]
pub struct FileProvider {
    label: String,
    path: PathBuf,
    interval: Duration,
    known: Arc<Mutex<Option<CachedFile>>>,
}

/// The file as it was read last.
#[derive(Debug)]
struct CachedFile {
    stamp: FileFingerprint,
    text: Vec<u8>,
    services: Result<Arc<Services>, String>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileFingerprint {
    file: (u64, u64),
    size: u64,
    times: [(i64, i64); 2],
}

impl FileProvider {
    pub fn new(settings: &ProviderSettings) -> FileProvider {
        FileProvider {
            label: format!("File {}", settings.file.display()),
            path: settings.file.clone(),
            interval: settings.interval.unwrap_or(INTERVAL),
            known: Arc::default(),
        }
    }

    /// The services as the file has them now. Reading may wait for a disk, and waits elsewhere.
    async fn services(&self) -> Result<Arc<Services>, String> {
        let (path, known) = (self.path.clone(), self.known.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            reload_if_changed(&path, &mut known).map_err(|error| error.to_string())?
        });
        read.await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

#[async_trait]
impl Provider for FileProvider {
    fn label(&self) -> &str {
        &self.label
    }

    async fn watch(&self, service: &Service, told: &InstanceSink) -> String {
        let mut last: Option<Arc<Services>> = None;
        loop {
            match self.services().await {
                Err(trouble) => return trouble,
                Ok(now) => {
                    if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &now)) {
                        told.publish(now.get(&service.name).cloned().unwrap_or_default());
                        last = Some(now);
                    }
                }
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// Reads the file if it changed since it was known.
fn reload_if_changed(
    path: &Path,
    known: &mut Option<CachedFile>,
) -> io::Result<Result<Arc<Services>, String>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let stamp = FileFingerprint {
        file: (about.dev(), about.ino()),
        size: about.size(),
        times: [(about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec())],
    };
    let settled = |at: SystemTime| at.elapsed().is_ok_and(|age| age > MTIME_GRANULARITY);
    let before = known.as_ref().filter(|known| known.stamp == stamp);
    if let Some(known) = before.filter(|_| about.modified().is_ok_and(settled)) {
        return Ok(known.services.clone());
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if let Some(same) = known.as_mut().filter(|known| known.text == text) {
        same.stamp = stamp;
        return Ok(same.services.clone());
    }
    let services = match text.len() as u64 > MAX_FILE {
        true => Err(format!("the file is larger than {MAX_FILE} bytes")),
        false => read(&text).map(Arc::new),
    };
    Ok(known.insert(CachedFile { stamp, text, services }).services.clone())
}

/// An instance as the file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum InstanceEntry {
    Text(String),
    Object(Object),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Object {
    host: String,
    port: i64,
    #[serde(default)]
    weight: Option<i64>,
}

/// Reads a file. It is one's own, so it is wrong as a whole when something in it is.
fn read(text: &[u8]) -> Result<Services, String> {
    let all: HashMap<String, Value> = serde_json::from_slice(text)
        .map_err(|error| format!("it is no object of services and their instances: {error}"))?;
    all.into_iter().map(|(name, list)| Ok((name.clone(), instances(&name, list)?))).collect()
}

fn instances(service: &str, list: Value) -> Result<Vec<Instance>, String> {
    let Value::Array(list) = list else { return Err(format!("{service:?} is no list of instances")) };
    let one = |(at, value)| {
        instance(value).ok_or_else(|| format!("{service:?}[{at}] is no instance: {FORMAT_HELP}"))
    };
    list.into_iter().enumerate().map(one).collect()
}

const FORMAT_HELP: &str =
    "it is written \"10.0.0.1:8080\" or { \"Host\": \"10.0.0.1\", \"Port\": 8080, \"Weight\": 1 }";

fn instance(value: Value) -> Option<Instance> {
    match serde_json::from_value(value).ok()? {
        InstanceEntry::Text(text) => {
            let (host, port) = text.rsplit_once(':')?;
            let bare_ipv6 = host.contains(':') && !host.starts_with('[');
            validate::to_instance(host, port.parse().ok()?).filter(|_| !bare_ipv6)
        }
        InstanceEntry::Object(Object { host, port, weight }) => {
            let weight =
                u32::try_from(weight.unwrap_or(1)).ok().filter(|weight| (1..=65_535).contains(weight))?;
            Some(Instance { weight, ..validate::to_instance(&host, port)? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str =
        r#"{ "orders": ["10.0.0.1:8080", "[::1]:80", { "Host": "b", "Port": 1, "Weight": 9 }], "none": [] }"#;

    #[test]
    fn instances_are_texts_or_objects() {
        let services = read(GOOD.as_bytes()).unwrap();
        let shown = services["orders"].iter().map(|i| format!("{} {} {}", i.host, i.port, i.weight));
        assert_eq!(shown.collect::<Vec<_>>(), ["10.0.0.1 8080 1", "::1 80 1", "b 1 9"]);
        assert!(services["none"].is_empty());
    }

    #[test]
    fn one_odd_instance_makes_the_file_wrong_and_is_named() {
        for odd in [
            "7",
            "\"a\"",
            "\"a:0\"",
            "\"::1:80\"",
            "\"a b:1\"",
            "{\"Host\":\"a\"}",
            "{\"Host\":\"a\",\"Port\":65536}",
            "{\"Host\":\"a\",\"Port\":1,\"Wieght\":2}",
            "{\"Host\":\"a\",\"Port\":1,\"Weight\":0}",
        ] {
            let error = read(format!(r#"{{"s": ["ok:1", {odd}]}}"#).as_bytes()).unwrap_err();
            assert!(error.starts_with("\"s\"[1] is no instance"), "{odd}: {error}");
        }
        assert!(read(b"[]").is_err() && read(br#"{"s": {}}"#).is_err() && read(b"").is_err());
    }

    #[test]
    fn a_change_is_seen_even_if_it_leaves_the_same_size_and_times_behind() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut known) = (directory.path().join("instances.json"), None);
        let mut port = |text: &str| {
            std::fs::write(&path, text).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
            reload_if_changed(&path, &mut known).unwrap().map(|services| services["s"][0].port)
        };
        assert_eq!([port(r#"{"s":["a:1"]}"#), port(r#"{"s":["a:2"]}"#)], [Ok(1), Ok(2)]);
        assert!(port("{").is_err());
        assert_eq!(port(r#"{"s":["a:3"]}"#), Ok(3));
    }

    #[tokio::test]
    async fn a_file_that_comes_changes_and_goes_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("instances.json");
        let settings = ProviderSettings {
            file: file.clone(),
            interval: Some(Duration::from_millis(5)),
            ..ProviderSettings::default()
        };
        let (listed, told) = (FileProvider::new(&settings), InstanceSink::detached());
        let service = Service { name: "orders".into(), namespace: String::new(), scheme: "http".into() };
        assert!(listed.watch(&service, &told).await.contains("No such file"));
        assert!(told.last_published().is_none());
        std::fs::write(&file, GOOD).unwrap();
        let change = async {
            while told.last_published().is_none_or(|all| all.len() != 3) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::fs::write(directory.path().join("new"), r#"{"orders": ["c:1"]}"#).unwrap();
            std::fs::rename(directory.path().join("new"), &file).unwrap();
            while told.last_published().is_none_or(|all| all.len() != 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::fs::remove_file(&file).unwrap();
        };
        let (trouble, ()) = tokio::join!(listed.watch(&service, &told), change);
        assert!(trouble.contains("No such file"), "{trouble}");
        assert_eq!(told.last_published().unwrap().len(), 1, "the last good ones are kept");
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_is_a_result(text in ".{0,80}", junk in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (read(text.as_bytes()), read(&junk));
        }
    }
}
