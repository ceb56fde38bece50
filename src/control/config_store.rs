//! The configuration in Consul's KV store: read at startup, written if the key is absent, watched from then on. The
//! files contain the address of the store and are used while it cannot be read; a stored document with errors changes
//! nothing.

use super::candidate::Candidate;
use crate::backend::discovery::consul::kv::KvStore;
use crate::config::{RemoteDocument, Request, render::Style};
use crate::plan::blueprint::Blueprint;
use crate::stages::custom::StageRegistry;
use crate::telemetry::{DiscoveryMetrics, Metrics};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The timeout of reading the store at startup.
const INITIAL_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The last document read from the store, and a notification of changes.
#[derive(Debug, Default)]
pub struct StoredConfig {
    current: Mutex<Option<RemoteDocument>>,
    pub changed: Notify,
}

impl StoredConfig {
    /// `held` is what the store contained at startup; `None`: the store was unreachable.
    pub fn new(document: Option<RemoteDocument>) -> Arc<StoredConfig> {
        Arc::new(StoredConfig { current: Mutex::new(document), changed: Notify::new() })
    }

    /// The document of the last successful read.
    pub fn get(&self) -> Option<RemoteDocument> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, new: RemoteDocument) {
        let mut document = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if document.as_ref() != Some(&new) {
            *document = Some(new);
            self.changed.notify_one();
        }
    }
}

/// The store of a configuration.
pub fn of(blueprint: &Blueprint) -> Option<KvStore> {
    blueprint.store.as_ref().map(|store| KvStore::new(&store.consul, &store.key))
}

/// The initial configuration: the stored document, if the files configure a store that can be read and its document is
/// valid. The request then includes the stored document.
pub fn load_initial(
    request: &mut Request,
    files: Candidate,
    stages: &StageRegistry,
    style: Style,
) -> Candidate {
    let Some(kv) = files.blueprint.as_ref().and_then(of) else { return files };
    let (name, store_name) = (kv.name(), kv.store().to_owned());
    match initial_value(&kv, files.loaded.initial_store_value.as_deref()) {
        Ok(text) => {
            request.stored = Some(RemoteDocument { name: name.clone(), text: text.into() });
            let stored = Candidate::read(request, stages);
            eprint!("{}", stored.report(style));
            if stored.blueprint.is_some() {
                eprintln!("margay: the configuration is {name} ({store_name})");
                return stored;
            }
            eprintln!(
                "margay: {name} ({store_name}) has errors; using the configuration files until it is corrected"
            );
        }
        Err(error) => {
            eprintln!("margay: {name} cannot be read; using the configuration files until then: {error}");
        }
    }
    files
}

fn initial_value(kv: &KvStore, seed: Option<&str>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let read = async { tokio::time::timeout(INITIAL_READ_TIMEOUT, read_or_write(kv, seed)).await };
    runtime
        .block_on(read)
        .unwrap_or_else(|_| Err(format!("{}: no response within {INITIAL_READ_TIMEOUT:?}", kv.store())))
}

/// Reads the key, or writes it if absent: of several gateways that start at the same time one writes, and the others
/// read what it wrote.
async fn read_or_write(kv: &KvStore, seed: Option<&str>) -> Result<String, String> {
    if let Some(text) = kv.read().await? {
        return Ok(text);
    }
    let seed = seed.unwrap_or("{}");
    if kv.put_if_absent(seed).await? {
        eprintln!("margay: {} was empty; wrote the configuration of the files to it", kv.name());
        return Ok(seed.to_owned());
    }
    kv.read().await?.ok_or_else(|| format!("{}: the key cannot be written", kv.store()))
}

/// Watches the store for the lifetime of the process.
pub async fn watch(kv: KvStore, slot: Arc<StoredConfig>, seed: Option<String>, metrics: Arc<Metrics>) {
    let numbers = metrics.discovery(kv.store(), Some("(configuration)"));
    let mut watcher = kv.watch();
    let mut logged = LogState::Nothing;
    loop {
        let result = watcher.next().await;
        log_transition(&kv, &result, &numbers, &mut logged);
        match result {
            Ok(Some(text)) => slot.put(RemoteDocument { name: kv.name(), text: text.into() }),
            // The store was unavailable at startup, and is empty.
            Ok(None) if slot.get().is_none() => drop(kv.put_if_absent(seed.as_deref().unwrap_or("{}")).await),
            Ok(None) | Err(_) => {}
        }
    }
}

/// The last logged state, so that each transition is logged once.
#[derive(PartialEq)]
enum LogState {
    Nothing,
    Missing,
    Unreachable,
}

fn log_transition(
    kv: &KvStore,
    result: &Result<Option<String>, String>,
    numbers: &DiscoveryMetrics,
    logged: &mut LogState,
) {
    let now = match result {
        Ok(Some(_)) => LogState::Nothing,
        Ok(None) => LogState::Missing,
        Err(_) => LogState::Unreachable,
    };
    match result {
        Ok(value) => numbers.record_update(usize::from(value.is_some())),
        Err(_) => numbers.record_error(),
    }
    if now != *logged {
        match result {
            Ok(Some(_)) => log::info!("{} ({}) can be read again", kv.name(), kv.store()),
            Ok(None) => {
                log::warn!("{} not found in {}; keeping the current configuration", kv.name(), kv.store());
            }
            Err(error) => {
                log::warn!("{} cannot be read; keeping the current configuration: {error}", kv.name());
            }
        }
        *logged = now;
    }
}
