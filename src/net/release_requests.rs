//! Requests to other workers to close an idle connection whose permit a queued request needs.
//!
//! Connections belong to the worker that opened them. A queued request wakes one worker that may hold idle connections of
//! its endpoint; a worker without any passes the request on.

use super::connection_limit::{ConnectionLimiter, IdleWorker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// The requests to one worker.
#[derive(Debug, Default)]
struct Inbox {
    limiters: Mutex<Vec<Arc<ConnectionLimiter>>>,
    notify: Notify,
}

/// The inboxes by worker; dead ones are replaced.
static INBOXES: Mutex<Vec<Weak<Inbox>>> = Mutex::new(Vec::new());

thread_local! {
    static INBOX: (usize, Arc<Inbox>) = claim();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for the current thread, with its inbox.
fn claim() -> (usize, Arc<Inbox>) {
    let (inbox, mut inboxes) = (Arc::<Inbox>::default(), lock(&INBOXES));
    let free = inboxes.iter().position(|inbox| inbox.strong_count() == 0);
    let worker = free.unwrap_or(inboxes.len());
    match inboxes.get_mut(worker) {
        Some(dead) => *dead = Arc::downgrade(&inbox),
        None => inboxes.push(Arc::downgrade(&inbox)),
    }
    (worker, inbox)
}

/// The number of the current worker.
pub fn worker() -> usize {
    INBOX.try_with(|(worker, _)| *worker).unwrap_or(usize::MAX)
}

/// Requests the release of idle connections from one worker that may hold some.
pub fn send(limiter: &Arc<ConnectionLimiter>) {
    let Some(worker) = limiter.take_idle_worker() else { return };
    let inboxes = lock(&INBOXES);
    let range = match worker {
        IdleWorker::One(worker) => worker..worker.saturating_add(1),
        IdleWorker::From(first) => first..inboxes.len(),
    };
    for inbox in inboxes.get(range).unwrap_or_default().iter().filter_map(Weak::upgrade) {
        lock(&inbox.limiters).push(limiter.clone());
        inbox.notify.notify_one();
    }
}

/// The endpoints of which this worker should release idle connections.
pub async fn receive() -> Vec<Arc<ConnectionLimiter>> {
    let Ok(inbox) = INBOX.try_with(|(_, inbox)| inbox.clone()) else { return std::future::pending().await };
    inbox.notify.notified().await;
    std::mem::take(&mut *lock(&inbox.limiters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{connection_limit::ConnectionLimit, pool_key::PoolSlot};
    use std::future::Future;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    #[test]
    fn a_worker_is_woken_once_and_only_if_it_may_hold_idle_connections() {
        let limit = ConnectionLimit { max_connections: 1, max_pending: 9, pending_timeout: None };
        let limiter = ConnectionLimiter::new(limit, PoolSlot::claim().key());
        let is_woken = || {
            let mut cx = Context::from_waker(Waker::noop());
            matches!(pin!(receive()).poll(&mut cx), Poll::Ready(limiters) if limiters.len() == 1)
        };
        send(&limiter);
        assert!(!is_woken(), "no worker holds any");
        limiter.set_idle(worker(), true);
        send(&limiter);
        assert!(is_woken());
        send(&limiter);
        assert!(!is_woken(), "it has not reported idle connections again");
    }
}
