//! Concurrency limits that several gateways share (`"Scope": "Shared"`).
//!
//! Redis stores how many slots each gateway holds; their sum is at most the limit. A gateway holds a slot for each of its
//! requests, and gives unused ones back after [`RELEASE_DELAY`]. Slots of a gateway that ends without giving them back
//! expire after [`SLOT_TTL`].

mod slots;

pub use slots::{SharedSlotGuard, SharedSlots};

use crate::{
    stages::key_hasher::Digest,
    state::{Script, SharedState, StateError, Value},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

static HOLD: Script = Script::new(include_str!("hold.lua"));
/// The area of the keys.
const AREA: &str = "concurrency";
/// When slots expire that their gateway does not hold again.
const SLOT_TTL: Duration = Duration::from_secs(10);
/// How often slots are held again.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// How long unused slots are kept for the next requests.
const RELEASE_DELAY: Duration = Duration::from_millis(20);
/// How often a queued request asks again.
const RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// A place for the slots of one key.
pub type SlotCell = OnceLock<Arc<SharedSlots>>;

/// Why a request got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All slots are in use.
    Full,
    /// Redis does not reply.
    Unavailable,
}

/// The slots of this gateway on one shared state.
#[derive(Debug)]
pub struct SlotKeeper {
    pub state: Arc<SharedState>,
    node: String,
    questions: mpsc::UnboundedSender<Question>,
    released: mpsc::UnboundedSender<Arc<SharedSlots>>,
}

/// A request that waits for a slot.
struct Question {
    slots: Arc<SharedSlots>,
    answer: oneshot::Sender<Result<SharedSlotGuard, Refusal>>,
}

impl SlotKeeper {
    /// Starts the task of a shared state.
    pub fn start(state: &Arc<SharedState>) -> Arc<SlotKeeper> {
        let (questions, asked) = mpsc::unbounded_channel();
        let (released, unused) = mpsc::unbounded_channel();
        let node = format!("{:016x}", fastrand::u64(..));
        let keeper = Arc::new(SlotKeeper { state: state.clone(), node, questions, released });
        state.spawn(run(Arc::downgrade(&keeper), asked, unused));
        keeper
    }

    /// The slots of a key.
    pub fn slots(&self, cell: &SlotCell, limit: usize, digest: impl FnOnce() -> Digest) -> Arc<SharedSlots> {
        let make = || {
            let hex = crate::base::hex::encode(&digest());
            Arc::new(SharedSlots::new(self.state.key(AREA, hex.as_bytes()), limit, self.released.clone()))
        };
        cell.get_or_init(make).clone()
    }

    /// Waits for a slot; with a deadline it asks again until then.
    pub async fn enter(
        &self,
        slots: Arc<SharedSlots>,
        deadline: Option<Instant>,
    ) -> Result<SharedSlotGuard, Refusal> {
        loop {
            let refusal = match self.ask(&slots).await {
                Ok(slot) => return Ok(slot),
                Err(refusal) => refusal,
            };
            let next = Instant::now() + RETRY_INTERVAL;
            if refusal == Refusal::Unavailable || deadline.is_none_or(|deadline| next > deadline) {
                return Err(refusal);
            }
            tokio::time::sleep(crate::base::backoff::half_jitter(RETRY_INTERVAL)).await;
            if let Some(slot) = slots.try_enter(Instant::now()) {
                return Ok(slot);
            }
        }
    }

    async fn ask(&self, slots: &Arc<SharedSlots>) -> Result<SharedSlotGuard, Refusal> {
        if !self.state.is_available() {
            return Err(Refusal::Unavailable);
        }
        let (answer, receiver) = oneshot::channel();
        let question = Question { slots: slots.clone(), answer };
        self.questions.send(question).map_err(|_| Refusal::Unavailable)?;
        match tokio::time::timeout(self.state.timeout(), receiver).await {
            Ok(Ok(answer)) => answer,
            _ => Err(Refusal::Unavailable),
        }
    }

    /// Holds slots; returns how many.
    async fn hold(&self, slots: &SharedSlots, wanted: usize) -> Result<usize, StateError> {
        let arguments = [
            self.node.clone(),
            wanted.to_string(),
            slots.limit.to_string(),
            SLOT_TTL.as_millis().to_string(),
        ];
        let arguments = arguments.map(String::into_bytes);
        let keys = std::slice::from_ref(&slots.name);
        match self.state.script(&HOLD, keys, &arguments, self.state.timeout()).await? {
            Value::Int(held) => Ok(usize::try_from(held).unwrap_or(0)),
            other => Err(StateError::unexpected(&other)),
        }
    }
}

/// A key whose slots change.
struct Entry {
    slots: Arc<SharedSlots>,
    waiting: Vec<oneshot::Sender<Result<SharedSlotGuard, Refusal>>>,
    is_called: bool,
    /// Slots were released during the call.
    must_repeat: bool,
}

type Entries = HashMap<Vec<u8>, Entry>;

/// The end of a call, or of the delay before unused slots are given back.
enum Event {
    Held {
        name: Vec<u8>,
        waiting: Vec<oneshot::Sender<Result<SharedSlotGuard, Refusal>>>,
        sent_at: Instant,
        held: Result<usize, StateError>,
    },
    Unused(Arc<SharedSlots>),
}

type Events = FuturesUnordered<BoxFuture<'static, Event>>;

/// Holds slots for the requests that ask, again while they are used, and gives back what is not used.
async fn run(
    keeper: Weak<SlotKeeper>,
    mut asked: mpsc::UnboundedReceiver<Question>,
    mut unused: mpsc::UnboundedReceiver<Arc<SharedSlots>>,
) {
    let (mut entries, mut events) = (Entries::new(), Events::new());
    let mut renew = tokio::time::interval(RENEW_INTERVAL);
    loop {
        let mut changed = Vec::new();
        tokio::select! {
            question = asked.recv() => {
                let Some(Question { slots, answer }) = question else { return };
                let entry = entry(&mut entries, &slots);
                entry.waiting.push(answer);
                changed.push(slots.name.clone());
            }
            Some(slots) = unused.recv() => events.push(Box::pin(async move {
                tokio::time::sleep(RELEASE_DELAY).await;
                Event::Unused(slots)
            })),
            Some(event) = events.next() => match event {
                Event::Unused(slots) => {
                    let entry = entry(&mut entries, &slots);
                    entry.must_repeat = true;
                    changed.push(slots.name.clone());
                }
                event @ Event::Held { .. } => changed.extend(finish(&mut entries, event)),
            },
            _ = renew.tick() => {
                entries.retain(|_, entry| entry.is_called || !entry.slots.is_idle());
                entries.values_mut().for_each(|entry| entry.must_repeat = true);
                changed.extend(entries.keys().cloned());
            }
        }
        let Some(keeper) = keeper.upgrade() else { return };
        for name in changed {
            call(&keeper, &mut entries, name, &events);
        }
    }
}

fn entry<'e>(entries: &'e mut Entries, slots: &Arc<SharedSlots>) -> &'e mut Entry {
    entries.entry(slots.name.clone()).or_insert_with(|| Entry {
        slots: slots.clone(),
        waiting: Vec::new(),
        is_called: false,
        must_repeat: false,
    })
}

/// Holds what the requests of a key need now, unless a call is under way.
fn call(keeper: &Arc<SlotKeeper>, entries: &mut Entries, name: Vec<u8>, events: &Events) {
    let Some(entry) = entries.get_mut(&name).filter(|entry| !entry.is_called) else { return };
    entry.waiting.retain(|answer| !answer.is_closed());
    if entry.waiting.is_empty() && !entry.must_repeat {
        return;
    }
    (entry.is_called, entry.must_repeat) = (true, false);
    let (keeper, slots, waiting) = (keeper.clone(), entry.slots.clone(), std::mem::take(&mut entry.waiting));
    events.push(Box::pin(async move {
        let sent_at = Instant::now();
        let held = keeper.hold(&slots, slots.in_use() + waiting.len()).await;
        Event::Held { name, waiting, sent_at, held }
    }));
}

/// Distributes the slots of a call; the key if another call is needed.
fn finish(entries: &mut Entries, event: Event) -> Option<Vec<u8>> {
    let Event::Held { name, waiting, sent_at, held } = event else { return None };
    let entry = entries.get_mut(&name)?;
    entry.is_called = false;
    if let Ok(held) = &held {
        entry.slots.set_held(*held, sent_at + SLOT_TTL);
    }
    for answer in waiting {
        // A request that has given up releases its slot.
        let _ = answer.send(match &held {
            Ok(_) => entry.slots.try_enter(Instant::now()).ok_or(Refusal::Full),
            Err(_) => Err(Refusal::Unavailable),
        });
    }
    if entry.waiting.is_empty() && !entry.must_repeat {
        if entry.slots.is_idle() {
            entries.remove(&name);
        }
        return None;
    }
    Some(name)
}
