//! Operations that arrive while a session is on its way from another node. Messages before the request reach the old node,
//! messages behind it are kept here: every message reaches the session once.

use crate::realtime::operation::Operation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Most operations that are kept for one session.
const MAX_OPERATIONS: usize = 20_000;

#[derive(Debug)]
struct PendingTake {
    request_id: u64,
    service: Box<str>,
    hub: Box<str>,
    /// `None`: the request has come back from the channel, and operations of other nodes are behind it from now on.
    echoed: Option<oneshot::Sender<()>>,
    operations: Vec<Arc<Operation>>,
    has_overflow: bool,
}

/// An operation of this node between its application here and its way to the others.
#[derive(Debug)]
struct AppliedOperation {
    service: Box<str>,
    hub: Box<str>,
    operation: Arc<Operation>,
}

#[derive(Debug, Default)]
struct Operations {
    takes: Vec<PendingTake>,
    applied: Vec<AppliedOperation>,
}

/// The sessions on their way to this node. Its lock is also the order of what this node sends.
#[derive(Debug, Default)]
pub struct PendingTakes(Mutex<Operations>);

/// The lock: what is sent while it is held is sent in this order.
pub struct SendOrder<'t>(MutexGuard<'t, Operations>);

impl PendingTakes {
    /// Locks the order of what this node sends.
    pub fn order(&self) -> SendOrder<'_> {
        SendOrder(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The request came back from the channel.
    pub fn set_echoed(&self, request_id: u64) {
        for take in self.order().0.takes.iter_mut().filter(|take| take.request_id == request_id) {
            if let Some(echoed) = take.echoed.take() {
                let _ = echoed.send(());
            }
        }
    }

    /// An operation of another node.
    pub fn receive(&self, service: &str, hub: &str, operation: &Arc<Operation>) {
        let mut order = self.order();
        for take in order.0.takes.iter_mut().filter(|take| take.echoed.is_none() && take.is_of(service, hub))
        {
            take.keep(operation);
        }
    }

    /// Ends a take; `None`: there were too many operations, or it has ended.
    pub fn end(&self, request_id: u64) -> Option<Vec<Arc<Operation>>> {
        let mut order = self.order();
        let at = order.0.takes.iter().position(|take| take.request_id == request_id)?;
        let take = order.0.takes.swap_remove(at);
        (!take.has_overflow).then_some(take.operations)
    }
}

impl SendOrder<'_> {
    /// Begins a take, directly before its request is sent; the receiver resolves when the request comes back.
    pub fn begin(&mut self, request_id: u64, service: &str, hub: &str) -> oneshot::Receiver<()> {
        let (echoed, receiver) = oneshot::channel();
        // What this node has applied, and sends behind the request.
        let applied =
            self.0.applied.iter().filter(|applied| (&*applied.service, &*applied.hub) == (service, hub));
        let operations = applied.map(|applied| applied.operation.clone()).collect();
        self.0.takes.push(PendingTake {
            request_id,
            service: service.into(),
            hub: hub.into(),
            echoed: Some(echoed),
            operations,
            has_overflow: false,
        });
        receiver
    }

    /// An operation of this node, directly before it is applied here and then sent.
    pub fn apply(&mut self, service: &str, hub: &str, operation: &Arc<Operation>) {
        for take in self.0.takes.iter_mut().filter(|take| take.is_of(service, hub)) {
            take.keep(operation);
        }
        let operation = operation.clone();
        self.0.applied.push(AppliedOperation { service: service.into(), hub: hub.into(), operation });
    }

    /// An operation that was applied, directly before it is sent.
    pub fn send(&mut self, operation: &Arc<Operation>) {
        self.0.applied.retain(|applied| !Arc::ptr_eq(&applied.operation, operation));
    }
}

impl PendingTake {
    fn is_of(&self, service: &str, hub: &str) -> bool {
        (&*self.service, &*self.hub) == (service, hub)
    }

    fn keep(&mut self, operation: &Arc<Operation>) {
        match self.operations.len() < MAX_OPERATIONS {
            true => self.operations.push(operation.clone()),
            false => self.has_overflow = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::operation::Recipients;

    #[test]
    fn operations_behind_the_request_are_kept() {
        let takes = PendingTakes::default();
        let operations: [Arc<Operation>; 4] =
            std::array::from_fn(|_| Arc::new(Operation::Count(Recipients::All)));
        let [sent, applied, own, others] = &operations;
        takes.order().apply("rt", "chat", sent);
        takes.order().send(sent);
        takes.order().apply("rt", "chat", applied);
        takes.order().apply("rt", "other", others);
        let mut echoed = takes.order().begin(1, "rt", "chat");
        takes.order().send(applied);
        takes.order().apply("rt", "chat", own);
        takes.order().send(own);
        takes.receive("rt", "chat", others);
        assert!(echoed.try_recv().is_err());
        takes.set_echoed(1);
        assert!(echoed.try_recv().is_ok());
        takes.receive("rt", "chat", others);
        let kept = takes.end(1).unwrap();
        assert_eq!(kept.len(), 3, "what is sent behind the request, and another node's behind the echo");
        assert!(kept.iter().zip([applied, own, others]).all(|(one, other)| Arc::ptr_eq(one, other)));
        assert!(takes.end(1).is_none());
    }
}
