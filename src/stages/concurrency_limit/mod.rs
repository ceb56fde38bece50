//! `ConcurrencyLimitOptions`: a maximum of concurrent requests, in total or for each key, with a queue.
//!
//! - Elsewhere: nginx's `limit_conn`, Envoy's circuit breaker thresholds, ASP.NET's concurrency limiter.
//! - Entry point: [`Concurrency`], the stage; after authorization, so that only permitted requests occupy a slot.
//! - Callers: the table of stages builds it; `compile` checks the options.
//! - Owns: the slots and queues of each limit ([`ConcurrencyLimiters`]); a slot is held until the response body ends.
//! - Outlives a reload: the slots in use, found again by the name of the limit.

mod compile;
mod options;
mod queue;

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
use queue::{Queue, QueueGuard};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "concurrency-limit";

/// Shards of the table of keys, against lock contention between workers.
const SHARDS: usize = 16;

/// One limit, as the blueprint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimitConfig {
    /// Maximum number of requests in flight.
    pub limit: usize,
    /// Maximum number of queued requests, in addition.
    pub queue: usize,
    /// Maximum time in the queue.
    pub queue_timeout: Duration,
    pub partition_by: Vec<KeyPart>,
    /// The name of the limiter; equal names share its slots.
    pub name: String,
}

impl StageConfig for Vec<ConcurrencyLimitConfig> {
    type State = ConcurrencyLimiters;

    fn build(&self, state: &Self::State, _: &BuildContext) -> Vec<BoxStage> {
        self.iter().map(|limit| Box::new(Concurrency::new(limit, state)) as BoxStage).collect()
    }
}

/// All limiters of the process.
#[derive(Debug, Default)]
pub struct ConcurrencyLimiters {
    keys: PartitionKeys,
    limiters: WeakMap<String, Limiter>,
}

/// The slots of one limit by key.
#[derive(Debug)]
struct Limiter([WeakMap<Key, Slots>; SHARDS]);

/// The slots of one key; dropped when no request uses or waits for one (with a key; unpartitioned slots stay).
#[derive(Debug)]
struct Slots {
    /// In the order of arrival.
    available: Arc<Semaphore>,
    queue: Arc<Queue>,
}

impl Slots {
    fn new(limit: usize) -> Slots {
        Slots {
            available: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            queue: Arc::default(),
        }
    }
}

/// A slot; it keeps the slots of its key alive.
struct SlotGuard {
    _permit: OwnedSemaphorePermit,
    _slots: Arc<Slots>,
}

impl SlotGuard {
    fn into_guard(permit: OwnedSemaphorePermit, slots: Arc<Slots>) -> ResponseGuard {
        ResponseGuard::new(SlotGuard { _permit: permit, _slots: slots })
    }
}

/// The stage.
#[derive(Debug)]
pub struct Concurrency {
    settings: ConcurrencyLimitConfig,
    key_builder: KeyBuilder,
    limiter: Arc<Limiter>,
    /// The slots of an unpartitioned limit.
    single: Option<Arc<Slots>>,
}

impl Concurrency {
    /// Continues with the slots of the previous plan, unless the limit changed.
    pub fn new(settings: &ConcurrencyLimitConfig, limiters: &ConcurrencyLimiters) -> Concurrency {
        // A changed limit starts with new slots: requests in flight count for the old one.
        let name = format!("{}|{}", settings.name, settings.limit);
        let key_builder = limiters.keys.builder(&name, &settings.partition_by);
        let limiter = limiters.limiters.get_or_insert_with(name, || Limiter(Default::default()));
        let single = key_builder.is_single().then(|| limiter.slots(Key([0, 0]), settings.limit));
        Concurrency { settings: settings.clone(), key_builder, limiter, single }
    }

    fn slots(&self, exchange: &Exchange) -> Arc<Slots> {
        match &self.single {
            Some(slots) => slots.clone(),
            None => {
                let key = self.key_builder.key(exchange).unwrap_or(Key([0, 0]));
                self.limiter.slots(key, self.settings.limit)
            }
        }
    }

    fn wait_for_slot(&self, slots: Arc<Slots>, position: QueueGuard) -> Step {
        let ConcurrencyLimitConfig { limit, queue_timeout, .. } = self.settings;
        Step::Suspend(Box::pin(async move {
            let acquiring = tokio::time::timeout(queue_timeout, slots.available.clone().acquire_owned());
            let acquired = tokio::select! {
                biased;
                acquired = acquiring => acquired,
                () = position.evicted() => return Step::Fail(queue_full(limit)),
            };
            drop(position);
            match acquired {
                Ok(Ok(permit)) => Step::ResumeAt(Box::new(|exchange| {
                    exchange.response.guards.push(SlotGuard::into_guard(permit, slots));
                    Step::Next
                })),
                _ => {
                    let detail = format!("no request slot became available within {queue_timeout:?}");
                    Step::Fail(
                        GatewayError::new(ErrorCode::LimitQueueTimeout, detail).with_details(add_retry_after),
                    )
                }
            }
        }))
    }
}

fn queue_full(limit: usize) -> GatewayError {
    let detail = format!("{limit} requests are in flight, and the queue is full");
    GatewayError::new(ErrorCode::LimitConcurrency, detail).with_details(add_retry_after)
}

/// `Retry-After: 1`: when a slot becomes available is unknown.
fn add_retry_after(details: &mut crate::pipeline::error::ErrorDetails) {
    details.headers.push(("Retry-After".into(), "1".into()));
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
        let slots = self.slots(exchange);
        if exchange.is_dry_run {
            let is_free = slots.available.available_permits() > 0;
            return if is_free { Step::Next } else { Step::Fail(queue_full(self.settings.limit)) };
        }
        if let Ok(permit) = slots.available.clone().try_acquire_owned() {
            exchange.response.guards.push(SlotGuard::into_guard(permit, slots));
            return Step::Next;
        }
        match slots.queue.enter(exchange.client.ip.into(), self.settings.queue) {
            Some(position) => self.wait_for_slot(slots, position),
            None => Step::Fail(queue_full(self.settings.limit)),
        }
    }

    fn describe(&self) -> String {
        let ConcurrencyLimitConfig { limit, queue, queue_timeout, partition_by: parts, .. } = &self.settings;
        let by = if parts.is_empty() { String::new() } else { format!(" by {}", format_list(parts)) };
        format!("{limit} in flight{by}, {queue} may wait {queue_timeout:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Instant,
    };

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
                Step::Fail(cause) => return Some(cause.code),
                Step::Suspend(queue_timeout) => queue_timeout.await,
                Step::ResumeAt(resume) => resume(exchange),
                Step::Respond(_) | Step::ReadBody(_) => panic!("unexpected step"),
            }
        }
    }

    #[tokio::test]
    async fn a_dropped_exchange_releases_its_slot() {
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
    async fn each_key_has_its_own_slots() {
        let stage = Concurrency::new(&settings(1, 0, vec![KeyPart::Ip]), &ConcurrencyLimiters::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("2.2.2.2:1"));
        assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
        drop(a);
        assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn queued_requests_are_served_or_time_out() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default());
        let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
        assert_eq!(settle(&stage, &mut a).await, None);
        let Step::Suspend(queue_timeout) = stage.on_request(&mut b) else { panic!("b waits") };
        assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitConcurrency), "the queue is full");
        drop(a);
        let Step::ResumeAt(resume) = queue_timeout.await else { panic!("b is served") };
        assert!(matches!(resume(&mut b), Step::Next));
        assert_eq!(b.response.guards.len(), 1);
        let started = tokio::time::Instant::now();
        assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitQueueTimeout));
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        drop(b);
        assert_eq!(settle(&stage, &mut c).await, None);
    }

    #[tokio::test]
    async fn queued_requests_are_served_in_the_order_of_their_arrival() {
        let stage = Concurrency::new(&settings(1, 3, vec![]), &ConcurrencyLimiters::default());
        let mut first = exchange("1.1.1.1:1");
        assert_eq!(settle(&stage, &mut first).await, None);
        let waiting: Vec<_> =
            (2..5).map(|port| stage.on_request(&mut exchange(&format!("1.1.1.1:{port}")))).collect();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks = waiting.into_iter().enumerate().map(|(at, step)| {
            let order = order.clone();
            tokio::spawn(async move {
                let Step::Suspend(wait) = step else { panic!("{at} waits") };
                let Step::ResumeAt(_slot) = wait.await else { panic!("{at} is served") };
                order.lock().expect("the order").push(at);
            })
        });
        let tasks: Vec<_> = tasks.collect();
        tokio::task::yield_now().await;
        drop(first);
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.lock().expect("the order"), [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_dropped_request_leaves_the_queue() {
        let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default());
        let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"));
        assert_eq!(settle(&stage, &mut a).await, None);
        drop(stage.on_request(&mut b));
        let Step::Suspend(_) = stage.on_request(&mut b) else {
            panic!("expected a free position in the queue")
        };
        drop(a);
        assert_eq!(settle(&stage, &mut b).await, None);
    }

    #[tokio::test]
    async fn a_new_plan_with_the_same_limit_shares_its_slots() {
        let limiters = ConcurrencyLimiters::default();
        let (old, mut a) = (Concurrency::new(&settings(1, 0, vec![]), &limiters), exchange("1.1.1.1:1"));
        assert_eq!(settle(&old, &mut a).await, None);
        let new = Concurrency::new(&settings(1, 0, vec![]), &limiters);
        drop(old);
        assert_eq!(settle(&new, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
    }

    #[test]
    fn the_limit_is_exact_across_threads() {
        let limiters = ConcurrencyLimiters::default();
        let stage = Concurrency::new(&settings(3, 0, vec![KeyPart::Ip]), &limiters);
        let (now, highest) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let send_requests = || {
            for _ in 0..2000 {
                let mut exchange = exchange("1.1.1.1:1");
                if let Step::Next = stage.on_request(&mut exchange) {
                    highest.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                    now.fetch_sub(1, Relaxed);
                }
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(send_requests))));
        assert!((1..=3).contains(&highest.load(Relaxed)), "{highest:?}");
    }
}
