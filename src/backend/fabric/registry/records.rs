//! What the registry knows about each partition: the replicas of the file and those that registered.

use super::document::{MAX_REPLICAS, PartitionSpec, RegistryDocument, ReplicaSpec};
use crate::backend::fabric::{
    name::NameTrie,
    partition::PartitionInfo,
    service::{Partition, PartitionSnapshot, Replica, ReplicaRole, ReplicaState, Service},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    PartitionMissing,
    ReplicaMissing,
    /// A replica needs a role, an instance has none.
    BadRole,
    BadReplicaId,
    TooManyReplicas,
}

/// A partition for the naming interface.
#[derive(Clone, Debug)]
pub struct PartitionView {
    pub service: Arc<Service>,
    pub partition: Arc<Partition>,
    /// The nodes of its replicas, in their order.
    pub nodes: Vec<Box<str>>,
}

impl PartitionView {
    /// The key range or the name.
    pub fn info(&self) -> &PartitionInfo {
        &self.partition.info
    }
}

/// The records of all partitions.
#[derive(Debug, Default)]
pub(super) struct RegistryRecords {
    pub document: Arc<RegistryDocument>,
    /// By id.
    pub partitions: HashMap<Arc<str>, PartitionRecord>,
    /// The partitions with registrations that end.
    expiring: HashSet<Arc<str>>,
    /// The services before the last change.
    pub retired: Option<Arc<NameTrie<Arc<Service>>>>,
}

/// The record of a partition.
#[derive(Debug)]
pub(super) struct PartitionRecord {
    pub service: Arc<Service>,
    pub partition: Arc<Partition>,
    replicas: Vec<ReplicaRecord>,
}

/// A replica, and where it comes from.
#[derive(Debug)]
struct ReplicaRecord {
    spec: ReplicaSpec,
    replica: Replica,
    source: ReplicaSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplicaSource {
    File,
    /// Registered; until then, or until it is removed.
    Registered(Option<Instant>),
}

impl RegistryRecords {
    /// The record of a partition of a service.
    pub fn find(
        &mut self,
        service: &str,
        partition: &str,
    ) -> Result<&mut PartitionRecord, RegistrationError> {
        let record = self.partitions.get_mut(partition).ok_or(RegistrationError::PartitionMissing)?;
        if *record.service.name != *service {
            return Err(RegistrationError::PartitionMissing);
        }
        Ok(record)
    }

    /// Remembers that a registration of the partition ends; whether it is the first one.
    pub fn expect_expiry(&mut self, partition: &str) -> bool {
        let is_first = self.expiring.is_empty();
        if !self.expiring.contains(partition) {
            self.expiring.insert(partition.into());
        }
        is_first
    }

    /// Removes the replicas whose registration has ended; whether there was one, and whether some are left that will end.
    pub fn expire(&mut self, now: Instant) -> (bool, bool) {
        let (mut is_changed, partitions) = (false, &mut self.partitions);
        self.expiring.retain(|id| {
            let Some(record) = partitions.get_mut(id) else { return false };
            is_changed |= record.expire(now);
            record.replicas.iter().any(|replica| matches!(replica.source, ReplicaSource::Registered(Some(_))))
        });
        (is_changed, !self.expiring.is_empty())
    }
}

impl ReplicaRecord {
    fn new(spec: ReplicaSpec, source: ReplicaSource) -> ReplicaRecord {
        let replica = Replica {
            id: (*spec.id).into(),
            role: spec.role,
            address: spec.address.parse().map(Arc::new),
            state: Arc::new(ReplicaState::default()),
        };
        ReplicaRecord { spec, replica, source }
    }

    fn set_role(&mut self, role: ReplicaRole) {
        (self.spec.role, self.replica.role) = (role, role);
    }
}

impl PartitionRecord {
    /// A partition with the replicas of the file.
    pub fn new(service: &Arc<Service>, spec: &PartitionSpec) -> PartitionRecord {
        let from_file = |spec: &ReplicaSpec| ReplicaRecord::new(spec.clone(), ReplicaSource::File);
        let replicas: Vec<ReplicaRecord> = spec.replicas.iter().map(from_file).collect();
        let snapshot = snapshot(&replicas, 1);
        let partition = Arc::new(Partition::new((*spec.id).into(), spec.info.clone(), snapshot));
        PartitionRecord { service: service.clone(), partition, replicas }
    }

    /// Replaces the replicas of the file.
    pub fn replace_listed(&mut self, listed: &[ReplicaSpec]) {
        let mut old: Vec<ReplicaRecord> = std::mem::take(&mut self.replicas);
        let has_primary = old.iter().any(|record| {
            record.source != ReplicaSource::File && record.replica.role == ReplicaRole::Primary
        });
        for spec in listed {
            let known = old.iter().position(|record| record.spec.id == spec.id);
            let mut record = match known.map(|at| old.swap_remove(at)) {
                Some(record) if record.source != ReplicaSource::File || record.spec == *spec => record,
                _ => ReplicaRecord::new(spec.clone(), ReplicaSource::File),
            };
            if record.source == ReplicaSource::File
                && has_primary
                && record.replica.role == ReplicaRole::Primary
            {
                record.set_role(ReplicaRole::Secondary);
            }
            self.replicas.push(record);
        }
        self.replicas.extend(old.into_iter().filter(|record| record.source != ReplicaSource::File));
        self.publish();
    }

    /// Adds or replaces a registered replica; whether anything but its end changed.
    pub fn upsert(
        &mut self,
        spec: ReplicaSpec,
        expires_at: Option<Instant>,
    ) -> Result<bool, RegistrationError> {
        let source = ReplicaSource::Registered(expires_at);
        let count = self.replicas.len();
        match self.replicas.iter_mut().find(|record| record.spec.id == spec.id) {
            Some(record) if record.spec == spec => {
                record.source = source;
                return Ok(false);
            }
            Some(record) => {
                let is_same_place = record.spec.address == spec.address;
                let (address, state) = (record.replica.address.clone(), record.replica.state.clone());
                *record = ReplicaRecord::new(spec.clone(), source);
                if is_same_place {
                    (record.replica.address, record.replica.state) = (address, state);
                }
            }
            None if count >= MAX_REPLICAS => return Err(RegistrationError::TooManyReplicas),
            None => self.replicas.push(ReplicaRecord::new(spec.clone(), source)),
        }
        if spec.role == ReplicaRole::Primary {
            self.demote_others(&spec.id);
        }
        self.publish();
        Ok(true)
    }

    /// Removes a replica.
    pub fn remove(&mut self, id: &str) -> Result<(), RegistrationError> {
        let count = self.replicas.len();
        self.replicas.retain(|record| *record.spec.id != *id);
        if self.replicas.len() == count {
            return Err(RegistrationError::ReplicaMissing);
        }
        self.publish();
        Ok(())
    }

    /// Makes a replica the primary.
    pub fn promote(&mut self, id: &str) -> Result<(), RegistrationError> {
        let record = self.replicas.iter_mut().find(|record| *record.spec.id == *id);
        let record = record.ok_or(RegistrationError::ReplicaMissing)?;
        if record.replica.role == ReplicaRole::Instance {
            return Err(RegistrationError::BadRole);
        }
        record.set_role(ReplicaRole::Primary);
        self.demote_others(id);
        self.publish();
        Ok(())
    }

    fn demote_others(&mut self, primary: &str) {
        let others = self.replicas.iter_mut().filter(|record| *record.spec.id != *primary);
        for record in others.filter(|record| record.replica.role == ReplicaRole::Primary) {
            record.set_role(ReplicaRole::Secondary);
        }
    }

    fn expire(&mut self, now: Instant) -> bool {
        let count = self.replicas.len();
        self.replicas.retain(|record| match record.source {
            ReplicaSource::Registered(Some(expires_at)) => expires_at > now,
            ReplicaSource::Registered(None) | ReplicaSource::File => true,
        });
        let is_changed = self.replicas.len() < count;
        if is_changed {
            self.publish();
        }
        is_changed
    }

    fn publish(&self) {
        self.partition.set_snapshot(snapshot(&self.replicas, self.partition.version() + 1));
    }

    /// The partition for the naming interface.
    pub fn view(&self) -> PartitionView {
        let node = |replica: &Replica| {
            let record = self.replicas.iter().find(|record| *record.spec.id == *replica.id);
            record.map_or_else(Box::default, |record| record.spec.node.clone())
        };
        PartitionView {
            service: self.service.clone(),
            partition: self.partition.clone(),
            nodes: self.partition.snapshot().replicas.iter().map(node).collect(),
        }
    }
}

/// The primary first, the others in the order in which they were added.
fn snapshot(records: &[ReplicaRecord], version: u64) -> PartitionSnapshot {
    let mut replicas: Vec<Replica> = records.iter().map(|record| record.replica.clone()).collect();
    replicas.sort_by_key(|replica| replica.role != ReplicaRole::Primary);
    PartitionSnapshot {
        replicas: replicas.into(),
        version,
        token: Box::default(),
        confirmed_at: Instant::now(),
    }
}
