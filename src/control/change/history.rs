//! The history of configurations: the last changes with who, when, from where, what and the outcome, and the texts of the
//! configurations for a return to them. Kept in the data directory; in memory only while that cannot be written.

use super::entry::{Author, Entry, Origin, Outcome, limited};
use crate::base::clock::Clock;
use crate::base::data_directory::DataDirectory;
use crate::base::date::Timestamp;
use crate::config::Snapshot;
use crate::telemetry::Metrics;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// Maximum number of entries.
const MAX_ENTRIES: usize = 50;
/// Maximum size of the list of entries in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// Maximum size of the texts of one configuration.
const MAX_SNAPSHOT_BYTES: u64 = 512 << 20;
/// Maximum bytes of texts in memory, while the data directory cannot be written.
const MAX_MEMORY_BYTES: usize = 64 << 20;
const LIST: &str = "history.json";
const SNAPSHOT_PREFIX: &str = "configuration-";

/// The history.
#[derive(Debug)]
pub struct History {
    directory: DataDirectory,
    clock: Clock,
    metrics: Arc<Metrics>,
    entries: Vec<Entry>,
    /// The texts that could not be written, by the id of their configuration, oldest first.
    in_memory: Vec<(String, Arc<Snapshot>)>,
    /// The ids of the texts in the data directory.
    written: HashSet<String>,
    /// Whether the last write failed, so that a failure is logged once.
    is_failing: bool,
}

/// The list of entries, as a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List<Entries> {
    entries: Entries,
}

/// A change to record.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub id: String,
    pub origin: Origin,
    pub author: Author,
    pub changes: Vec<String>,
    pub outcome: Outcome,
    pub reason: String,
    pub saved: bool,
}

impl History {
    /// Reads the history of the directory. One that cannot be read is set aside with a warning; a watch that was active
    /// when the process stopped was interrupted.
    pub fn load(directory: DataDirectory, clock: Clock, metrics: Arc<Metrics>) -> History {
        let list = read_list(&directory).unwrap_or_else(|error| {
            let path = directory.path().join(LIST);
            log::warn!("the history {} cannot be read and is replaced: {error}", path.display());
            let _ = std::fs::rename(&path, path.with_extension("json.corrupt"));
            List::default()
        });
        let names = directory.list(SNAPSHOT_PREFIX).unwrap_or_default();
        let ids = names.iter().filter_map(|name| name.strip_prefix(SNAPSHOT_PREFIX)?.strip_suffix(".json"));
        let written = ids.map(str::to_owned).collect();
        let mut entries = list.entries;
        for entry in entries.iter_mut().filter(|entry| entry.outcome == Outcome::Watching) {
            entry.outcome = Outcome::Interrupted;
            entry.reason = "the gateway stopped during the watch".to_owned();
        }
        History { directory, clock, metrics, entries, in_memory: Vec::new(), written, is_failing: false }
    }

    /// The entries, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with a number.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// Whether the history survives a restart.
    pub fn is_durable(&self) -> bool {
        !self.is_failing
    }

    /// Records a change and the texts of its configuration; returns its number.
    pub fn add(&mut self, new: NewEntry, snapshot: Option<Arc<Snapshot>>) -> u64 {
        let number = self.entries.last().map_or(1, |last| last.number + 1);
        let time = Timestamp(self.clock.unix_time()).to_string();
        let NewEntry { id, origin, author, changes, outcome, reason, saved } = new;
        let changes = limited(changes);
        self.entries.push(Entry {
            number,
            time,
            id: id.clone(),
            origin,
            author,
            changes,
            outcome,
            reason,
            saved,
        });
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..surplus);
        if let Some(snapshot) = snapshot {
            self.keep(id, snapshot);
        }
        self.remove_unused();
        self.write();
        number
    }

    /// Changes an entry, such as its outcome.
    pub fn update(&mut self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            change(entry);
            self.write();
        }
    }

    /// The texts of a configuration.
    ///
    /// # Errors
    /// A sentence: they are not kept, or cannot be read.
    pub fn snapshot(&self, id: &str) -> Result<Arc<Snapshot>, String> {
        if let Some((_, snapshot)) = self.in_memory.iter().find(|(known, _)| known == id) {
            return Ok(snapshot.clone());
        }
        let content = self.directory.read(&snapshot_name(id), MAX_SNAPSHOT_BYTES);
        let content =
            content.map_err(|error| format!("the texts of configuration {id} cannot be read: {error}"))?;
        let content = content.ok_or_else(|| format!("the texts of configuration {id} are not kept"))?;
        let snapshot = serde_json::from_slice(&content);
        snapshot
            .map(Arc::new)
            .map_err(|error| format!("the texts of configuration {id} cannot be read: {error}"))
    }

    /// Keeps the texts of a configuration: in the data directory, otherwise in memory.
    fn keep(&mut self, id: String, snapshot: Arc<Snapshot>) {
        if self.written.contains(&id) || self.in_memory.iter().any(|(known, _)| *known == id) {
            return;
        }
        let content = serde_json::to_vec(&*snapshot).map_err(io::Error::from);
        let result = content.and_then(|content| self.directory.write(&snapshot_name(&id), &content));
        if self.note(&result) {
            self.written.insert(id);
            return;
        }
        self.in_memory.push((id, snapshot));
        let mut size: usize = self.in_memory.iter().map(|(_, snapshot)| snapshot.size()).sum();
        while size > MAX_MEMORY_BYTES && self.in_memory.len() > 1 {
            size -= self.in_memory.remove(0).1.size();
        }
    }

    /// Removes the texts that no entry needs.
    fn remove_unused(&mut self) {
        let used: HashSet<&str> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
        self.in_memory.retain(|(id, _)| used.contains(id.as_str()));
        let unused: Vec<String> =
            self.written.iter().filter(|id| !used.contains(id.as_str())).cloned().collect();
        for id in unused {
            if self.directory.remove(&snapshot_name(&id)).is_ok() {
                self.written.remove(&id);
            }
        }
    }

    /// Writes the list, and the texts that could not be written before.
    fn write(&mut self) {
        for (id, snapshot) in std::mem::take(&mut self.in_memory) {
            self.keep(id, snapshot);
        }
        let content =
            serde_json::to_vec_pretty(&List { entries: self.entries.as_slice() }).map_err(io::Error::from);
        let result = content.and_then(|content| self.directory.write(LIST, &content));
        self.note(&result);
    }

    /// Logs and counts a failed write, and the first one that succeeds again; whether it succeeded.
    fn note(&mut self, result: &io::Result<()>) -> bool {
        let path = self.directory.path().display();
        match result {
            Ok(()) if self.is_failing => log::info!("the history is written to {path} again"),
            Ok(()) => {}
            Err(error) => {
                self.metrics.config().record_history_error();
                if !self.is_failing {
                    log::warn!(
                        "the history cannot be written to {path} and is kept in memory until then: {error}"
                    );
                }
            }
        }
        self.is_failing = result.is_err();
        result.is_ok()
    }
}

fn read_list(directory: &DataDirectory) -> Result<List<Vec<Entry>>, String> {
    match directory.read(LIST, MAX_LIST_BYTES) {
        Ok(None) => Ok(List::default()),
        Ok(Some(content)) => serde_json::from_slice(&content).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn snapshot_name(id: &str) -> String {
    format!("{SNAPSHOT_PREFIX}{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn history(path: &Path) -> History {
        History::load(DataDirectory::new(path), Clock::mock(), Metrics::new(1))
    }

    fn entry(id: &str, outcome: Outcome) -> NewEntry {
        NewEntry {
            id: id.to_owned(),
            origin: Origin::Api,
            author: Author { who: "ann".into(), from: "127.0.0.1".into() },
            changes: vec!["route a: timeout 30s -> 5s".into()],
            outcome,
            reason: String::new(),
            saved: false,
        }
    }

    fn snapshot() -> Option<Arc<Snapshot>> {
        Some(Arc::new(Snapshot::default().with_document("{}".into())))
    }

    #[test]
    fn the_history_survives_a_restart_and_an_active_watch_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let mut first = history(&path);
        assert_eq!(first.add(entry("a", Outcome::Applied), snapshot()), 1);
        assert_eq!(first.add(entry("b", Outcome::Watching), snapshot()), 2);
        let second = history(&path);
        assert_eq!(second.entries()[0], first.entries()[0]);
        assert_eq!(second.get(2).unwrap().outcome, Outcome::Interrupted);
        assert_eq!(second.snapshot("a").unwrap(), snapshot().unwrap());
        assert!(second.snapshot("c").is_err());
    }

    #[test]
    fn the_last_fifty_entries_are_kept_and_the_texts_they_need() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = history(folder.path());
        for number in 0..60 {
            history.add(entry(&format!("{:x}", number % 55), Outcome::Applied), snapshot());
        }
        assert_eq!(history.entries().len(), 50);
        assert_eq!(history.entries()[0].number, 11);
        assert!(history.snapshot("0").is_ok(), "entry 56 has the same configuration as entry 1");
        assert!(history.snapshot("5").is_err(), "the entry is gone");
        assert_eq!(DataDirectory::new(folder.path()).list(SNAPSHOT_PREFIX).unwrap().len(), 50);
    }

    #[test]
    fn a_corrupt_history_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        history(folder.path()).add(entry("a", Outcome::Applied), None);
        std::fs::write(folder.path().join(LIST), "{ \"entries\": [ { \"num").unwrap();
        let mut second = history(folder.path());
        assert!(second.entries().is_empty());
        assert!(folder.path().join("history.json.corrupt").exists());
        assert_eq!(second.add(entry("a", Outcome::Applied), None), 1);
    }

    #[test]
    fn without_a_directory_the_history_is_in_memory_and_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "a file in the place of the directory").unwrap();
        let mut first = history(&path);
        first.add(entry("a", Outcome::Applied), snapshot());
        assert!(!first.is_durable());
        assert!(first.snapshot("a").is_ok(), "from memory");
        std::fs::remove_file(&path).unwrap();
        first.add(entry("b", Outcome::Applied), snapshot());
        assert!(first.is_durable());
        let second = history(&path);
        assert_eq!(second.entries().len(), 2);
        assert!(second.snapshot("a").is_ok(), "the texts of before are written too");
    }
}
