//! When client connections end although they could continue: the phases of a graceful shutdown, and idle connections that
//! make room for new ones.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, futures::Notified};

/// How long an idle client connection is kept while the gateway drains, for a request that is on its way.
const DRAIN_IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that was idle for less is not evicted.
pub const MIN_EVICTED_IDLE: Duration = Duration::from_secs(2);

/// Evicting wakes all idle connections: not more often than this.
const EVICTION_INTERVAL: Duration = Duration::from_millis(200);

/// The phases of a graceful shutdown, and the eviction of idle connections.
#[derive(Debug, Default)]
pub struct Drain {
    /// Not ready any more, but still accepting.
    leaving: AtomicBool,
    /// When draining began.
    since: OnceLock<Instant>,
    notified: Arc<Notify>,
    /// Idle connections that are to be closed.
    evictions: AtomicUsize,
    evicted_at: Mutex<Option<Instant>>,
    /// Notified when an idle connection may have to be closed.
    idle_notified: Arc<Notify>,
}

impl Drain {
    /// Whether the gateway is shutting down: no new request is accepted on a connection after the next one.
    pub fn is_on(&self) -> bool {
        self.since.get().is_some()
    }

    /// Whether a load balancer should send new requests here.
    pub fn is_ready(&self) -> bool {
        !self.leaving.load(Ordering::Relaxed) && !self.is_on()
    }

    /// Reports that the gateway is not ready any more; it still serves.
    pub fn announce(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Begins to drain.
    pub fn begin(&self) {
        let _ = self.since.set(Instant::now());
        self.notified.notify_waiters();
        self.idle_notified.notify_waiters();
    }

    /// Notified when draining begins.
    pub fn notified(&self) -> Arc<Notify> {
        self.notified.clone()
    }

    /// Closes this many of the connections that have been idle for a while.
    pub fn evict_idle(&self, count: usize, now: Instant) {
        let mut last = self.evicted_at.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= EVICTION_INTERVAL) {
            *last = Some(now);
            self.evictions.store(count, Ordering::Relaxed);
            self.idle_notified.notify_waiters();
        }
    }

    /// Notified when an idle connection may have to be closed: see [`Drain::idle_deadline`].
    pub fn idle_notified(&self) -> Arc<Notify> {
        self.idle_notified.clone()
    }

    /// When a connection is closed that is idle since then, if it is idle; `None`: not yet. `notified` is registered again.
    pub fn idle_deadline<'n>(
        &self,
        idle_since: Option<Instant>,
        notify: &'n Notify,
        mut notified: Pin<&mut Notified<'n>>,
        cx: &mut Context,
    ) -> Option<Instant> {
        while notified.as_mut().poll(cx).is_ready() {
            notified.set(notify.notified());
        }
        if let Some(since) = self.since.get() {
            return Some(*since + DRAIN_IDLE_TIMEOUT);
        }
        if self.evictions.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now = Instant::now();
        let is_long_idle = |since| now.saturating_duration_since(since) >= MIN_EVICTED_IDLE;
        let take_one = |count: usize| count.checked_sub(1);
        (idle_since.is_some_and(is_long_idle)
            && self.evictions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok())
        .then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Waker};

    #[test]
    fn as_many_idle_connections_are_closed_as_descriptors_are_needed() {
        let (drain, now) = (Drain::default(), Instant::now());
        let long_idle = now.checked_sub(MIN_EVICTED_IDLE).unwrap();
        let notify = drain.idle_notified();
        let deadline = |since| {
            let mut notified = pin!(notify.notified());
            let mut cx = Context::from_waker(Waker::noop());
            drain.idle_deadline(Some(since), &notify, notified.as_mut(), &mut cx)
        };
        assert_eq!(deadline(long_idle), None, "no descriptor is needed");
        drain.evict_idle(2, now);
        drain.evict_idle(9, now + EVICTION_INTERVAL / 2);
        assert_eq!(deadline(Instant::now()), None, "in use a moment ago");
        assert!(deadline(long_idle).is_some() && deadline(long_idle).is_some());
        assert_eq!(deadline(long_idle), None, "two are enough");
        drain.begin();
        assert!(deadline(now).is_some());
    }
}
