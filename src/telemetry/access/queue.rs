//! The bounded queues of the workers, and the thread that writes them.

use super::output::LogOutput;
use crate::telemetry::{connection_record::ConnectionRecord, record::Record};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue capacity of one worker.
pub const QUEUE_BYTES: usize = 2 * 1024 * 1024;

/// The form in which workers queue records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordForm {
    #[default]
    Json,
    Combined,
}

/// The queues and their writer thread.
pub struct AccessLog {
    shared: Arc<Shared>,
    capacity: usize,
    form: RecordForm,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("form", &self.form).finish_non_exhaustive()
    }
}

struct Shared {
    queues: Box<[Queue]>,
    dropped: Arc<AtomicU64>,
    /// The writer is idle and waits for a wake-up.
    writer_idle: AtomicBool,
    /// The writer opens its destination again before the next lines.
    reopen_requested: AtomicBool,
    rounds: Mutex<FlushState>,
    wake: Condvar,
    done: Condvar,
}

#[repr(align(64))]
#[derive(Default)]
struct Queue(Mutex<Vec<u8>>);

#[derive(Default)]
struct FlushState {
    wake_requested: bool,
    /// The number of requested flushes, and the last one that is complete.
    flush_requested: u64,
    flush_completed: u64,
    stop: bool,
    stopped: bool,
}

impl AccessLog {
    /// A log to any destination, with `capacity` bytes of queue per worker.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started.
    pub fn new(
        workers: usize,
        capacity: usize,
        form: RecordForm,
        dropped: Arc<AtomicU64>,
        to: Box<dyn LogOutput>,
    ) -> std::io::Result<AccessLog> {
        let shared = Arc::new(Shared {
            queues: (0..workers.max(1)).map(|_| Queue::default()).collect(),
            dropped,
            writer_idle: AtomicBool::new(false),
            reopen_requested: AtomicBool::new(false),
            rounds: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let writer_shared = shared.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&writer_shared, to))?;
        Ok(AccessLog { shared, capacity, form })
    }

    /// Whether lines contain `Referer` and `User-Agent`.
    pub fn has_client_headers(&self) -> bool {
        self.form == RecordForm::Combined
    }

    /// Queues one line; if the worker's queue is full, the line is dropped and counted.
    pub fn log(&self, worker: usize, record: &Record) {
        self.push(worker, |queue| match self.form {
            RecordForm::Json => record.write_json(queue),
            RecordForm::Combined => record.write_combined(queue),
        });
    }

    /// The same for a forwarded connection or UDP session.
    pub fn log_connection(&self, worker: usize, record: &ConnectionRecord) {
        self.push(worker, |queue| match self.form {
            RecordForm::Json => record.write_json(queue),
            RecordForm::Combined => record.write_combined(queue),
        });
    }

    /// Queues a line that is formatted already.
    pub fn log_line(&self, line: &[u8]) {
        self.push(0, |queue| {
            queue.extend_from_slice(line);
            queue.push(b'\n');
        });
    }

    fn push(&self, worker: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = &self.shared.queues[worker % self.shared.queues.len()];
        if !push(&mut lock(&queue.0), self.capacity, write) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.writer_idle.swap(false, Ordering::AcqRel) {
            self.wake_writer();
        }
    }

    /// Opens the destination again, after its file was renamed.
    pub fn reopen(&self) {
        self.shared.reopen_requested.store(true, Ordering::Release);
        self.wake_writer();
    }

    fn wake_writer(&self) {
        lock(&self.shared.rounds).wake_requested = true;
        self.shared.wake.notify_one();
    }

    /// Waits until everything queued so far is written, at most `timeout`; returns whether it was.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mut rounds = lock(&self.shared.rounds);
        rounds.flush_requested += 1;
        let requested = rounds.flush_requested;
        self.shared.wake.notify_one();
        let waiting = |r: &mut FlushState| r.flush_completed < requested && !r.stopped;
        let waited = self.shared.done.wait_timeout_while(rounds, timeout, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.flush_completed >= requested
    }
}

impl Drop for AccessLog {
    /// Lets the writer finish in the background; it may be blocked, so this does not wait.
    fn drop(&mut self) {
        lock(&self.shared.rounds).stop = true;
        self.shared.wake.notify_one();
    }
}

/// Appends the line if it fits; a line that does not fit is removed completely.
fn push(queue: &mut Vec<u8>, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let before = queue.len();
    write(queue);
    let fits = queue.len() <= capacity;
    if !fits {
        queue.truncate(before);
    }
    fits
}

fn write_all(shared: &Shared, mut to: Box<dyn LogOutput>) {
    let mut batch = Vec::new();
    loop {
        let (requested, stop) = wait(shared, to.batch_delay());
        if shared.reopen_requested.swap(false, Ordering::AcqRel) {
            to.reopen();
        }
        for queue in &shared.queues {
            write_queue(shared, queue, &mut batch, &mut *to);
        }
        let mut rounds = lock(&shared.rounds);
        rounds.flush_completed = requested;
        rounds.stopped = stop;
        shared.done.notify_all();
        if stop {
            return;
        }
    }
}

/// Swaps the queue's buffer with an empty one and writes it. Lost lines are counted.
fn write_queue(shared: &Shared, queue: &Queue, batch: &mut Vec<u8>, to: &mut dyn LogOutput) {
    batch.clear();
    std::mem::swap(batch, &mut *lock(&queue.0));
    if batch.is_empty() {
        return;
    }
    let lost = to.write_lines(batch);
    if lost > 0 {
        shared.dropped.fetch_add(lost, Ordering::Relaxed);
    }
}

/// Waits until there is something to write; returns the flush that this round completes, and whether it is the last
/// round.
fn wait(shared: &Shared, batch_delay: Duration) -> (u64, bool) {
    shared.writer_idle.store(true, Ordering::SeqCst);
    let idle = shared.queues.iter().all(|q| lock(&q.0).is_empty());
    let mut rounds = lock(&shared.rounds);
    if idle {
        let nothing =
            |r: &mut FlushState| !r.wake_requested && !r.stop && r.flush_requested == r.flush_completed;
        rounds = shared.wake.wait_while(rounds, nothing).unwrap_or_else(PoisonError::into_inner);
    }
    shared.writer_idle.store(false, Ordering::SeqCst);
    rounds.wake_requested = false;
    let must_hurry = |r: &mut FlushState| !r.stop && r.flush_requested == r.flush_completed;
    let collected = shared.wake.wait_timeout_while(rounds, batch_delay, must_hurry);
    let rounds = collected.unwrap_or_else(PoisonError::into_inner).0;
    (rounds.flush_requested, rounds.stop)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
pub(super) mod tests;
