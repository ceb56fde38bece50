//! The registry: services from a file, and replicas that register over the naming interface.
//!
//! Entry points: [`Registry::apply`] for a new file, [`Registry::register`] and its siblings for replicas. Callers: `plan`
//! when it builds a resolver, `control` for the naming interface. The registry outlives a reload, with its versions and
//! registered replicas, as long as a plan has a resolver of its name and file.

pub mod document;
mod faults;
mod raw;
mod read;
mod read_partitions;
mod read_replicas;
mod records;

pub use document::{RegistryDocument, RegistryFault};
pub use read::read_registry;
pub use read_replicas::check_listeners;
pub use records::{PartitionView, RegistrationError};

use super::{
    name::NameTrie,
    service::{PartitionTable, ReplicaRole, Service, ServiceKind},
};
use crate::net::background::BackgroundRuntime;
use arc_swap::ArcSwap;
use document::{AddressSpec, PartitionSpec, ReplicaSpec, ServiceSpec};
use read_replicas::is_replica_id;
use records::{PartitionRecord, RegistryRecords};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often registrations are checked for their end.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(200);

/// A registry.
#[derive(Debug)]
pub struct Registry {
    names: ArcSwap<NameTrie<Arc<Service>>>,
    records: Mutex<RegistryRecords>,
    /// New with each process: versions of another epoch are older than all.
    epoch: Box<str>,
    /// Counts the changes of partitions.
    changes: watch::Sender<u64>,
    background: BackgroundRuntime,
}

/// What a replica registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// `None`: an instance of a stateless service.
    pub role: Option<ReplicaRole>,
    pub address: AddressSpec,
    pub node: Box<str>,
    /// `None`: until it is removed.
    pub ttl: Option<Duration>,
}

impl Registry {
    /// An empty registry, whose registrations end on `background`.
    pub fn new(background: BackgroundRuntime) -> Registry {
        Registry {
            names: ArcSwap::default(),
            records: Mutex::default(),
            epoch: format!("{:016x}", fastrand::u64(..)).into(),
            changes: watch::Sender::new(0),
            background,
        }
    }

    /// The services by name.
    pub fn names(&self) -> arc_swap::Guard<Arc<NameTrie<Arc<Service>>>> {
        self.names.load()
    }

    /// The file as it was applied last.
    pub fn document(&self) -> Arc<RegistryDocument> {
        self.records().document.clone()
    }

    /// The identity of this process in versions.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The counter of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The number of partitions.
    pub fn partition_count(&self) -> usize {
        self.records().partitions.len()
    }

    fn records(&self) -> MutexGuard<'_, RegistryRecords> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Applies a file: it replaces what the last one contained of partitions that differ; registered replicas stay.
    pub fn apply(&self, document: &Arc<RegistryDocument>) {
        let mut records = self.records();
        let old = records.document.clone();
        if Arc::ptr_eq(&old, document) || *old == **document {
            return;
        }
        let specs = old.services().flat_map(|service| &service.partitions);
        let specs: HashMap<&str, &PartitionSpec> = specs.map(|spec| (&*spec.id, spec)).collect();
        let names = self.names.load_full();
        let (mut trie, mut partitions) = (NameTrie::default(), HashMap::new());
        for spec in document.services() {
            let known = names.get(&spec.name).filter(|service| service.kind() == Some(spec.kind));
            let service = apply_service(spec, known, &specs, &mut records.partitions, &mut partitions);
            trie.insert(&spec.name, service);
        }
        records.partitions = partitions;
        records.document = document.clone();
        // Freed by the next change, so that no worker drops the last reference.
        records.retired = Some(names);
        self.names.store(Arc::new(trie));
        drop(records);
        self.notify();
    }

    /// Registers a replica, or renews its registration. A second primary makes the first a secondary.
    pub fn register(
        self: &Arc<Self>,
        (service, partition): (&str, &str),
        id: &str,
        registration: Registration,
    ) -> Result<(), RegistrationError> {
        let expires_at = registration.ttl.map(|ttl| Instant::now() + ttl);
        let mut records = self.records();
        let record = records.find(service, partition)?;
        let role = match (record.service.kind(), registration.role) {
            (Some(ServiceKind::Stateless), None) => ReplicaRole::Instance,
            (Some(ServiceKind::Stateful), Some(role)) => role,
            _ => return Err(RegistrationError::BadRole),
        };
        if !is_replica_id(id) {
            return Err(RegistrationError::BadReplicaId);
        }
        let spec =
            ReplicaSpec { id: id.into(), role, node: registration.node, address: registration.address };
        let is_changed = record.upsert(spec, expires_at)?;
        let starts = expires_at.is_some() && records.expect_expiry(partition);
        drop(records);
        if starts {
            self.background.spawn(expire_task(Arc::downgrade(self)));
        }
        if is_changed {
            self.notify();
        }
        Ok(())
    }

    /// Removes a replica.
    pub fn deregister(&self, (service, partition): (&str, &str), id: &str) -> Result<(), RegistrationError> {
        self.records().find(service, partition)?.remove(id)?;
        self.notify();
        Ok(())
    }

    /// Makes a replica the primary, and the primary a secondary.
    pub fn swap_primary(
        &self,
        (service, partition): (&str, &str),
        id: &str,
    ) -> Result<(), RegistrationError> {
        self.records().find(service, partition)?.promote(id)?;
        self.notify();
        Ok(())
    }

    /// A partition by its id.
    pub fn partition(&self, id: &str) -> Option<PartitionView> {
        self.records().partitions.get(id).map(PartitionRecord::view)
    }

    /// Removes the replicas whose registration has ended; whether some are left that will end.
    fn expire(&self, now: Instant) -> bool {
        let mut records = self.records();
        let (is_changed, is_left) = records.expire(now);
        drop(records);
        if is_changed {
            self.notify();
        }
        is_left
    }
}

/// The service of a specification, with the state of its partitions.
fn apply_service(
    spec: &ServiceSpec,
    known: Option<&Arc<Service>>,
    old: &HashMap<&str, &PartitionSpec>,
    records: &mut HashMap<Arc<str>, PartitionRecord>,
    partitions: &mut HashMap<Arc<str>, PartitionRecord>,
) -> Arc<Service> {
    let service = known
        .cloned()
        .unwrap_or_else(|| Arc::new(Service::new(&spec.name, Some(spec.kind), PartitionTable::default())));
    let mut entries = Vec::with_capacity(spec.partitions.len());
    for part in &spec.partitions {
        let same = |record: &PartitionRecord| {
            Arc::ptr_eq(&record.service, &service) && record.partition.info == part.info
        };
        let record = match records.remove(&*part.id).filter(same) {
            Some(mut record) => {
                if old.get(&*part.id).is_none_or(|old| old.replicas != part.replicas) {
                    record.replace_listed(&part.replicas);
                }
                record
            }
            None => PartitionRecord::new(&service, part),
        };
        entries.push(record.partition.clone());
        partitions.insert(record.partition.id.clone(), record);
    }
    let is_same = {
        let table = service.partitions.load();
        table.entries().len() == entries.len()
            && table.entries().iter().zip(&entries).all(|(one, other)| Arc::ptr_eq(one, other))
    };
    if !is_same || known.is_none() {
        service.partitions.store(Arc::new(PartitionTable::new(entries, true)));
    }
    service
}

/// Ends registrations as long as there are some that end.
async fn expire_task(registry: Weak<Registry>) {
    loop {
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        match registry.upgrade() {
            Some(registry) if registry.expire(Instant::now()) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
