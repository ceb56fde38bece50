//! The counts of all limits: one store for the process, bounded, exact across workers, emptied of what is over.
//!
//! A count is 48 bytes whatever its key was. The store is cut into many shards, each behind a lock of its own that is
//! held for some nanoseconds and never over anything that waits: what a window must decide (restart, count, first
//! excess) is more than fits into one atomic number. Keys say which rule they belong to, so counts outlive plans.

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

/// How the store is cut; enough for a shard to stay small and for workers to rarely meet.
const SHARDS: usize = 256;
/// Counts in one shard at most: two millions in all, about 200 MiB.
const MAX_ENTRIES_PER_SHARD: usize = 8192;
/// Counts that are looked at when a full shard has to give one up.
const EVICTION_SCAN: usize = 16;
/// A shard is swept every so many rounds; a round is one call of [`Counters::sweep`].
pub const SWEEP_INTERVAL: usize = 16;

/// One count. What the numbers mean is the algorithm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    pub window_start: u64,
    pub exceeded: u64,
    pub count: u64,
    /// From then on the count says nothing any more: a new one would say the same.
    pub expires_at: u64,
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

/// All counts of the process.
#[derive(Debug)]
pub struct CounterStore {
    /// Times are nanoseconds since then.
    epoch: Instant,
    /// That moment as Unix time in nanoseconds, corrected now and then.
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
    fn new(most: usize) -> CounterStore {
        let counters = CounterStore {
            epoch: Instant::now(),
            wall_offset: AtomicU64::new(0),
            keys: PartitionKeys::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_entries: most,
            sweep_position: AtomicU64::new(0),
        };
        counters.sync_wall_clock(counters.epoch, SystemTime::now());
        counters
    }

    /// A moment on the clock of the counters.
    pub fn instant_to_nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// A moment as Unix time in nanoseconds.
    pub fn to_unix_nanos(&self, at: u64) -> u64 {
        self.wall_offset.load(Relaxed).saturating_add(at)
    }

    /// Says what time it is for others: clocks are set now and then.
    pub fn sync_wall_clock(&self, now: Instant, wall: SystemTime) {
        let unix = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        self.wall_offset.store(unix.saturating_sub(self.instant_to_nanos(now)), Relaxed);
    }

    /// Replaces the count under the key by what is made of it, at one stroke; `keep` false only looks.
    pub fn count<T>(
        &self,
        key: Key,
        now: u64,
        keep: bool,
        count: impl FnOnce(Option<Counter>) -> (Counter, T),
    ) -> T {
        let mut shard = self.shard(key);
        if !keep {
            return count(shard.get(&HashedKey(key)).copied()).1;
        }
        if shard.len() >= self.max_entries && !shard.contains_key(&HashedKey(key)) {
            evict_one(&mut shard, now);
        }
        match shard.entry(HashedKey(key)) {
            Entry::Occupied(mut place) => {
                let (cell, said) = count(Some(*place.get()));
                place.insert(cell);
                said
            }
            Entry::Vacant(place) => {
                let (cell, said) = count(None);
                place.insert(cell);
                said
            }
        }
    }

    /// Changes a count that is there.
    pub fn update_existing(&self, key: Key, change: impl FnOnce(Counter) -> Counter) {
        if let Some(cell) = self.shard(key).get_mut(&HashedKey(key)) {
            *cell = change(*cell);
        }
    }

    /// Forgets what is over in one part of the store, and gives back memory; after [`ROUNDS`] calls all was looked at.
    pub fn sweep(&self, now: u64) {
        let round = self.sweep_position.fetch_add(1, Relaxed) as usize % SWEEP_INTERVAL;
        for shard in self.shards.iter().skip(round).step_by(SWEEP_INTERVAL) {
            let mut shard = lock(shard);
            shard.retain(|_, cell| cell.expires_at > now);
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                let room = shard.len() * 2;
                shard.shrink_to(room);
            }
        }
    }

    /// How many counts there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.0[0] as usize % SHARDS])
    }
}

/// Sweeps for as long as somebody holds the counters: every part of the store once in [`ROUNDS`] seconds.
pub async fn sweep_task(counters: Weak<CounterStore>, clock: Clock) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(counters) = counters.upgrade() else { return };
        let now = clock.now();
        counters.sweep(counters.instant_to_nanos(now));
        counters.sync_wall_clock(now, clock.unix_time());
    }
}

/// Takes out what is over; where nothing is, the one of a few that will be over first: it had the least to say.
fn evict_one(shard: &mut Shard, now: u64) {
    let before = shard.len();
    // Only a few at a time, so that a flood of strangers does not make every request walk through a whole shard.
    let few = shard.iter().take(EVICTION_SCAN).map(|(place, cell)| (*place, cell.expires_at));
    let few: smallvec::SmallVec<[(HashedKey, u64); EVICTION_SCAN]> = few.collect();
    for (place, _) in few.iter().filter(|(_, ends)| *ends <= now) {
        shard.remove(place);
    }
    if shard.len() == before
        && let Some((place, _)) = few.iter().min_by_key(|(_, ends)| *ends)
    {
        shard.remove(place);
    }
}

/// A panic elsewhere must not take the counts away.
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

    fn hit(counters: &CounterStore, key: Key, window: &FixedWindow, now: u64) -> bool {
        counters.count(key, now, true, |cell| window.try_acquire(cell, now)).admitted
    }

    #[test]
    fn a_key_hammered_by_many_threads_is_admitted_exactly_as_often_as_the_limit_says_in_every_window() {
        let counters = CounterStore::default();
        let window = FixedWindow { limit: 1000, period: 10 * S, penalty: 0 };
        let key = Key([1, 2]);
        for round in 0..3 {
            let hammer = || (0..500).filter(|_| hit(&counters, key, &window, round * 10 * S)).count();
            let admitted: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..64).map(|_| scope.spawn(hammer)).collect();
                threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
            });
            assert_eq!(admitted, 1000, "window {round}");
        }
    }

    #[test]
    fn what_is_over_is_swept_away_and_what_is_not_stays() {
        let counters = CounterStore::default();
        let state = RandomState::new();
        let short = FixedWindow { limit: 1, period: S, penalty: 0 };
        let long = FixedWindow { limit: 1, period: 100 * S, penalty: 0 };
        assert!((0..1000).all(|n| hit(&counters, key(&state, n), &short, 0)));
        assert!((1000..1010).all(|n| hit(&counters, key(&state, n), &long, 0)));
        (0..SWEEP_INTERVAL).for_each(|_| counters.sweep(S));
        assert_eq!(counters.len(), 10);
        assert!(!hit(&counters, key(&state, 1000), &long, 2 * S), "still counted");
    }

    #[test]
    fn a_full_store_gives_up_what_ends_first_and_stays_bounded() {
        let counters = CounterStore::new(8);
        let state = RandomState::new();
        let window = FixedWindow { limit: 1, period: S, penalty: 0 };
        assert!((0..100_000).all(|n| hit(&counters, key(&state, n), &window, n)));
        assert!(counters.len() <= 8 * SHARDS, "{}", counters.len());
    }

    /// Resident memory of the process in bytes.
    fn resident() -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 = pages.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
        pages * 4096
    }

    #[test]
    fn a_million_keys_take_less_than_256_mib_and_idle_ones_are_forgotten() {
        let counters = CounterStore::default();
        let state = RandomState::new();
        let window = FixedWindow { limit: 1, period: 60 * S, penalty: 0 };
        let before = resident();
        assert!((0..1_000_000).all(|n| hit(&counters, key(&state, n), &window, n)));
        let grown = resident().saturating_sub(before);
        assert_eq!(counters.len(), 1_000_000);
        assert!(grown <= 256 << 20, "{} MiB", grown >> 20);
        assert!((0..1000).all(|n| !hit(&counters, key(&state, n), &window, S)), "none was given up");
        (0..SWEEP_INTERVAL).for_each(|_| counters.sweep(61 * S));
        assert_eq!(counters.len(), 0);
        let room: usize = counters.shards.iter().map(|shard| lock(shard).capacity()).sum();
        assert!(room < 64 * SHARDS, "{room}");
    }

    #[test]
    fn looking_changes_nothing() {
        let counters = CounterStore::default();
        let window = FixedWindow { limit: 1, period: S, penalty: 0 };
        let look =
            |now| counters.count(Key([3, 4]), now, false, |cell| window.try_acquire(cell, now)).admitted;
        assert!(look(0) && look(0));
        assert!(counters.is_empty());
    }

    #[test]
    fn a_moment_is_told_in_the_time_of_the_wall_and_clocks_may_be_set() {
        let counters = CounterStore::default();
        let later = counters.epoch + Duration::from_secs(5);
        counters.sync_wall_clock(later, UNIX_EPOCH + Duration::from_secs(1_000_000));
        assert_eq!(counters.to_unix_nanos(7 * S), 1_000_002 * S);
        assert_eq!(counters.instant_to_nanos(later), 5 * S);
    }
}
