//! A JSON file of instances, for registries without a provider.
//!
//! `{ "orders": [ "10.0.0.1:8080", { "Host": "10.0.0.2", "Port": 8080, "Weight": 2 } ] }`. The file is polled, which
//! works with symbolic links and on every file system, and parsed when it changed, once for all services in it.

use super::{
    provider::{Provider, Service},
    service_state::InstanceSink,
    validate,
};
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

/// The default polling interval.
const INTERVAL: Duration = Duration::from_millis(250);
/// The maximum size of the file.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Two changes within this time may leave the same timestamps: until then the content is compared.
const MTIME_GRANULARITY: Duration = Duration::from_secs(2);

/// Services by name.
type Services = HashMap<String, Vec<Instance>>;

/// The settings of a file of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileSettings {
    pub path: PathBuf,
    /// Overrides the polling interval.
    pub interval: Option<Duration>,
}

/// Discovers services in a file.
#[derive(Debug)]
pub struct FileProvider {
    label: String,
    path: PathBuf,
    interval: Duration,
    cache: Arc<Mutex<Option<CachedFile>>>,
}

/// The file as it was parsed last.
#[derive(Debug)]
struct CachedFile {
    fingerprint: FileFingerprint,
    text: Vec<u8>,
    services: Result<Arc<Services>, String>,
}

/// Distinguishes versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileFingerprint {
    device_and_inode: (u64, u64),
    size: u64,
    /// Modification and change time, in seconds and nanoseconds.
    times: [(i64, i64); 2],
}

impl FileFingerprint {
    fn of(metadata: &std::fs::Metadata) -> FileFingerprint {
        FileFingerprint {
            device_and_inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            times: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        }
    }
}

impl FileProvider {
    /// The file is read on the first query and when its fingerprint changes.
    pub fn new(settings: &FileSettings) -> FileProvider {
        FileProvider {
            label: format!("File {}", settings.path.display()),
            path: settings.path.clone(),
            interval: settings.interval.unwrap_or(INTERVAL),
            cache: Arc::default(),
        }
    }

    /// The services that the file contains now. Reads on a blocking thread.
    async fn services(&self) -> Result<Arc<Services>, String> {
        let (path, cache) = (self.path.clone(), self.cache.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            reload_if_changed(&path, &mut cache).map_err(|error| error.to_string())?
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

    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String {
        let mut last: Option<Arc<Services>> = None;
        loop {
            match self.services().await {
                Err(error) => return error,
                Ok(services) => {
                    if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &services)) {
                        sink.publish(services.get(&service.name).cloned().unwrap_or_default());
                        last = Some(services);
                    }
                }
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// Parses the file again if it changed.
fn reload_if_changed(
    path: &Path,
    cache: &mut Option<CachedFile>,
) -> io::Result<Result<Arc<Services>, String>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let fingerprint = FileFingerprint::of(&metadata);
    let is_settled = |at: SystemTime| at.elapsed().is_ok_and(|age| age > MTIME_GRANULARITY);
    let unchanged = cache.as_ref().filter(|cached| cached.fingerprint == fingerprint);
    if let Some(cached) = unchanged.filter(|_| metadata.modified().is_ok_and(is_settled)) {
        return Ok(cached.services.clone());
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if let Some(cached) = cache.as_mut().filter(|cached| cached.text == text) {
        cached.fingerprint = fingerprint;
        return Ok(cached.services.clone());
    }
    let services = match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(format!("the file is larger than {MAX_FILE_BYTES} bytes")),
        false => parse(&text).map(Arc::new),
    };
    Ok(cache.insert(CachedFile { fingerprint, text, services }).services.clone())
}

/// An instance in the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum InstanceEntry {
    Text(String),
    Object(InstanceObject),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InstanceObject {
    host: String,
    port: i64,
    #[serde(default)]
    weight: Option<i64>,
}

/// Parses a file. One invalid instance makes the whole file invalid, since the operator wrote it.
fn parse(text: &[u8]) -> Result<Services, String> {
    let services: HashMap<String, Value> = serde_json::from_slice(text)
        .map_err(|error| format!("expected an object of services and their instances: {error}"))?;
    services.into_iter().map(|(name, list)| Ok((name.clone(), instances(&name, list)?))).collect()
}

fn instances(service: &str, list: Value) -> Result<Vec<Instance>, String> {
    let Value::Array(list) = list else { return Err(format!("{service:?}: expected a list of instances")) };
    let parse_instance = |(at, value)| {
        instance(value).ok_or_else(|| format!("{service:?}[{at}]: invalid instance: {FORMAT_HELP}"))
    };
    list.into_iter().enumerate().map(parse_instance).collect()
}

const FORMAT_HELP: &str =
    "expected \"10.0.0.1:8080\" or { \"Host\": \"10.0.0.1\", \"Port\": 8080, \"Weight\": 1 }";

fn instance(value: Value) -> Option<Instance> {
    match serde_json::from_value(value).ok()? {
        InstanceEntry::Text(text) => {
            let (host, port) = text.rsplit_once(':')?;
            let bare_ipv6 = host.contains(':') && !host.starts_with('[');
            validate::to_instance(host, port.parse().ok()?).filter(|_| !bare_ipv6)
        }
        InstanceEntry::Object(InstanceObject { host, port, weight }) => {
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
    fn instances_are_strings_or_objects() {
        let services = parse(GOOD.as_bytes()).unwrap();
        let instances = services["orders"].iter().map(|i| format!("{} {} {}", i.host, i.port, i.weight));
        assert_eq!(instances.collect::<Vec<_>>(), ["10.0.0.1 8080 1", "::1 80 1", "b 1 9"]);
        assert!(services["none"].is_empty());
    }

    #[test]
    fn one_invalid_instance_makes_the_file_invalid_and_is_named() {
        for invalid in [
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
            let error = parse(format!(r#"{{"s": ["ok:1", {invalid}]}}"#).as_bytes()).unwrap_err();
            assert!(error.starts_with("\"s\"[1]: invalid instance"), "{invalid}: {error}");
        }
        assert!(parse(b"[]").is_err() && parse(br#"{"s": {}}"#).is_err() && parse(b"").is_err());
    }

    #[test]
    fn a_change_is_noticed_even_with_equal_size_and_timestamps() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut cache) = (directory.path().join("instances.json"), None);
        let mut port = |text: &str| {
            std::fs::write(&path, text).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
            reload_if_changed(&path, &mut cache).unwrap().map(|services| services["s"][0].port)
        };
        assert_eq!([port(r#"{"s":["a:1"]}"#), port(r#"{"s":["a:2"]}"#)], [Ok(1), Ok(2)]);
        assert!(port("{").is_err());
        assert_eq!(port(r#"{"s":["a:3"]}"#), Ok(3));
    }

    #[tokio::test]
    async fn a_file_that_is_created_changed_and_removed_is_watched() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("instances.json");
        let settings = FileSettings { path: file.clone(), interval: Some(Duration::from_millis(5)) };
        let (provider, sink) = (FileProvider::new(&settings), InstanceSink::detached());
        let service = Service { name: "orders".into(), namespace: String::new(), scheme: "http".into() };
        assert!(provider.watch(&service, &sink).await.contains("No such file"));
        assert!(sink.last_published().is_none());
        std::fs::write(&file, GOOD).unwrap();
        let change = async {
            while sink.last_published().is_none_or(|all| all.len() != 3) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::fs::write(directory.path().join("new"), r#"{"orders": ["c:1"]}"#).unwrap();
            std::fs::rename(directory.path().join("new"), &file).unwrap();
            while sink.last_published().is_none_or(|all| all.len() != 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::fs::remove_file(&file).unwrap();
        };
        let (error, ()) = tokio::join!(provider.watch(&service, &sink), change);
        assert!(error.contains("No such file"), "{error}");
        assert_eq!(sink.last_published().unwrap().len(), 1, "the last valid instances are kept");
    }

    proptest! {
        #[test]
        fn any_file_is_a_result(text in ".{0,80}", junk in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (parse(text.as_bytes()), parse(&junk));
        }
    }
}
