//! `ConcurrencyLimitOptions`: how many requests are under way at one time, in all or for each key; a few more may
//! wait for their turn, for a while.

use super::partition::{Key, Keyer, Keys, Part, list};
use crate::{
    base::keyed::Keyed,
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        lease::Lease,
        stage::{Stage, Step},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub const NAME: &str = "concurrency-limit";

/// How a gate is cut, so that workers rarely meet.
const SHARDS: usize = 16;

/// One limit, as the blueprint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests under way at one time.
    pub limit: usize,
    /// Requests that wait beside them.
    pub queue: usize,
    /// How long they do.
    pub wait: Duration,
    pub parts: Vec<Part>,
    /// Under which places are kept; equal names share them.
    pub name: String,
}

/// All gates of the process.
#[derive(Debug, Default)]
pub struct Gates {
    keys: Keys,
    gates: Keyed<String, Gate>,
}

/// The places of one limit, for each of its keys.
#[derive(Debug)]
struct Gate([Keyed<Key, Places>; SHARDS]);

/// The places of one key; they live as long as somebody has one, waits for one, or the limit is for all alike.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    fn new(limit: usize) -> Places {
        Places {
            free: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place in the queue, unless it is full.
    fn queue(self: &Arc<Self>, most: usize) -> Option<Queued> {
        let grown = |n: usize| (n < most).then_some(n + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(Queued(self.clone()))
    }
}

/// A place in the queue, given back by being dropped.
#[derive(Debug)]
struct Queued(Arc<Places>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A place, and what keeps its kind alive.
struct Taken {
    _permit: OwnedSemaphorePermit,
    _places: Arc<Places>,
}

impl Taken {
    fn lease(permit: OwnedSemaphorePermit, places: Arc<Places>) -> Lease {
        Lease::new(Taken { _permit: permit, _places: places })
    }
}

/// Lets so many requests through at one time.
#[derive(Debug)]
pub struct Concurrency {
    settings: Settings,
    keyer: Keyer,
    gate: Arc<Gate>,
    /// The places of all, where requests are not told apart.
    single: Option<Arc<Places>>,
}

impl Concurrency {
    pub fn new(settings: &Settings, gates: &Gates) -> Concurrency {
        // A limit of another size begins with places of its own: those who are under way count for the old one.
        let name = format!("{}|{}", settings.name, settings.limit);
        let keyer = gates.keys.of(&name, &settings.parts);
        let gate = gates.gates.get(name, || Gate(Default::default()));
        let single = keyer.is_single().then(|| gate.places(Key([0, 0]), settings.limit));
        Concurrency { settings: settings.clone(), keyer, gate, single }
    }

    fn places(&self, x: &Exchange) -> Arc<Places> {
        match &self.single {
            Some(places) => places.clone(),
            None => {
                let key = self.keyer.key(x).unwrap_or(Key([0, 0]));
                self.gate.places(key, self.settings.limit)
            }
        }
    }

    fn full(&self) -> Cause {
        let detail = format!("{} requests are under way and no more may wait", self.settings.limit);
        Cause::new(Why::LimitConcurrency, detail).with(again)
    }

    fn wait(&self, queued: Queued) -> Step {
        let wait = self.settings.wait;
        Step::Wait(Box::pin(async move {
            let turn = tokio::time::timeout(wait, queued.0.free.clone().acquire_owned()).await;
            let places = queued.0.clone();
            drop(queued);
            match turn {
                Ok(Ok(permit)) => Step::Resume(Box::new(|x| {
                    x.leases.push(Taken::lease(permit, places));
                    Step::Next
                })),
                _ => {
                    let detail = format!("no turn came within {wait:?}");
                    Step::Fail(Cause::new(Why::LimitQueue, detail).with(again))
                }
            }
        }))
    }
}

/// Nobody knows when there will be a place; a second is polite.
fn again(more: &mut crate::pipeline::cause::Extra) {
    more.fields.push(("Retry-After".into(), "1".into()));
}

impl Gate {
    fn places(&self, key: Key, limit: usize) -> Arc<Places> {
        self.0[key.0[0] as usize % SHARDS].get(key, || Places::new(limit))
    }
}

impl Stage for Concurrency {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let places = self.places(x);
        if x.dry {
            let free = places.free.available_permits() > 0;
            return if free { Step::Next } else { Step::Fail(self.full()) };
        }
        if let Ok(permit) = places.free.clone().try_acquire_owned() {
            x.leases.push(Taken::lease(permit, places));
            return Step::Next;
        }
        match places.queue(self.settings.queue) {
            Some(queued) => self.wait(queued),
            None => Step::Fail(self.full()),
        }
    }

    fn describe(&self) -> String {
        let Settings { limit, queue, wait, parts, .. } = &self.settings;
        let by = if parts.is_empty() { String::new() } else { format!(" by {}", list(parts)) };
        format!("{limit} at one time{by}, {queue} may wait {wait:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn exchange(from: &str) -> Exchange {
        let from = from.parse().expect("address");
        Exchange::new(Peer::new(from, from, false), 0, Instant::now())
    }

    fn settings(limit: usize, queue: usize, parts: Vec<Part>) -> Settings {
        Settings { limit, queue, wait: Duration::from_secs(5), parts, name: "r".into() }
    }

    async fn settle(stage: &Concurrency, x: &mut Exchange) -> Option<Why> {
        let mut step = stage.request(x);
        loop {
            step = match step {
                Step::Next => return None,
                Step::Fail(cause) => return Some(cause.why),
                Step::Wait(wait) => wait.await,
                Step::Resume(resume) => resume(x),
                Step::Reply(_) | Step::Body(_) => panic!("no reply expected"),
            }
        }
    }

    #[tokio::test]
    async fn so_many_at_one_time_and_a_dropped_exchange_gives_its_place_back() {
        let stage = Concurrency::new(&settings(2, 0, vec![]), &Gates::default());
        let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
        assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
        assert_eq!(settle(&stage, &mut c).await, Some(Why::LimitConcurrency));
        drop(a);
        assert_eq!(settle(&stage, &mut c).await, None);
        b.renew(Instant::now());
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:4")).await, None);
    }

    #[tokio::test]
    async fn each_key_has_places_of_its_own_and_they_are_forgotten_with_their_last_user() {
        let stage = Concurrency::new(&settings(1, 0, vec![Part::Ip]), &Gates::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("2.2.2.2:1"));
        assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, Some(Why::LimitConcurrency));
        drop(a);
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_may_wait_for_a_while_and_are_served_in_their_turn() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &Gates::default());
        let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
        assert_eq!(settle(&stage, &mut a).await, None);
        let Step::Wait(wait) = stage.request(&mut b) else { panic!("b waits") };
        assert_eq!(settle(&stage, &mut c).await, Some(Why::LimitConcurrency), "the queue is full");
        drop(a);
        let Step::Resume(resume) = wait.await else { panic!("b is served") };
        assert!(matches!(resume(&mut b), Step::Next));
        assert_eq!(b.leases.len(), 1);
        let begun = tokio::time::Instant::now();
        assert_eq!(settle(&stage, &mut c).await, Some(Why::LimitQueue));
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        drop(b);
        assert_eq!(settle(&stage, &mut c).await, None);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_leaves_no_trace() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &Gates::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"));
        assert_eq!(settle(&stage, &mut a).await, None);
        drop(stage.request(&mut b));
        let Step::Wait(_) = stage.request(&mut b) else { panic!("the place in the queue is free again") };
        drop(a);
        assert_eq!(settle(&stage, &mut b).await, None);
    }

    #[tokio::test]
    async fn a_new_plan_with_the_same_limit_goes_on_counting() {
        let gates = Gates::default();
        let (old, mut a) = (Concurrency::new(&settings(1, 0, vec![]), &gates), exchange("1.1.1.1:1"));
        assert_eq!(settle(&old, &mut a).await, None);
        let new = Concurrency::new(&settings(1, 0, vec![]), &gates);
        drop(old);
        assert_eq!(settle(&new, &mut exchange("1.1.1.1:2")).await, Some(Why::LimitConcurrency));
    }

    #[test]
    fn never_more_than_the_limit_are_through_whatever_threads_do() {
        let gates = Gates::default();
        let stage = Concurrency::new(&settings(3, 0, vec![Part::Ip]), &gates);
        let (now, worst) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hammer = || {
            for _ in 0..2000 {
                let mut x = exchange("1.1.1.1:1");
                if let Step::Next = stage.request(&mut x) {
                    worst.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                    now.fetch_sub(1, Relaxed);
                }
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(hammer))));
        assert!((1..=3).contains(&worst.load(Relaxed)), "{worst:?}");
    }
}
