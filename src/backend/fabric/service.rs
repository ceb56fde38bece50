//! Services, their partitions and replicas, as a resolver knows them.

use super::{
    address::ReplicaAddress,
    partition::{PartitionInfo, PartitionKey, PartitionKind},
    single_flight::SingleFlight,
};
use crate::backend::attempt::retry::Budget;
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long a replica that refused a connection is left out.
pub const LEFT_OUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Milliseconds of the process clock, for values that are stored in an atomic integer.
pub fn process_ms(now: Instant) -> u64 {
    static STARTED_AT: LazyLock<Instant> = LazyLock::new(Instant::now);
    // From 1: zero means never.
    u64::try_from(now.saturating_duration_since(*STARTED_AT).as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Whether the replicas of a service have roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    Stateless,
    Stateful,
}

impl ServiceKind {
    /// The name in the naming interface.
    pub fn name(self) -> &'static str {
        match self {
            ServiceKind::Stateless => "Stateless",
            ServiceKind::Stateful => "Stateful",
        }
    }

    /// The kind of exactly this name.
    pub fn by_name(name: &str) -> Option<ServiceKind> {
        [ServiceKind::Stateless, ServiceKind::Stateful].into_iter().find(|kind| kind.name() == name)
    }
}

/// The role of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaRole {
    Primary,
    Secondary,
    /// An instance of a stateless service.
    Instance,
}

impl ReplicaRole {
    /// The name in the access log.
    pub fn label(self) -> &'static str {
        match self {
            ReplicaRole::Primary => "primary",
            ReplicaRole::Secondary => "secondary",
            ReplicaRole::Instance => "instance",
        }
    }

    /// The kind of endpoint in the naming interface.
    pub fn endpoint_kind(self) -> &'static str {
        match self {
            ReplicaRole::Primary => "StatefulPrimary",
            ReplicaRole::Secondary => "StatefulSecondary",
            ReplicaRole::Instance => "Stateless",
        }
    }
}

/// What is known about a replica from requests.
#[derive(Debug, Default)]
pub struct ReplicaState {
    /// Until when it is left out, in milliseconds of the process; 0: it is not.
    left_out_until_ms: AtomicU64,
}

impl ReplicaState {
    /// Leaves the replica out, because it refused a connection.
    pub fn leave_out(&self, now_ms: u64) {
        let timeout_ms = u64::try_from(LEFT_OUT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        self.left_out_until_ms.store(now_ms.saturating_add(timeout_ms), Relaxed);
    }

    /// The replica accepted a connection.
    pub fn accept(&self) {
        if self.left_out_until_ms.load(Relaxed) != 0 {
            self.left_out_until_ms.store(0, Relaxed);
        }
    }

    /// Whether the replica is left out.
    pub fn is_left_out(&self, now_ms: u64) -> bool {
        self.left_out_until_ms.load(Relaxed) > now_ms
    }
}

/// A replica or an instance.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Empty: the resolver does not report it.
    pub id: Arc<str>,
    pub role: ReplicaRole,
    /// `None`: it reports no address yet.
    pub address: Option<Arc<ReplicaAddress>>,
    pub state: Arc<ReplicaState>,
}

/// A partition at one moment.
#[derive(Clone, Debug)]
pub struct PartitionSnapshot {
    /// The primary first.
    pub replicas: Box<[Replica]>,
    /// Grows with every change.
    pub version: u64,
    /// The version as the naming interface has it.
    pub token: Box<str>,
    /// When the resolver confirmed it.
    pub confirmed_at: Instant,
}

/// A partition of a service.
#[derive(Debug)]
pub struct Partition {
    pub id: Arc<str>,
    pub info: PartitionInfo,
    snapshot: ArcSwap<PartitionSnapshot>,
    /// When it was used last, in milliseconds of the process.
    last_used_ms: AtomicU64,
    /// The look-up for something newer.
    pub refresh: SingleFlight,
}

impl Partition {
    /// A partition with its first snapshot.
    pub fn new(id: Arc<str>, info: PartitionInfo, snapshot: PartitionSnapshot) -> Partition {
        Partition {
            id,
            info,
            snapshot: ArcSwap::from_pointee(snapshot),
            last_used_ms: AtomicU64::new(process_ms(Instant::now())),
            refresh: SingleFlight::default(),
        }
    }

    /// The partition now.
    pub fn snapshot(&self) -> Arc<PartitionSnapshot> {
        self.snapshot.load_full()
    }

    /// The version now.
    pub fn version(&self) -> u64 {
        self.snapshot.load().version
    }

    /// Replaces the snapshot.
    pub fn set_snapshot(&self, snapshot: PartitionSnapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Records that a request uses the partition.
    pub fn touch(&self, now_ms: u64) {
        // A plain load avoids that workers write the same cache line for each request.
        if now_ms > self.last_used_ms.load(Relaxed) + 1000 {
            self.last_used_ms.store(now_ms, Relaxed);
        }
    }

    /// When it was used last, in milliseconds of the process.
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Relaxed)
    }
}

/// The partition of a key.
#[derive(Clone, Debug)]
pub enum PartitionMatch {
    Known(Arc<Partition>),
    /// The service has no such key.
    BadKey,
    /// The resolver may know one.
    Unknown,
}

/// The known partitions of a service.
#[derive(Debug, Default)]
pub struct PartitionTable {
    /// How the service is divided; `None`: not known yet.
    pub kind: Option<PartitionKind>,
    /// Whether all partitions are in the table.
    pub is_complete: bool,
    /// By low key or by name.
    entries: Box<[Arc<Partition>]>,
}

impl PartitionTable {
    /// A table of these partitions, in any order.
    pub fn new(mut entries: Vec<Arc<Partition>>, is_complete: bool) -> PartitionTable {
        entries.sort_by(|one, other| one.info.order(&other.info));
        let kind = entries.first().map(|entry| entry.info.kind());
        PartitionTable { kind, is_complete, entries: entries.into() }
    }

    /// The partitions, by low key or by name.
    pub fn entries(&self) -> &[Arc<Partition>] {
        &self.entries
    }

    /// The partition of a key.
    pub fn find(&self, key: &PartitionKey) -> PartitionMatch {
        if self.kind.is_some_and(|kind| kind != key.kind()) {
            return PartitionMatch::BadKey;
        }
        let at = match key {
            PartitionKey::None => 0,
            PartitionKey::Int64(key) => {
                let is_before = |entry: &Arc<Partition>| matches!(&entry.info, PartitionInfo::Int64Range(range) if range.high < *key);
                self.entries.partition_point(is_before)
            }
            PartitionKey::Named(key) => {
                let is_before =
                    |entry: &Arc<Partition>| matches!(&entry.info, PartitionInfo::Named(name) if name < key);
                self.entries.partition_point(is_before)
            }
        };
        match self.entries.get(at).filter(|entry| entry.info.contains(key)) {
            Some(entry) => PartitionMatch::Known(entry.clone()),
            None if self.is_complete => PartitionMatch::BadKey,
            None => PartitionMatch::Unknown,
        }
    }
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// The name without `fabric:/`.
    pub name: Arc<str>,
    kind: OnceLock<ServiceKind>,
    pub partitions: ArcSwap<PartitionTable>,
    /// The retry budget of the requests to the service.
    pub budget: Budget,
}

impl Service {
    /// A service; `kind` may be learned later.
    pub fn new(name: &str, kind: Option<ServiceKind>, partitions: PartitionTable) -> Service {
        Service {
            name: name.into(),
            kind: kind.map_or_else(OnceLock::new, OnceLock::from),
            partitions: ArcSwap::from_pointee(partitions),
            budget: Budget::default(),
        }
    }

    /// The kind, if it is known.
    pub fn kind(&self) -> Option<ServiceKind> {
        self.kind.get().copied()
    }

    /// Learns the kind from the roles of replicas, if it is not known.
    pub fn learn_kind(&self, replicas: &[Replica]) {
        if let Some(replica) = replicas.first() {
            self.kind.get_or_init(|| match replica.role {
                ReplicaRole::Instance => ServiceKind::Stateless,
                ReplicaRole::Primary | ReplicaRole::Secondary => ServiceKind::Stateful,
            });
        }
    }
}
