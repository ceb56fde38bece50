//! Asks Redis for the requests that no lease admits. Requests with the same counters are counted by one call: while a call
//! is under way, further ones wait for the next.

use super::{
    group::{CounterNames, SharedGroup},
    leases::{Leases, LimitState, LimitStates, ReturnedTokens, Verdict},
    reply::{LimitReply, Reply},
};
use crate::{
    stages::partition_key::Key,
    state::{Cmd, Script, SharedState, SharedStateMode, StateError, Value},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// The text of the script.
pub const ACQUIRE_CODE: &str = include_str!("acquire.lua");
/// The script.
pub static ACQUIRE: Script = Script::new(ACQUIRE_CODE);
/// The area of the keys.
const AREA: &str = "rate";
/// Requests that one call counts at most.
const MAX_BATCH: usize = 512;
/// Requests that may wait.
const MAX_WAITING: usize = 65_536;
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// The limits on one shared state.
#[derive(Debug)]
pub struct SharedLimiter {
    pub state: Arc<SharedState>,
    leases: Leases,
    /// The origin of all times, that of the local counters.
    epoch: Instant,
    questions: mpsc::UnboundedSender<Question>,
    waiting: Arc<AtomicUsize>,
}

/// A request that waits for a verdict.
struct Question {
    key: Key,
    group: Arc<SharedGroup>,
    names: CounterNames,
    verdict: oneshot::Sender<Verdict>,
}

impl SharedLimiter {
    /// Starts the task of a shared state; `epoch` is the origin of all times.
    pub fn start(state: &Arc<SharedState>, epoch: Instant) -> Arc<SharedLimiter> {
        let (questions, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let limiter = Arc::new(SharedLimiter {
            state: state.clone(),
            leases: Leases::default(),
            epoch,
            questions,
            waiting: waiting.clone(),
        });
        state.spawn(run(Arc::downgrade(&limiter), receiver, waiting));
        state.spawn(sweep(Arc::downgrade(&limiter)));
        limiter
    }

    /// The verdict that needs no call.
    pub fn decide(&self, key: Key, now_ns: u64) -> Option<Verdict> {
        self.leases.take(key, now_ns)
    }

    /// Asks Redis; `None` if too many requests wait already. The receiver fails without a verdict.
    pub fn ask(
        &self,
        key: Key,
        group: &Arc<SharedGroup>,
        names: CounterNames,
    ) -> Option<oneshot::Receiver<Verdict>> {
        if self.waiting.load(Relaxed) >= MAX_WAITING {
            return None;
        }
        let (verdict, receiver) = oneshot::channel();
        self.waiting.fetch_add(1, Relaxed);
        self.questions.send(Question { key, group: group.clone(), names, verdict }).ok()?;
        Some(receiver)
    }

    /// The key of a counter.
    pub fn counter_name(&self, digest: &[u8]) -> Vec<u8> {
        self.state.key(AREA, crate::base::hex::encode(digest).as_bytes())
    }

    /// The counters as they are now; nothing is counted.
    pub async fn read(&self, group: &SharedGroup, names: &[Vec<u8>]) -> Result<Reply, StateError> {
        let arguments = group.script_arguments(0..names.len(), 0, 0, 0, &[]);
        let reply = self.state.script(&ACQUIRE, names, &arguments, self.state.timeout()).await?;
        Reply::parse(&reply)
    }

    /// Forgets a lease or a refusal.
    pub fn forget(&self, key: Key) {
        self.leases.remove(key);
    }

    /// Resets a counter; whether there was one.
    pub async fn remove(&self, digest: &[u8]) -> Result<bool, StateError> {
        let mut command = Cmd::new();
        command.arg("DEL").arg(self.counter_name(digest));
        Ok(self.state.command(&command, self.state.timeout()).await? == Value::Int(1))
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The requests for one key.
struct Pending {
    group: Arc<SharedGroup>,
    names: CounterNames,
    verdicts: Vec<oneshot::Sender<Verdict>>,
    is_called: bool,
}

/// A call that has ended.
struct Finished {
    key: Key,
    verdicts: Vec<oneshot::Sender<Verdict>>,
    sent_at_ns: u64,
    reply: Result<Reply, StateError>,
}

type Calls = FuturesUnordered<BoxFuture<'static, Finished>>;

/// Sends calls and distributes their replies.
async fn run(
    limiter: Weak<SharedLimiter>,
    mut questions: mpsc::UnboundedReceiver<Question>,
    waiting: Arc<AtomicUsize>,
) {
    let mut pending = HashMap::<Key, Pending>::new();
    let mut calls = Calls::new();
    let mut arrived = Vec::new();
    loop {
        let finished = tokio::select! {
            count = questions.recv_many(&mut arrived, MAX_BATCH) => match count {
                0 => return,
                _ => None,
            },
            Some(finished) = calls.next() => Some(finished),
        };
        let Some(limiter) = limiter.upgrade() else { return };
        waiting.fetch_sub(arrived.len(), Relaxed);
        if let Some(finished) = finished {
            finish(&limiter, &mut pending, finished, &calls);
        }
        for key in enqueue(&mut pending, arrived.drain(..)) {
            call(&limiter, &mut pending, key, &calls);
        }
    }
}

/// Adds requests; the keys without a call under way.
fn enqueue(
    pending: &mut HashMap<Key, Pending>,
    arrived: impl Iterator<Item = Question>,
) -> smallvec::SmallVec<[Key; 16]> {
    let mut ready = smallvec::SmallVec::new();
    for Question { key, group, names, verdict } in arrived {
        let entry = pending.entry(key).or_insert_with(|| Pending {
            group,
            names,
            verdicts: Vec::new(),
            is_called: false,
        });
        entry.verdicts.push(verdict);
        if !entry.is_called {
            entry.is_called = true;
            ready.push(key);
        }
    }
    ready
}

/// Sends a call for the waiting requests of a key.
fn call(limiter: &Arc<SharedLimiter>, pending: &mut HashMap<Key, Pending>, key: Key, calls: &Calls) {
    let Some(entry) = pending.get_mut(&key) else { return };
    entry.verdicts = decide_locally(limiter, key, std::mem::take(&mut entry.verdicts));
    let count = entry.verdicts.len().min(MAX_BATCH);
    if count == 0 {
        pending.remove(&key);
        return;
    }
    let verdicts = entry.verdicts.drain(..count).collect::<Vec<_>>();
    let (group, names, limiter) = (entry.group.clone(), entry.names.clone(), limiter.clone());
    calls.push(Box::pin(async move {
        let (sent_at_ns, requests) = (limiter.now_ns(), verdicts.len());
        let lease = limiter.leases.next_size(key, &group);
        let reply = acquire(&limiter.state, &group, &names, requests, lease).await;
        Finished { key, verdicts, sent_at_ns, reply }
    }));
}

/// The requests that still wait when a lease or a known refusal has decided the others.
fn decide_locally(
    limiter: &SharedLimiter,
    key: Key,
    verdicts: Vec<oneshot::Sender<Verdict>>,
) -> Vec<oneshot::Sender<Verdict>> {
    let now_ns = limiter.now_ns();
    let mut waiting = Vec::new();
    for verdict in verdicts.into_iter().filter(|verdict| !verdict.is_closed()) {
        match limiter.leases.take(key, now_ns) {
            Some(known) => drop(verdict.send(known)),
            None => waiting.push(verdict),
        }
    }
    waiting
}

/// Distributes the reply of a call, and sends the next one.
fn finish(
    limiter: &Arc<SharedLimiter>,
    pending: &mut HashMap<Key, Pending>,
    finished: Finished,
    calls: &Calls,
) {
    let Finished { key, verdicts, sent_at_ns, reply } = finished;
    match reply {
        Ok(reply) => {
            if let Some(entry) = pending.get(&key) {
                limiter.leases.store(key, (&entry.group, &entry.names), &reply, verdicts.len(), sent_at_ns);
            }
            for (at, verdict) in verdicts.into_iter().enumerate() {
                // A request that has given up wastes its token.
                let _ = verdict.send(verdict_of(&reply, at, sent_at_ns));
            }
        }
        // The dropped senders make the waiting requests decide without Redis.
        Err(error @ StateError::Reply(_)) => limiter.state.record_failure(&error),
        Err(_) => {}
    }
    call(limiter, pending, key, calls);
}

/// The verdict of one of the requests of a call.
fn verdict_of(reply: &Reply, at: usize, sent_at_ns: u64) -> Verdict {
    let admitted = usize::try_from(reply.admitted).unwrap_or(usize::MAX);
    if at >= admitted {
        let retry_at_ns = sent_at_ns.saturating_add(reply.retry_in_ns);
        return Verdict::Rejected { limit: reply.rejecting.unwrap_or(0), retry_at_ns };
    }
    let later = (admitted - 1 - at) as u64 + u64::from(reply.leased);
    let state = |limit: &LimitReply| LimitState {
        remaining: limit.remaining + later,
        resets_at_ns: sent_at_ns.saturating_add(limit.resets_in_ns),
    };
    Verdict::Admitted(reply.limits.iter().map(state).collect::<LimitStates>())
}

/// Counts requests: one call, but in a cluster, where each counter has its own slot, one call for each limit.
pub async fn acquire(
    state: &SharedState,
    group: &SharedGroup,
    names: &CounterNames,
    requests: usize,
    lease: u32,
) -> Result<Reply, StateError> {
    if names.len() > 1 && state.config().mode == SharedStateMode::Cluster {
        return acquire_in_turn(state, group, names, requests).await;
    }
    let arguments = group.script_arguments(0..names.len(), requests, lease, 0, &[]);
    Reply::parse(&state.script(&ACQUIRE, names, &arguments, state.timeout()).await?)
}

/// One limit after the other; what a later one rejects is returned to the earlier ones.
async fn acquire_in_turn(
    state: &SharedState,
    group: &SharedGroup,
    names: &CounterNames,
    requests: usize,
) -> Result<Reply, StateError> {
    let mut all =
        Reply { admitted: requests as u64, leased: 0, rejecting: None, retry_in_ns: 0, limits: Vec::new() };
    for (at, name) in names.iter().enumerate() {
        let before = all.admitted;
        let arguments = group.script_arguments(at..at + 1, before as usize, 0, 0, &[]);
        let name = std::slice::from_ref(name);
        let reply = Reply::parse(&state.script(&ACQUIRE, name, &arguments, state.timeout()).await?)?;
        all.limits.extend(reply.limits);
        if reply.admitted < before {
            (all.admitted, all.rejecting, all.retry_in_ns) = (reply.admitted, Some(at), reply.retry_in_ns);
            let ids = all.limits.iter().map(|limit| limit.window_id.clone()).collect::<Vec<_>>();
            let tokens = u32::try_from(before - reply.admitted).unwrap_or(u32::MAX);
            for earlier in 0..at {
                give_back(state, group, earlier, &names[earlier], tokens, &ids).await?;
            }
        }
        if all.admitted == 0 {
            all.limits
                .resize(names.len(), LimitReply { remaining: 0, resets_in_ns: 0, window_id: Vec::new() });
            break;
        }
    }
    Ok(all)
}

async fn give_back(
    state: &SharedState,
    group: &SharedGroup,
    limit: usize,
    name: &Vec<u8>,
    tokens: u32,
    ids: &[Vec<u8>],
) -> Result<(), StateError> {
    let arguments = group.script_arguments(limit..limit + 1, 0, 0, tokens, ids);
    state.script(&ACQUIRE, std::slice::from_ref(name), &arguments, state.timeout()).await.map(drop)
}

/// Returns the tokens of expired leases.
async fn sweep(limiter: Weak<SharedLimiter>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(limiter) = limiter.upgrade() else { return };
        for ReturnedTokens { group, names, ids, tokens } in limiter.leases.sweep(limiter.now_ns()) {
            for limit in 0..names.len() {
                // Without a reply the tokens stay counted until the window ends.
                let _ = give_back(&limiter.state, &group, limit, &names[limit], tokens, &ids).await;
            }
        }
    }
}
