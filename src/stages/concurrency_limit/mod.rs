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
mod shared;

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
    state::{OnFailure, PerState, SharedState},
};
use queue::{Queue, QueueGuard};
use shared::{Refusal, SharedSlotGuard, SharedSlots, SlotCell, SlotKeeper};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
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
    /// Whether all gateways share the limit.
    pub is_shared: bool,
}

impl StageConfig for Vec<ConcurrencyLimitConfig> {
    type State = ConcurrencyLimiters;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        let stage = |limit| Box::new(Concurrency::new(limit, state, context.shared_state)) as BoxStage;
        self.iter().map(stage).collect()
    }
}

/// All limiters of the process.
#[derive(Debug, Default)]
pub struct ConcurrencyLimiters {
    keys: PartitionKeys,
    limiters: WeakMap<String, Limiter>,
    keepers: PerState<SlotKeeper>,
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
    /// The slots on the shared state, once a request used one.
    shared: SlotCell,
}

impl Slots {
    fn new(limit: usize) -> Slots {
        Slots {
            available: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            queue: Arc::default(),
            shared: SlotCell::new(),
        }
    }
}

/// A slot; it keeps the slots of its key alive.
struct SlotGuard {
    _permit: OwnedSemaphorePermit,
    _slots: Arc<Slots>,
    _shared: Option<SharedSlotGuard>,
}

/// The stage.
#[derive(Debug)]
pub struct Concurrency(Arc<Gate>);

/// A limit, and its slots.
#[derive(Debug)]
struct Gate {
    settings: ConcurrencyLimitConfig,
    key_builder: KeyBuilder,
    limiter: Arc<Limiter>,
    /// The slots of an unpartitioned limit.
    single: Option<Arc<Slots>>,
    /// Set if all gateways share the limit.
    keeper: Option<Arc<SlotKeeper>>,
}

impl Concurrency {
    /// Continues with the slots of the previous plan, unless the limit changed.
    pub fn new(
        settings: &ConcurrencyLimitConfig,
        limiters: &ConcurrencyLimiters,
        shared: Option<&Arc<SharedState>>,
    ) -> Concurrency {
        // A changed limit starts with new slots: requests in flight count for the old one.
        let name = format!("{}|{}", settings.name, settings.limit);
        let key_builder = limiters.keys.builder(&name, &settings.partition_by);
        let limiter = limiters.limiters.get_or_insert_with(name, || Limiter(Default::default()));
        let single = key_builder.is_single().then(|| limiter.slots(Key([0, 0]), settings.limit));
        let keeper = shared.filter(|_| settings.is_shared);
        let keeper =
            keeper.map(|state| limiters.keepers.get_or_insert_with(state, || SlotKeeper::start(state)));
        Concurrency(Arc::new(Gate { settings: settings.clone(), key_builder, limiter, single, keeper }))
    }
}

impl Gate {
    fn slots(&self, exchange: &Exchange) -> Arc<Slots> {
        match &self.single {
            Some(slots) => slots.clone(),
            None => {
                let key = self.key_builder.key(exchange).unwrap_or(Key([0, 0]));
                self.limiter.slots(key, self.settings.limit)
            }
        }
    }

    fn queue_full(&self) -> GatewayError {
        let detail = format!("{} requests are in flight, and the queue is full", self.settings.limit);
        GatewayError::new(ErrorCode::LimitConcurrency, detail).with_details(add_retry_after)
    }

    fn queue_timeout(&self) -> GatewayError {
        let detail = format!("no request slot became available within {:?}", self.settings.queue_timeout);
        GatewayError::new(ErrorCode::LimitQueueTimeout, detail).with_details(add_retry_after)
    }

    /// The error of a request without a shared slot; `None`: it is admitted without one.
    fn refusal_error(
        &self,
        refusal: Refusal,
        has_waited: bool,
        on_failure: OnFailure,
    ) -> Option<GatewayError> {
        match refusal {
            Refusal::Full if has_waited => Some(self.queue_timeout()),
            Refusal::Full => Some(self.queue_full()),
            Refusal::Unavailable => (on_failure == OnFailure::Refuse).then(state_unavailable),
        }
    }

    fn wait_for_slot(self: &Arc<Self>, slots: Arc<Slots>, position: QueueGuard) -> Step {
        let gate = self.clone();
        Step::Suspend(Box::pin(async move {
            let acquiring = slots.available.clone().acquire_owned();
            let acquired = tokio::select! {
                biased;
                acquired = tokio::time::timeout(gate.settings.queue_timeout, acquiring) => acquired,
                () = position.evicted() => return Step::Fail(gate.queue_full()),
            };
            drop(position);
            match acquired {
                Ok(Ok(permit)) => {
                    Step::ResumeAt(Box::new(move |exchange| gate.admit(exchange, permit, slots)))
                }
                _ => Step::Fail(gate.queue_timeout()),
            }
        }))
    }

    /// Admits a request that this gateway has a slot for: at once, or when it has a shared one too.
    fn admit(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        permit: OwnedSemaphorePermit,
        slots: Arc<Slots>,
    ) -> Step {
        let guard = SlotGuard { _permit: permit, _slots: slots.clone(), _shared: None };
        let Some(keeper) = &self.keeper else {
            exchange.response.guards.push(ResponseGuard::new(guard));
            return Step::Next;
        };
        let digest = || self.key_builder.digest(exchange).unwrap_or_default();
        let shared = keeper.slots(&slots.shared, self.settings.limit, digest);
        if let Some(slot) = shared.try_enter(exchange.now) {
            exchange.response.guards.push(ResponseGuard::new(SlotGuard { _shared: Some(slot), ..guard }));
            return Step::Next;
        }
        // Waiting for a slot of another gateway takes a position in the queue of this one.
        let position = slots.queue.enter(exchange.client.ip.into(), self.settings.queue);
        let (gate, keeper) = (self.clone(), keeper.clone());
        Step::Suspend(Box::pin(async move {
            match gate.wait_for_shared_slot(&keeper, &shared, position).await {
                Err(error) => Step::Fail(error),
                Ok(slot) => Step::ResumeAt(Box::new(move |exchange| {
                    let guard = SlotGuard { _shared: Some(slot), ..guard };
                    exchange.response.guards.push(ResponseGuard::new(guard));
                    Step::Next
                })),
            }
        }))
    }

    /// Waits until the gateways together have a slot for this one.
    async fn wait_for_shared_slot(
        &self,
        keeper: &Arc<SlotKeeper>,
        shared: &Arc<SharedSlots>,
        position: Option<QueueGuard>,
    ) -> Result<SharedSlotGuard, GatewayError> {
        let deadline = position.is_some().then(|| Instant::now() + self.settings.queue_timeout);
        let entered = tokio::select! {
            biased;
            entered = keeper.enter(shared.clone(), deadline) => entered,
            () = evicted(position.as_ref()) => return Err(self.queue_full()),
        };
        entered.or_else(|refusal| {
            let error = self.refusal_error(refusal, deadline.is_some(), keeper.state.on_failure());
            error.map_or_else(|| Ok(shared.enter_anyway()), Err)
        })
    }
}

/// Ready when the position was given to another client; never without a position.
async fn evicted(position: Option<&QueueGuard>) {
    match position {
        Some(position) => position.evicted().await,
        None => std::future::pending().await,
    }
}

fn state_unavailable() -> GatewayError {
    let detail = "the shared state of the concurrency limit does not reply";
    GatewayError::new(ErrorCode::StateUnavailable, detail).with_details(add_retry_after)
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
        let gate = &self.0;
        let slots = gate.slots(exchange);
        if exchange.is_dry_run {
            let is_free = slots.available.available_permits() > 0;
            return if is_free { Step::Next } else { Step::Fail(gate.queue_full()) };
        }
        if let Ok(permit) = slots.available.clone().try_acquire_owned() {
            return gate.admit(exchange, permit, slots);
        }
        match slots.queue.enter(exchange.client.ip.into(), gate.settings.queue) {
            Some(position) => gate.wait_for_slot(slots, position),
            None => Step::Fail(gate.queue_full()),
        }
    }

    fn describe(&self) -> String {
        let ConcurrencyLimitConfig { limit, queue, queue_timeout, partition_by: parts, is_shared, .. } =
            &self.0.settings;
        let by = if parts.is_empty() { String::new() } else { format!(" by {}", format_list(parts)) };
        let shared = if *is_shared { ", shared" } else { "" };
        format!("{limit} in flight{by}, {queue} may wait {queue_timeout:?}{shared}")
    }
}

#[cfg(test)]
mod tests;
