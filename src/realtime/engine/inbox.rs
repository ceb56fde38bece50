//! The inbox of a worker: jobs of other threads, and timers of its connections. One task per worker runs both; it starts with
//! the first connection.

use futures_util::task::AtomicWaker;
use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BinaryHeap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;

/// Timers are rounded up to this, so that many fire at once.
const TIMER_RESOLUTION: Duration = Duration::from_millis(20);

/// Work for a worker.
pub type Job = Box<dyn FnOnce() + Send>;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// The next ping.
    KeepAlive,
    /// The end of a session without a socket.
    Expiry,
    /// The end of a socket that does not close.
    Abort,
    /// Idle streams.
    Streams,
    /// Reading continues after a pause.
    Resume,
    /// The close of a connection while the gateway drains.
    Drain,
    /// An adopted session receives nothing twice any more.
    Settled,
}

/// Receives its timers.
pub trait TimerTarget: Send + Sync {
    /// The timer of this kind fired; `epoch` is the one it was set with.
    fn fire(self: Arc<Self>, kind: TimerKind, epoch: u32, now: Instant);
}

struct Timer {
    at: Instant,
    kind: TimerKind,
    epoch: u32,
    target: Weak<dyn TimerTarget>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Timer) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Timer) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Timer) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The inbox of one worker.
#[derive(Default)]
pub struct Inbox {
    jobs: Mutex<Vec<Job>>,
    timers: Mutex<BinaryHeap<Reverse<Timer>>>,
    waker: AtomicWaker,
    is_running: AtomicBool,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("is_running", &self.is_running).finish_non_exhaustive()
    }
}

thread_local! {
    /// The worker of this thread.
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The worker of this thread, if it has connections of hubs.
pub fn current_worker() -> Option<usize> {
    WORKER.get()
}

/// A mutex whose data stays valid if a thread panics.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// Starts the task of this worker; must be called on its thread.
    pub fn start(self: &Arc<Self>, worker: usize) {
        WORKER.set(Some(worker));
        if !self.is_running.swap(true, Ordering::AcqRel) {
            tokio::spawn(run(Arc::downgrade(self), worker));
        }
    }

    /// Adds a job.
    pub fn push(&self, job: Job) {
        lock(&self.jobs).push(job);
        self.waker.wake();
    }

    /// Runs all jobs; must be called on the thread of the worker.
    pub fn run_jobs(&self) {
        loop {
            let jobs = std::mem::take(&mut *lock(&self.jobs));
            if jobs.is_empty() {
                return;
            }
            jobs.into_iter().for_each(|job| job());
        }
    }

    /// Sets a timer.
    pub fn set_timer(&self, at: Instant, kind: TimerKind, epoch: u32, target: Weak<dyn TimerTarget>) {
        let mut timers = lock(&self.timers);
        let is_first = timers.peek().is_none_or(|Reverse(first)| at < first.at);
        timers.push(Reverse(Timer { at, kind, epoch, target }));
        drop(timers);
        if is_first {
            self.waker.wake();
        }
    }

    /// Fires the timers that are due; returns when the next one is.
    fn fire_timers(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut timers = lock(&self.timers);
            let next = timers.peek().map(|Reverse(timer)| timer.at)?;
            if next > now {
                return Some(next);
            }
            let timer = timers.pop();
            drop(timers);
            if let Some(Reverse(timer)) = timer
                && let Some(target) = timer.target.upgrade()
            {
                target.fire(timer.kind, timer.epoch, now);
            }
        }
    }

    fn poll(&self, cx: &mut Context, sleep: &mut Pin<Box<Sleep>>) {
        self.waker.register(cx.waker());
        self.run_jobs();
        loop {
            let Some(next) = self.fire_timers(Instant::now()) else { return };
            sleep.as_mut().reset((next + TIMER_RESOLUTION).into());
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
        }
    }
}

/// Runs the jobs and the timers of a worker until its inbox is dropped.
async fn run(inbox: Weak<Inbox>, worker: usize) {
    WORKER.set(Some(worker));
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| match inbox.upgrade() {
        Some(inbox) => {
            inbox.poll(cx, &mut sleep);
            Poll::Pending
        }
        None => Poll::Ready(()),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    struct Counter(AtomicU32);

    impl TimerTarget for Counter {
        fn fire(self: Arc<Self>, _kind: TimerKind, epoch: u32, _now: Instant) {
            self.0.fetch_add(epoch, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn jobs_of_other_threads_and_timers_run_on_the_worker() {
        let (inbox, counter) = (Arc::new(Inbox::default()), Arc::new(Counter(AtomicU32::new(0))));
        inbox.start(3);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = inbox.clone();
        let job: Job = Box::new(move || {
            let _ = sender.send(current_worker());
        });
        std::thread::spawn(move || other.push(job)).join().unwrap();
        assert_eq!(receiver.await.unwrap(), Some(3));
        let target: Arc<dyn TimerTarget> = counter.clone();
        let now = Instant::now();
        inbox.set_timer(now + Duration::from_secs(100), TimerKind::Expiry, 1000, Arc::downgrade(&target));
        inbox.set_timer(now + Duration::from_millis(5), TimerKind::Expiry, 1, Arc::downgrade(&target));
        while counter.0.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    }
}
