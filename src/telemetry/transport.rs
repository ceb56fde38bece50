//! Connections and UDP sessions that are forwarded as they are, by route.

use super::histogram::{HistogramTotals, LocalHistogram};
use super::registry::Registry;
use super::roles::RoleMetrics;
use super::shard::{LocalCounter, Shards};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The side that bytes or datagrams were sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedTo {
    Service,
    Client,
}

impl ForwardedTo {
    /// Both sides, in the order they are exported.
    pub const ALL: [ForwardedTo; 2] = [ForwardedTo::Service, ForwardedTo::Client];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            ForwardedTo::Service => "service",
            ForwardedTo::Client => "client",
        }
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A limit of sessions.
    Sessions,
    /// The kernel took no more.
    Full,
    /// Too long for the other side.
    Long,
    /// The client is not admitted.
    Denied,
    /// There is no endpoint.
    NoEndpoint,
}

impl DropReason {
    /// All reasons, in the order they are exported.
    pub const ALL: [DropReason; 5] = [
        DropReason::Sessions,
        DropReason::Full,
        DropReason::Long,
        DropReason::Denied,
        DropReason::NoEndpoint,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Sessions => "sessions",
            DropReason::Full => "full",
            DropReason::Long => "long",
            DropReason::Denied => "denied",
            DropReason::NoEndpoint => "none",
        }
    }
}

/// The counters of one worker, in a separate cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Shard {
    bytes: [LocalCounter; 2],
    datagrams: [LocalCounter; 2],
    dropped: [LocalCounter; 5],
    connect: LocalHistogram,
}

/// The counters of one transport route.
#[derive(Debug)]
pub struct TransportMetrics {
    label: Box<str>,
    /// Open connections and sessions; also the count of `MaxConnections`.
    pub open: AtomicUsize,
    shards: Shards<Shard>,
    /// By the reason of the end.
    ended: Mutex<BTreeMap<&'static str, u64>>,
    retries: AtomicU64,
}

/// The totals of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportTotals {
    pub bytes: [u64; 2],
    pub datagrams: [u64; 2],
    pub dropped: [u64; 5],
    /// The times to connect.
    pub connect: HistogramTotals,
}

/// The metrics of all transport routes and of roles.
#[derive(Debug)]
pub struct TransportTable {
    routes: Registry<TransportMetrics>,
    workers: usize,
    pub roles: RoleMetrics,
}

impl TransportTable {
    pub(super) fn new(workers: usize) -> TransportTable {
        TransportTable { routes: Registry::default(), workers, roles: RoleMetrics::default() }
    }

    /// The handle of a route; equal labels share one handle.
    pub fn route(&self, label: &str) -> Arc<TransportMetrics> {
        self.routes.get_or_insert_with(label, || TransportMetrics::new(label, self.workers))
    }

    /// Removes all routes whose label is not in the set; open connections keep their handle.
    pub fn remove_absent(&self, live: &HashSet<&str>) {
        self.routes.remove_absent(live);
    }

    pub(super) fn routes(&self) -> Vec<Arc<TransportMetrics>> {
        self.routes.handles()
    }
}

impl TransportMetrics {
    fn new(label: &str, workers: usize) -> TransportMetrics {
        TransportMetrics {
            label: label.into(),
            open: AtomicUsize::new(0),
            shards: Shards::new(workers),
            ended: Mutex::default(),
            retries: AtomicU64::new(0),
        }
    }

    /// The label of the route.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Adds forwarded bytes.
    pub fn add_bytes(&self, worker: usize, to: ForwardedTo, bytes: u64) {
        if let Some(shard) = self.shards.of(worker) {
            shard.bytes[to as usize].add(bytes);
        }
    }

    /// Adds a forwarded datagram and its bytes.
    pub fn add_datagram(&self, worker: usize, to: ForwardedTo, bytes: u64) {
        if let Some(shard) = self.shards.of(worker) {
            shard.bytes[to as usize].add(bytes);
            shard.datagrams[to as usize].add(1);
        }
    }

    /// Counts a datagram that was dropped.
    pub fn drop_datagram(&self, worker: usize, reason: DropReason) {
        if let Some(shard) = self.shards.of(worker) {
            shard.dropped[reason as usize].add(1);
        }
    }

    /// Counts a connection or session that ended, or was refused after its route was found.
    pub fn end(&self, end: &'static str) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner).entry(end).or_default() += 1;
    }

    /// Counts an attempt at another endpoint.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Records the time of all attempts, up to a connection.
    pub fn connected(&self, worker: usize, duration: Duration) {
        if let Some(shard) = self.shards.of(worker) {
            shard.connect.record(duration, false);
        }
    }

    /// The totals of all workers.
    pub fn totals(&self) -> TransportTotals {
        let mut totals = TransportTotals::default();
        for shard in self.shards.iter() {
            let add = |to: &mut [u64], from: &[LocalCounter]| {
                to.iter_mut().zip(from).for_each(|(sum, counter)| *sum += counter.get());
            };
            add(&mut totals.bytes, &shard.bytes);
            add(&mut totals.datagrams, &shard.datagrams);
            add(&mut totals.dropped, &shard.dropped);
            shard.connect.add_to(&mut totals.connect);
        }
        totals
    }

    pub(super) fn ends(&self) -> Vec<(&'static str, u64)> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().map(|(end, count)| (*end, *count)).collect()
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }
}
