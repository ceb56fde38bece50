//! The configuration in Consul's KV store: read at a start, written where there is none, followed from then on. The
//! files say where the store is and serve while it cannot be read; a stored document with errors changes nothing.

use super::candidate::Candidate;
use crate::backend::discovery::consul::kv::KvStore;
use crate::config::{RemoteDocument, Request, render::Style};
use crate::plan::blueprint::Blueprint;
use crate::stages::custom::StageRegistry;
use crate::telemetry::{DiscoveryMetrics, Metrics};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a start waits for the store.
const INITIAL_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What the store held when it was read last, and the word that it holds something else now.
#[derive(Debug, Default)]
pub struct StoredConfig {
    current: Mutex<Option<RemoteDocument>>,
    pub changed: Notify,
}

impl StoredConfig {
    /// `held` is what the store contained at startup; `None`: the store was unreachable.
    pub fn new(held: Option<RemoteDocument>) -> Arc<StoredConfig> {
        Arc::new(StoredConfig { current: Mutex::new(held), changed: Notify::new() })
    }

    /// The document of the last successful read.
    pub fn get(&self) -> Option<RemoteDocument> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, new: RemoteDocument) {
        let mut held = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref() != Some(&new) {
            *held = Some(new);
            self.changed.notify_one();
        }
    }
}

/// The store that a configuration names.
pub fn of(blueprint: &Blueprint) -> Option<KvStore> {
    blueprint.store.as_ref().map(|store| KvStore::new(&store.consul, &store.key))
}

/// What a gateway starts with: what the store holds, if the files name one and it can be read and is no worse than the
/// files. The request then names the stored document too.
pub fn load_initial(
    request: &mut Request,
    files: Candidate,
    stages: &StageRegistry,
    style: Style,
) -> Candidate {
    let Some(kv) = files.blueprint.as_ref().and_then(of) else { return files };
    let (name, place) = (kv.name(), kv.store().to_owned());
    match initial_value(&kv, files.loaded.initial_store_value.as_deref()) {
        Ok(text) => {
            request.stored = Some(RemoteDocument { name: name.clone(), text: text.into() });
            let stored = Candidate::read(request, stages);
            eprint!("{}", stored.report(style));
            if stored.blueprint.is_some() {
                eprintln!("margay: the configuration is {name} ({place})");
                return stored;
            }
            eprintln!("margay: {name} ({place}) has errors; the files serve until it is better");
        }
        Err(why) => eprintln!("margay: {name} cannot be read; the files serve until it can: {why}"),
    }
    files
}

fn initial_value(kv: &KvStore, seed: Option<&str>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let asked = async { tokio::time::timeout(INITIAL_READ_TIMEOUT, read_or_write(kv, seed)).await };
    runtime
        .block_on(asked)
        .unwrap_or_else(|_| Err(format!("{}: no answer within {INITIAL_READ_TIMEOUT:?}", kv.store())))
}

/// Reads the key, or writes it where there is none: of several gateways that start together one writes, and all others
/// read what it wrote.
async fn read_or_write(kv: &KvStore, seed: Option<&str>) -> Result<String, String> {
    if let Some(text) = kv.read().await? {
        return Ok(text);
    }
    let seed = seed.unwrap_or("{}");
    if kv.put_if_absent(seed).await? {
        eprintln!("margay: {} was empty; the configuration of the files was written there", kv.name());
        return Ok(seed.to_owned());
    }
    kv.read().await?.ok_or_else(|| format!("{}: the key cannot be written", kv.store()))
}

/// Follows the store for as long as the process lives.
pub async fn watch(kv: KvStore, slot: Arc<StoredConfig>, seed: Option<String>, metrics: Arc<Metrics>) {
    let numbers = metrics.discovery(kv.store(), Some("(configuration)"));
    let mut following = kv.watch();
    let mut said = LogState::Nothing;
    loop {
        let answer = following.next().await;
        log_transition(&kv, &answer, &numbers, &mut said);
        match answer {
            Ok(Some(text)) => slot.put(RemoteDocument { name: kv.name(), text: text.into() }),
            // The store was away at the start, and is empty.
            Ok(None) if slot.get().is_none() => drop(kv.put_if_absent(seed.as_deref().unwrap_or("{}")).await),
            Ok(None) | Err(_) => {}
        }
    }
}

/// What the log was told last, so that it is told once.
#[derive(PartialEq)]
enum LogState {
    Nothing,
    Missing,
    Unreachable,
}

fn log_transition(
    kv: &KvStore,
    answer: &Result<Option<String>, String>,
    numbers: &DiscoveryMetrics,
    said: &mut LogState,
) {
    let now = match answer {
        Ok(Some(_)) => LogState::Nothing,
        Ok(None) => LogState::Missing,
        Err(_) => LogState::Unreachable,
    };
    match answer {
        Ok(value) => numbers.record_update(usize::from(value.is_some())),
        Err(_) => numbers.record_error(),
    }
    if now != *said {
        match answer {
            Ok(Some(_)) => log::info!("{} ({}) can be read again", kv.name(), kv.store()),
            Ok(None) => log::warn!("{} ({}) is not there; nothing changes", kv.name(), kv.store()),
            Err(why) => log::warn!("{} cannot be read; nothing changes: {why}", kv.name()),
        }
        *said = now;
    }
}
