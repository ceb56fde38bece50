//! What is kept of the partitions of a cluster.

use super::answers::ResolvedPartition;
use crate::backend::fabric::{
    address::ReplicaAddress,
    registry::document::MAX_PARTITIONS,
    service::{Partition, PartitionSnapshot, PartitionTable, Replica, ReplicaState, Service},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// After which time without a request a partition is forgotten.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(600);

/// Held while the table of a service changes.
static TABLE_CHANGE: Mutex<()> = Mutex::new(());

/// Applies a response about a service; whether it changed anything.
pub(super) fn apply_resolved(service: &Arc<Service>, resolved: ResolvedPartition) -> bool {
    let _guard = TABLE_CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    let table = service.partitions.load_full();
    let known = table.entries().iter().find(|entry| *entry.id == *resolved.id && entry.info == resolved.info);
    let before = known.map(|partition| partition.snapshot());
    let replicas: Vec<Replica> =
        resolved.replicas.iter().map(|(role, address)| replica(*role, address, before.as_deref())).collect();
    service.learn_kind(&replicas);
    let is_changed = before.as_ref().is_none_or(|before| {
        before.token != resolved.version
            || before.replicas.len() != replicas.len()
            || before
                .replicas
                .iter()
                .zip(&replicas)
                .any(|(old, new)| old.role != new.role || !Arc::ptr_eq(&old.state, &new.state))
    });
    let version = before.as_ref().map_or(1, |before| before.version + u64::from(is_changed));
    let snapshot = PartitionSnapshot {
        replicas: replicas.into(),
        version,
        token: resolved.version,
        confirmed_at: Instant::now(),
    };
    if let Some(partition) = known {
        partition.set_snapshot(snapshot);
        return is_changed;
    }
    let partition = Arc::new(Partition::new((*resolved.id).into(), resolved.info, snapshot));
    let others = table.entries().iter().filter(|other| !overlaps(other, &partition)).cloned();
    let entries: Vec<Arc<Partition>> = others.chain([partition.clone()]).collect();
    service.partitions.store(Arc::new(PartitionTable::new(entries, false)));
    true
}

/// Whether two partitions cannot be partitions of one service at the same time.
fn overlaps(one: &Partition, other: &Partition) -> bool {
    use crate::backend::fabric::partition::PartitionInfo::{Int64Range, Named};
    match (&one.info, &other.info) {
        (Int64Range(one), Int64Range(other)) => one.low <= other.high && other.low <= one.high,
        (Named(one), Named(other)) => one == other,
        _ => true,
    }
}

/// A replica; what is known about the same address is kept.
fn replica(
    role: crate::backend::fabric::service::ReplicaRole,
    address: &str,
    before: Option<&PartitionSnapshot>,
) -> Replica {
    let known = before.and_then(|before| {
        let has_address =
            |replica: &&Replica| replica.address.as_ref().is_some_and(|own| *own.text == *address);
        before.replicas.iter().find(has_address)
    });
    match known {
        Some(known) => Replica { role, ..known.clone() },
        None => Replica {
            id: "".into(),
            role,
            address: Some(Arc::new(ReplicaAddress::parse(address))),
            state: Arc::new(ReplicaState::default()),
        },
    }
}

/// Forgets partitions without a request, and beyond the maximum those that were used least recently; returns how many
/// are kept.
pub(super) fn remove_unused(services: &[Arc<Service>], now_ms: u64) -> usize {
    let unused_ms = u64::try_from(UNUSED_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let mut oldest_ms = now_ms.saturating_sub(unused_ms);
    let mut used: Vec<u64> = Vec::new();
    for service in services {
        used.extend(service.partitions.load().entries().iter().map(|entry| entry.last_used_ms()));
    }
    if used.len() > MAX_PARTITIONS {
        let (_, at, _) = used.select_nth_unstable_by(MAX_PARTITIONS, |one, other| other.cmp(one));
        oldest_ms = oldest_ms.max(*at + 1);
    }
    let mut kept = 0;
    for service in services {
        let _guard = TABLE_CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
        let table = service.partitions.load_full();
        let entries: Vec<_> =
            table.entries().iter().filter(|entry| entry.last_used_ms() >= oldest_ms).cloned().collect();
        kept += entries.len();
        if entries.len() < table.entries().len() {
            service.partitions.store(Arc::new(PartitionTable::new(entries, false)));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fabric::{
        partition::{KeyRange, PartitionInfo, PartitionKey},
        service::{PartitionMatch, ReplicaRole, ServiceKind},
    };

    fn resolved(id: &str, low: i64, high: i64, address: &str, version: &str) -> ResolvedPartition {
        ResolvedPartition {
            id: id.into(),
            info: PartitionInfo::Int64Range(KeyRange { low, high }),
            replicas: vec![(ReplicaRole::Primary, address.into())],
            version: version.into(),
        }
    }

    fn service() -> Arc<Service> {
        Arc::new(Service::new("A/S", None, PartitionTable::default()))
    }

    fn find(service: &Arc<Service>, key: i64) -> Option<Arc<Partition>> {
        match service.partitions.load().find(&PartitionKey::Int64(key)) {
            PartitionMatch::Known(partition) => Some(partition),
            _ => None,
        }
    }

    #[test]
    fn a_partition_serves_all_keys_of_its_range() {
        let service = service();
        assert!(apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "1")));
        assert_eq!(service.kind(), Some(ServiceKind::Stateful));
        assert!(find(&service, 9).is_some() && find(&service, 10).is_none());
        assert!(matches!(service.partitions.load().find(&PartitionKey::None), PartitionMatch::BadKey));
    }

    #[test]
    fn the_version_grows_with_every_change_and_what_is_known_about_an_address_stays() {
        let service = service();
        apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "1"));
        let (partition, before) = (find(&service, 0).unwrap(), find(&service, 0).unwrap().snapshot());
        assert!(!apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "1")));
        assert_eq!(partition.version(), 1);
        assert!(apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "2")));
        assert!(Arc::ptr_eq(&partition.snapshot().replicas[0].state, &before.replicas[0].state));
        assert!(apply_resolved(&service, resolved("a", 0, 9, "http://h:2", "3")));
        assert_eq!(partition.version(), 3);
        assert!(!Arc::ptr_eq(&partition.snapshot().replicas[0].state, &before.replicas[0].state));
    }

    #[test]
    fn a_new_division_replaces_the_partitions_that_it_overlaps() {
        let service = service();
        apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "1"));
        apply_resolved(&service, resolved("b", 10, 19, "http://h:1", "1"));
        apply_resolved(&service, resolved("c", 0, 4, "http://h:1", "1"));
        assert!(find(&service, 4).is_some() && find(&service, 5).is_none() && find(&service, 10).is_some());
    }

    #[test]
    fn partitions_without_a_request_are_forgotten() {
        let service = service();
        apply_resolved(&service, resolved("a", 0, 9, "http://h:1", "1"));
        let used = find(&service, 0).unwrap().last_used_ms();
        assert_eq!(remove_unused(std::slice::from_ref(&service), used + 599_000), 1);
        assert_eq!(remove_unused(std::slice::from_ref(&service), used + 601_000), 0);
        assert!(find(&service, 0).is_none());
    }
}
