//! `ConcurrencyLimitOptions`: a maximum of concurrent requests, in all or for each key, with a queue (nginx's `limit_conn`,
//! Envoy's circuit breaker thresholds). The slots in use outlive a reload.

mod compile;
mod options;

pub use options::{ConcurrencyLimitDocument, ConcurrencyLimitOptions, GlobalConcurrencyLimitOptions};

use super::partition_key::{Key, KeyBuilder, KeyPart, PartitionKeys, format_list};
use crate::{
    base::weak_map::WeakMap,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        guard::ResponseGuard,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
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
pub struct ConcurrencyLimitConfig {
    /// Requests under way at one time.
    pub limit: usize,
    /// Requests that wait beside them.
    pub queue: usize,
    /// How long they do.
    pub queue_timeout: Duration,
    pub partition_by: Vec<KeyPart>,
    /// Under which places are kept; equal names share them.
    pub name: String,
}

impl StageConfig for Vec<ConcurrencyLimitConfig> {
    type State = ConcurrencyLimiters;

    fn build(&self, state: &Self::State, _: &BuildContext) -> Vec<BoxStage> {
        self.iter().map(|limit| Box::new(Concurrency::new(limit, state)) as BoxStage).collect()
    }
}

/// All gates of the process.
#[derive(Debug, Default)]
pub struct ConcurrencyLimiters {
    keys: PartitionKeys,
    gates: WeakMap<String, Limiter>,
}

/// The places of one limit, for each of its keys.
#[derive(Debug)]
struct Limiter([WeakMap<Key, Slots>; SHARDS]);

/// The places of one key; they live as long as somebody has one, waits for one, or the limit is for all alike.
#[derive(Debug)]
struct Slots {
    available: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Slots {
    fn new(limit: usize) -> Slots {
        Slots {
            available: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place in the queue, unless it is full.
    fn queue(self: &Arc<Self>, most: usize) -> Option<QueueGuard> {
        let grown = |n: usize| (n < most).then_some(n + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(QueueGuard(self.clone()))
    }
}

/// A place in the queue, given back by being dropped.
#[derive(Debug)]
struct QueueGuard(Arc<Slots>);

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A place, and what keeps its kind alive.
struct SlotGuard {
    _permit: OwnedSemaphorePermit,
    _places: Arc<Slots>,
}

impl SlotGuard {
    fn into_guard(permit: OwnedSemaphorePermit, places: Arc<Slots>) -> ResponseGuard {
        ResponseGuard::new(SlotGuard { _permit: permit, _places: places })
    }
}

/// Lets so many requests through at one time.
#[derive(Debug)]
pub struct Concurrency {
    settings: ConcurrencyLimitConfig,
    keyer: KeyBuilder,
    limiter: Arc<Limiter>,
    /// The places of all, where requests are not told apart.
    single: Option<Arc<Slots>>,
}

impl Concurrency {
    pub fn new(settings: &ConcurrencyLimitConfig, gates: &ConcurrencyLimiters) -> Concurrency {
        // A limit of another size begins with places of its own: those who are under way count for the old one.
        let name = format!("{}|{}", settings.name, settings.limit);
        let keyer = gates.keys.of(&name, &settings.partition_by);
        let limiter = gates.gates.get_or_insert_with(name, || Limiter(Default::default()));
        let single = keyer.is_single().then(|| limiter.slots(Key([0, 0]), settings.limit));
        Concurrency { settings: settings.clone(), keyer, limiter, single }
    }

    fn slots(&self, exchange: &Exchange) -> Arc<Slots> {
        match &self.single {
            Some(places) => places.clone(),
            None => {
                let key = self.keyer.key(exchange).unwrap_or(Key([0, 0]));
                self.limiter.slots(key, self.settings.limit)
            }
        }
    }

    fn queue_full(&self) -> GatewayError {
        let detail = format!("{} requests are under way and no more may wait", self.settings.limit);
        GatewayError::new(ErrorCode::LimitConcurrency, detail).with_details(retry_after)
    }

    fn queue_timeout(&self, queued: QueueGuard) -> Step {
        let wait = self.settings.queue_timeout;
        Step::Suspend(Box::pin(async move {
            let turn = tokio::time::timeout(wait, queued.0.available.clone().acquire_owned()).await;
            let places = queued.0.clone();
            drop(queued);
            match turn {
                Ok(Ok(permit)) => Step::ResumeAt(Box::new(|x| {
                    x.response.guards.push(SlotGuard::into_guard(permit, places));
                    Step::Next
                })),
                _ => {
                    let detail = format!("no turn came within {wait:?}");
                    Step::Fail(
                        GatewayError::new(ErrorCode::LimitQueueTimeout, detail).with_details(retry_after),
                    )
                }
            }
        }))
    }
}

/// Nobody knows when there will be a place; a second is polite.
fn retry_after(more: &mut crate::pipeline::error::ErrorDetails) {
    more.headers.push(("Retry-After".into(), "1".into()));
}

impl Limiter {
    fn slots(&self, key: Key, limit: usize) -> Arc<Slots> {
        self.0[key.0[0] as usize % SHARDS].get_or_insert_with(key, || Slots::new(limit))
    }
}

impl Stage for Concurrency {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let places = self.slots(exchange);
        if exchange.is_dry_run {
            let free = places.available.available_permits() > 0;
            return if free { Step::Next } else { Step::Fail(self.queue_full()) };
        }
        if let Ok(permit) = places.available.clone().try_acquire_owned() {
            exchange.response.guards.push(SlotGuard::into_guard(permit, places));
            return Step::Next;
        }
        match places.queue(self.settings.queue) {
            Some(queued) => self.queue_timeout(queued),
            None => Step::Fail(self.queue_full()),
        }
    }

    fn describe(&self) -> String {
        let ConcurrencyLimitConfig { limit, queue, queue_timeout: wait, partition_by: parts, .. } =
            &self.settings;
        let by = if parts.is_empty() { String::new() } else { format!(" by {}", format_list(parts)) };
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

    fn settings(limit: usize, queue: usize, parts: Vec<KeyPart>) -> ConcurrencyLimitConfig {
        ConcurrencyLimitConfig {
            limit,
            queue,
            queue_timeout: Duration::from_secs(5),
            partition_by: parts,
            name: "r".into(),
        }
    }

    async fn settle(stage: &Concurrency, exchange: &mut Exchange) -> Option<ErrorCode> {
        let mut step = stage.on_request(exchange);
        loop {
            step = match step {
                Step::Next => return None,
                Step::Fail(cause) => return Some(cause.why),
                Step::Suspend(wait) => wait.await,
                Step::ResumeAt(resume) => resume(exchange),
                Step::Respond(_) | Step::ReadBody(_) => panic!("no reply expected"),
            }
        }
    }

    #[tokio::test]
    async fn so_many_at_one_time_and_a_dropped_exchange_gives_its_place_back() {
        let stage = Concurrency::new(&settings(2, 0, vec![]), &ConcurrencyLimiters::default());
        let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
        assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
        assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitConcurrency));
        drop(a);
        assert_eq!(settle(&stage, &mut c).await, None);
        b.reset(Instant::now());
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:4")).await, None);
    }

    #[tokio::test]
    async fn each_key_has_places_of_its_own_and_they_are_forgotten_with_their_last_user() {
        let stage = Concurrency::new(&settings(1, 0, vec![KeyPart::Ip]), &ConcurrencyLimiters::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("2.2.2.2:1"));
        assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
        drop(a);
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_may_wait_for_a_while_and_are_served_in_their_turn() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default());
        let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
        assert_eq!(settle(&stage, &mut a).await, None);
        let Step::Suspend(wait) = stage.on_request(&mut b) else { panic!("b waits") };
        assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitConcurrency), "the queue is full");
        drop(a);
        let Step::ResumeAt(resume) = wait.await else { panic!("b is served") };
        assert!(matches!(resume(&mut b), Step::Next));
        assert_eq!(b.response.guards.len(), 1);
        let begun = tokio::time::Instant::now();
        assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitQueueTimeout));
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        drop(b);
        assert_eq!(settle(&stage, &mut c).await, None);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_leaves_no_trace() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"));
        assert_eq!(settle(&stage, &mut a).await, None);
        drop(stage.on_request(&mut b));
        let Step::Suspend(_) = stage.on_request(&mut b) else {
            panic!("the place in the queue is free again")
        };
        drop(a);
        assert_eq!(settle(&stage, &mut b).await, None);
    }

    #[tokio::test]
    async fn a_new_plan_with_the_same_limit_goes_on_counting() {
        let gates = ConcurrencyLimiters::default();
        let (old, mut a) = (Concurrency::new(&settings(1, 0, vec![]), &gates), exchange("1.1.1.1:1"));
        assert_eq!(settle(&old, &mut a).await, None);
        let new = Concurrency::new(&settings(1, 0, vec![]), &gates);
        drop(old);
        assert_eq!(settle(&new, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
    }

    #[test]
    fn never_more_than_the_limit_are_through_whatever_threads_do() {
        let gates = ConcurrencyLimiters::default();
        let stage = Concurrency::new(&settings(3, 0, vec![KeyPart::Ip]), &gates);
        let (now, worst) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hammer = || {
            for _ in 0..2000 {
                let mut x = exchange("1.1.1.1:1");
                if let Step::Next = stage.on_request(&mut x) {
                    worst.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                    now.fetch_sub(1, Relaxed);
                }
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(hammer))));
        assert!((1..=3).contains(&worst.load(Relaxed)), "{worst:?}");
    }
}
