//! Requests to other nodes: each one ends when all nodes have responded, or fails after two seconds.

use super::wire::{WireOutcome, WireSession};
use crate::realtime::operation::{BackplaneUnavailable, Outcome};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// How long a request waits for the other nodes.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What the other nodes responded.
#[derive(Debug, Default)]
pub struct Responses {
    pub outcome: Outcome,
    pub session: Option<WireSession>,
}

#[derive(Debug)]
struct Pending {
    /// The nodes that have not responded.
    missing: BTreeSet<Box<str>>,
    responses: Responses,
    done: oneshot::Sender<Responses>,
}

/// The requests of this node in progress.
#[derive(Debug, Default)]
pub struct Requests {
    pending: Mutex<HashMap<u64, Pending>>,
    last_id: AtomicU64,
}

/// A request in progress.
#[derive(Debug)]
pub struct Request {
    pub id: u64,
    done: oneshot::Receiver<Responses>,
}

impl Requests {
    /// Begins a request to these nodes.
    pub fn begin(&self, nodes: BTreeSet<Box<str>>) -> Request {
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let (done, receiver) = oneshot::channel();
        if nodes.is_empty() {
            let _ = done.send(Responses::default());
        } else {
            self.pending().insert(id, Pending { missing: nodes, responses: Responses::default(), done });
        }
        Request { id, done: receiver }
    }

    /// Waits for all responses.
    pub async fn wait(&self, request: Request) -> Result<Responses, BackplaneUnavailable> {
        let done = tokio::time::timeout(REQUEST_TIMEOUT, request.done).await;
        if let Ok(Ok(responses)) = done {
            return Ok(responses);
        }
        let pending = self.pending().remove(&request.id);
        let nodes = pending.map(|pending| pending.missing.into_iter().collect()).unwrap_or_default();
        Err(BackplaneUnavailable { nodes })
    }

    /// Fails a request that could not be sent.
    pub fn cancel(&self, id: u64) {
        self.pending().remove(&id);
    }

    /// The response of a node.
    pub fn respond(&self, id: u64, node: &str, outcome: WireOutcome) {
        let mut all = self.pending();
        let Some(pending) = all.get_mut(&id) else { return };
        if !pending.missing.remove(node) {
            return;
        }
        let WireOutcome { session, .. } = &outcome;
        if session.is_some() {
            pending.responses.session.clone_from(session);
            // A session has one owner: the others need not be waited for.
            pending.missing.clear();
        }
        pending.responses.outcome.merge(super::convert::outcome(outcome));
        finish(&mut all, id);
    }

    /// A node is gone: it is not waited for.
    pub fn forget(&self, node: &str) {
        let mut all = self.pending();
        let ids: Vec<u64> = all.keys().copied().collect();
        for id in ids {
            if let Some(pending) = all.get_mut(&id) {
                pending.missing.remove(node);
            }
            finish(&mut all, id);
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a request that waits for no node any more.
fn finish(all: &mut HashMap<u64, Pending>, id: u64) {
    if all.get(&id).is_some_and(|pending| pending.missing.is_empty())
        && let Some(pending) = all.remove(&id)
    {
        let _ = pending.done.send(pending.responses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> BTreeSet<Box<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_with_the_last_response_and_names_missing_nodes() {
        let requests = Requests::default();
        let request = requests.begin(nodes(&["a", "b"]));
        let matched = |matched| WireOutcome { matched, ..WireOutcome::default() };
        requests.respond(request.id, "a", matched(1));
        requests.respond(request.id, "a", matched(1));
        requests.respond(request.id, "b", matched(2));
        assert_eq!(requests.wait(request).await.unwrap().outcome.matched, 3);
        let request = requests.begin(nodes(&["a", "b"]));
        requests.respond(request.id, "a", matched(1));
        assert_eq!(requests.wait(request).await.unwrap_err().nodes, [Box::from("b")]);
    }

    #[tokio::test]
    async fn a_node_that_is_gone_is_not_waited_for() {
        let requests = Requests::default();
        let request = requests.begin(nodes(&["a"]));
        requests.forget("a");
        assert_eq!(requests.wait(request).await.unwrap().outcome, Outcome::default());
        let alone = requests.begin(nodes(&[]));
        assert!(requests.wait(alone).await.is_ok());
    }
}
