//! The partitions of a service: those that `Partitioning` names, and what the file lists of them.

use super::{
    faults::Faults,
    raw::{RawPartition, RawPartitioning},
};
use crate::backend::fabric::partition::{KeyRange, PartitionInfo, PartitionKind};
use std::collections::BTreeSet;

/// The partitions that `Partitioning` names, by low key or by name.
pub(super) fn partition_infos(
    place: &str,
    raw: &RawPartitioning,
    listed: &[RawPartition],
    faults: &mut Faults,
) -> Vec<PartitionInfo> {
    let place = format!("{place}/Partitioning");
    let name = raw.kind.as_deref().unwrap_or("Singleton");
    match PartitionKind::by_name(name) {
        Some(PartitionKind::Singleton) => vec![PartitionInfo::Singleton],
        Some(PartitionKind::Named) => named(&place, &raw.names, faults),
        Some(PartitionKind::Int64Range) => ranges(&place, raw, listed, faults),
        None => {
            let message = format!("invalid Kind \"{name}\": must be Singleton, Int64Range or Named");
            faults.error(&format!("{place}/Kind"), message);
            Vec::new()
        }
    }
}

fn named(place: &str, names: &[String], faults: &mut Faults) -> Vec<PartitionInfo> {
    let unique: BTreeSet<&String> = names.iter().filter(|name| !name.is_empty()).collect();
    if unique.is_empty() || unique.len() < names.len() {
        let message = "invalid Names: must be at least one name, none of them empty or twice".to_owned();
        faults.error(&format!("{place}/Names"), message);
    }
    unique.into_iter().map(|name| PartitionInfo::Named(name.as_str().into())).collect()
}

fn ranges(
    place: &str,
    raw: &RawPartitioning,
    listed: &[RawPartition],
    faults: &mut Faults,
) -> Vec<PartitionInfo> {
    let keys = [("LowKey", &raw.low_key), ("HighKey", &raw.high_key)].map(|(name, key)| {
        let value = key.as_ref().and_then(|key| key.value());
        if value.is_none() {
            let message = format!("{name} of a range is missing or no integer of 64 bits");
            faults.error(&format!("{place}/{name}"), message);
        }
        value
    });
    let [Some(low), Some(high)] = keys else { return Vec::new() };
    let range = KeyRange { low, high };
    let Some(count) = &raw.count else { return listed_ranges(place, range, listed, faults) };
    let count = count.value().and_then(|count| u32::try_from(count).ok());
    let divided = count.and_then(|count| range.divide(count));
    let Some(divided) = divided else {
        let message =
            format!("invalid Count: must be between 1 and the number of keys, {}", range.width().max(0));
        faults.error(&format!("{place}/Count"), message);
        return Vec::new();
    };
    divided.take(super::document::MAX_PARTITIONS + 1).map(PartitionInfo::Int64Range).collect()
}

/// Without `Count` the listed partitions must cover the range, without gaps and overlaps.
fn listed_ranges(
    place: &str,
    range: KeyRange,
    listed: &[RawPartition],
    faults: &mut Faults,
) -> Vec<PartitionInfo> {
    let mut all: Vec<KeyRange> = listed.iter().filter_map(range_of).collect();
    all.sort_by_key(|range| range.low);
    let mut next = i128::from(range.low);
    let is_complete = all.iter().all(|part| {
        let follows = i128::from(part.low) == next && part.high >= part.low;
        next = i128::from(part.high) + 1;
        follows
    });
    if !is_complete || next != i128::from(range.high) + 1 {
        let message = format!(
            "the ranges of Partitions have gaps or overlaps: without Count they must cover {} to {}",
            range.low, range.high
        );
        faults.error(place, message);
    }
    all.into_iter().map(PartitionInfo::Int64Range).collect()
}

fn range_of(raw: &RawPartition) -> Option<KeyRange> {
    Some(KeyRange { low: raw.low_key.as_ref()?.value()?, high: raw.high_key.as_ref()?.value()? })
}

/// What the file lists of each partition, with its index; `None`: nothing.
pub(super) fn place_partitions(
    place: &str,
    infos: &[PartitionInfo],
    listed: Vec<RawPartition>,
    faults: &mut Faults,
) -> Vec<Option<(usize, RawPartition)>> {
    let mut placed: Vec<Option<(usize, RawPartition)>> = infos.iter().map(|_| None).collect();
    for (at, raw) in listed.into_iter().enumerate() {
        let place = format!("{place}/Partitions/{at}");
        let Some(index) = position(infos, &raw) else {
            if !infos.is_empty() {
                faults.error(&place, unknown_partition(infos));
            }
            continue;
        };
        match &mut placed[index] {
            Some((other, _)) => faults.error(&place, format!("the same partition as /Partitions/{other}")),
            slot => *slot = Some((at, raw)),
        }
    }
    placed
}

fn position(infos: &[PartitionInfo], raw: &RawPartition) -> Option<usize> {
    match infos.first()? {
        PartitionInfo::Singleton => (raw.name.is_none() && raw.low_key.is_none()).then_some(0),
        PartitionInfo::Named(_) => {
            let name = raw.name.as_deref()?;
            infos.iter().position(|info| matches!(info, PartitionInfo::Named(own) if **own == *name))
        }
        PartitionInfo::Int64Range(_) => {
            let range = range_of(raw)?;
            let is_before =
                |info: &PartitionInfo| matches!(info, PartitionInfo::Int64Range(own) if own.low < range.low);
            let at = infos.partition_point(is_before);
            infos.get(at).filter(|info| **info == PartitionInfo::Int64Range(range)).map(|_| at)
        }
    }
}

fn unknown_partition(infos: &[PartitionInfo]) -> String {
    match infos.first() {
        Some(PartitionInfo::Int64Range(_)) => {
            let ranges: Vec<String> = infos
                .iter()
                .take(8)
                .filter_map(|info| match info {
                    PartitionInfo::Int64Range(range) => Some(format!("{}-{}", range.low, range.high)),
                    _ => None,
                })
                .collect();
            format!(
                "LowKey and HighKey are no range of Partitioning, or leave gaps or overlaps: must be one of {}",
                ranges.join(", ")
            )
        }
        Some(PartitionInfo::Named(_)) => "Name is none of Partitioning.Names".to_owned(),
        _ => "a singleton has one partition, without Name and keys".to_owned(),
    }
}
