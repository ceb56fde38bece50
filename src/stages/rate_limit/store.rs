//! The counters of all limits: one store per process, bounded, exact across workers, swept periodically.
//!
//! An entry takes 48 bytes. The store is sharded; a lock is held for nanoseconds and never across a wait: the state of a
//! window (start, count, first excess) does not fit into one atomic number. Keys contain the name of the limit, so
//! counters outlive plans.

use super::super::partition_key::{Key, PartitionKeys};
use crate::base::clock::Clock;
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Shards, against lock contention; enough for small shards.
const SHARDS: usize = 256;
/// Maximum counters in one shard: two million in total, about 200 MiB.
const MAX_ENTRIES_PER_SHARD: usize = 8192;
/// Counters that are examined for an eviction from a full shard.
const EVICTION_SCAN: usize = 16;
/// A shard is swept in every `SWEEP_INTERVAL`th call of [`CounterStore::sweep`].
pub const SWEEP_INTERVAL: usize = 16;

/// One counter, in nanoseconds of the store's clock; the algorithm interprets the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    pub window_start_ns: u64,
    pub exceeded_at_ns: u64,
    pub count: u64,
    /// After this time the counter equals a new one and may be removed.
    pub expires_at_ns: u64,
}

/// Keys are hashes already.
#[derive(Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HashedKey(Key);

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0[1]);
    }
}

type Shard = HashMap<HashedKey, Counter, BuildHasherDefault<IdentityHasher>>;

/// All counters of the process.
#[derive(Debug)]
pub struct CounterStore {
    /// The origin of all times.
    epoch: Instant,
    /// `epoch` as Unix time in nanoseconds, synchronized periodically.
    wall_offset: AtomicU64,
    pub keys: PartitionKeys,
    shards: Box<[Mutex<Shard>]>,
    max_entries: usize,
    sweep_position: AtomicU64,
}

impl Default for CounterStore {
    fn default() -> Self {
        CounterStore::new(MAX_ENTRIES_PER_SHARD)
    }
}

impl CounterStore {
    fn new(max_entries: usize) -> CounterStore {
        let store = CounterStore {
            epoch: Instant::now(),
            wall_offset: AtomicU64::new(0),
            keys: PartitionKeys::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_entries,
            sweep_position: AtomicU64::new(0),
        };
        store.sync_wall_clock(store.epoch, SystemTime::now());
        store
    }

    /// The origin of all times.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Nanoseconds since `epoch`.
    pub fn instant_to_nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// A time of the store's clock as Unix time in nanoseconds.
    pub fn to_unix_nanos(&self, at: u64) -> u64 {
        self.wall_offset.load(Relaxed).saturating_add(at)
    }

    /// Synchronizes with the system clock, which may be set.
    pub fn sync_wall_clock(&self, now: Instant, unix_time: SystemTime) {
        let unix_ns = unix_time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        self.wall_offset.store(unix_ns.saturating_sub(self.instant_to_nanos(now)), Relaxed);
    }

    /// Updates the counter of a key atomically; with `keep` false nothing is stored (dry run).
    pub fn update<T>(
        &self,
        key: Key,
        now_ns: u64,
        keep: bool,
        update: impl FnOnce(Option<Counter>) -> (Counter, T),
    ) -> T {
        let mut shard = self.shard(key);
        if !keep {
            return update(shard.get(&HashedKey(key)).copied()).1;
        }
        if shard.len() >= self.max_entries && !shard.contains_key(&HashedKey(key)) {
            evict_one(&mut shard, now_ns);
        }
        match shard.entry(HashedKey(key)) {
            Entry::Occupied(mut slot) => {
                let (counter, result) = update(Some(*slot.get()));
                slot.insert(counter);
                result
            }
            Entry::Vacant(slot) => {
                let (counter, result) = update(None);
                slot.insert(counter);
                result
            }
        }
    }

    /// Changes an existing counter.
    pub fn update_existing(&self, key: Key, change: impl FnOnce(Counter) -> Counter) {
        if let Some(counter) = self.shard(key).get_mut(&HashedKey(key)) {
            *counter = change(*counter);
        }
    }

    /// Removes a counter; returns whether there was one.
    pub fn remove(&self, key: Key) -> bool {
        self.shard(key).remove(&HashedKey(key)).is_some()
    }

    /// Removes expired counters from a part of the store and releases memory; [`SWEEP_INTERVAL`] calls cover all shards.
    pub fn sweep(&self, now_ns: u64) {
        let position = self.sweep_position.fetch_add(1, Relaxed) as usize % SWEEP_INTERVAL;
        for shard in self.shards.iter().skip(position).step_by(SWEEP_INTERVAL) {
            let mut shard = lock(shard);
            shard.retain(|_, counter| counter.expires_at_ns > now_ns);
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                let capacity = shard.len() * 2;
                shard.shrink_to(capacity);
            }
        }
    }

    /// The number of counters.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether no counter is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.0[0] as usize % SHARDS])
    }
}

/// Sweeps as long as the store exists: each shard once in [`SWEEP_INTERVAL`] seconds.
pub async fn sweep_task(store: Weak<CounterStore>, clock: Clock) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(store) = store.upgrade() else { return };
        let now = clock.now();
        store.sweep(store.instant_to_nanos(now));
        store.sync_wall_clock(now, clock.unix_time());
    }
}

/// Removes expired counters among a few candidates, or the candidate that expires first.
fn evict_one(shard: &mut Shard, now_ns: u64) {
    let before = shard.len();
    // Only a few, so that a flood of new keys does not scan a whole shard for each request.
    let candidates = shard.iter().take(EVICTION_SCAN).map(|(slot, counter)| (*slot, counter.expires_at_ns));
    let candidates: smallvec::SmallVec<[(HashedKey, u64); EVICTION_SCAN]> = candidates.collect();
    for (slot, _) in candidates.iter().filter(|(_, expires_at_ns)| *expires_at_ns <= now_ns) {
        shard.remove(slot);
    }
    if shard.len() == before
        && let Some((slot, _)) = candidates.iter().min_by_key(|(_, expires_at_ns)| *expires_at_ns)
    {
        shard.remove(slot);
    }
}

/// Locks a shard, also after a panic elsewhere.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::rate_limit::fixed_window::FixedWindow;
    use std::hash::{BuildHasher, RandomState};

    const S: u64 = 1_000_000_000;

    fn key(state: &RandomState, n: u64) -> Key {
        Key([state.hash_one(n), state.hash_one(!n)])
    }

    fn hit(store: &CounterStore, key: Key, window: &FixedWindow, now: u64) -> bool {
        store.update(key, now, true, |counter| window.try_acquire(counter, now)).admitted
    }

    #[test]
    fn the_limit_of_a_key_is_exact_across_threads_in_every_window() {
        let store = CounterStore::default();
        let window = FixedWindow { limit: 1000, period_ns: 10 * S, penalty_ns: 0 };
        let key = Key([1, 2]);
        for position in 0..3 {
            let send_requests = || (0..500).filter(|_| hit(&store, key, &window, position * 10 * S)).count();
            let admitted: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..64).map(|_| scope.spawn(send_requests)).collect();
                threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
            });
            assert_eq!(admitted, 1000, "window {position}");
        }
    }

    #[test]
    fn expired_counters_are_swept() {
        let store = CounterStore::default();
        let state = RandomState::new();
        let short = FixedWindow { limit: 1, period_ns: S, penalty_ns: 0 };
        let long = FixedWindow { limit: 1, period_ns: 100 * S, penalty_ns: 0 };
        assert!((0..1000).all(|n| hit(&store, key(&state, n), &short, 0)));
        assert!((1000..1010).all(|n| hit(&store, key(&state, n), &long, 0)));
        (0..SWEEP_INTERVAL).for_each(|_| store.sweep(S));
        assert_eq!(store.len(), 10);
        assert!(!hit(&store, key(&state, 1000), &long, 2 * S), "still counted");
    }

    #[test]
    fn a_full_store_evicts_and_stays_bounded() {
        let store = CounterStore::new(8);
        let state = RandomState::new();
        let window = FixedWindow { limit: 1, period_ns: S, penalty_ns: 0 };
        assert!((0..100_000).all(|n| hit(&store, key(&state, n), &window, n)));
        assert!(store.len() <= 8 * SHARDS, "{}", store.len());
    }

    /// Resident memory of the process in bytes.
    fn resident() -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 = pages.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
        pages * 4096
    }

    #[test]
    fn a_million_keys_take_less_than_256_mib_and_idle_ones_are_removed() {
        let store = CounterStore::default();
        let state = RandomState::new();
        let window = FixedWindow { limit: 1, period_ns: 60 * S, penalty_ns: 0 };
        let before = resident();
        assert!((0..1_000_000).all(|n| hit(&store, key(&state, n), &window, n)));
        let grown = resident().saturating_sub(before);
        assert_eq!(store.len(), 1_000_000);
        assert!(grown <= 256 << 20, "{} MiB", grown >> 20);
        assert!((0..1000).all(|n| !hit(&store, key(&state, n), &window, S)), "none was evicted");
        (0..SWEEP_INTERVAL).for_each(|_| store.sweep(61 * S));
        assert_eq!(store.len(), 0);
        let capacity: usize = store.shards.iter().map(|shard| lock(shard).capacity()).sum();
        assert!(capacity < 64 * SHARDS, "{capacity}");
    }

    #[test]
    fn a_dry_run_stores_nothing() {
        let store = CounterStore::default();
        let window = FixedWindow { limit: 1, period_ns: S, penalty_ns: 0 };
        let look =
            |now| store.update(Key([3, 4]), now, false, |counter| window.try_acquire(counter, now)).admitted;
        assert!(look(0) && look(0));
        assert!(store.is_empty());
    }

    #[test]
    fn times_are_converted_to_the_system_clock() {
        let store = CounterStore::default();
        let later = store.epoch + Duration::from_secs(5);
        store.sync_wall_clock(later, UNIX_EPOCH + Duration::from_secs(1_000_000));
        assert_eq!(store.to_unix_nanos(7 * S), 1_000_002 * S);
        assert_eq!(store.instant_to_nanos(later), 5 * S);
    }
}
