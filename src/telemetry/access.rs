//! The access log: one JSON line a request, through a bounded queue to a thread that may block.
//!
//! Each worker appends to its own buffer under a lock that only the writer thread contends for, a few times a
//! second; a reader that is too slow costs lines (they are counted), never a request.

use super::json::JsonLineWriter;
use crate::base::date::civil_from_days;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much one worker may have waiting.
pub const QUEUE_BYTES: usize = 2 * 1024 * 1024;

/// How long the writer gathers lines after it woke up, so that a busy gateway wakes it seldom.
const BATCH_DELAY: Duration = Duration::from_millis(10);

/// What is written down about one request.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request head was complete.
    pub time: SystemTime,
    /// The request id, as sent to the backend.
    pub id: &'a [u8],
    /// Who asked: the connection's address or, behind trusted proxies, the one they name.
    pub client: IpAddr,
    pub method: &'a [u8],
    /// The authority the client asked for.
    pub host: &'a [u8],
    /// The path as the client sent it, without the query, which may hold secrets.
    pub path: &'a [u8],
    /// The label of the route; empty when none was found.
    pub route: &'a str,
    /// What the client got; 499 when it left before.
    pub status: u16,
    /// Why the gateway answered itself; empty when the backend answered.
    pub error_code: &'a str,
    /// The backend address of the last attempt; empty when there was none.
    pub endpoint: &'a str,
    pub attempts: u32,
    /// Body bytes from and to the client.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the head to the last byte.
    pub duration: Duration,
    /// From dispatch to the backend's response head; none when no backend answered.
    pub backend_duration: Option<Duration>,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'a str,
}

impl Record<'_> {
    /// Appends the record as one line of JSON.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let mut line = JsonLineWriter::begin(buffer);
        line.string_unescaped("time", format_args!("{}", Timestamp(self.time)))
            .text("id", self.id)
            .string_unescaped("client_ip", format_args!("{}", self.client))
            .text("method", self.method)
            .text("host", self.host)
            .text("path", self.path)
            .text("route", self.route.as_bytes())
            .number("status", u64::from(self.status));
        self.write_optional(&mut line);
        line.number("attempts", u64::from(self.attempts))
            .number("bytes_in", self.bytes_in)
            .number("bytes_out", self.bytes_out)
            .raw_value("duration_ms", format_args!("{}", Millis(self.duration)));
        if let Some(backend) = self.backend_duration {
            line.raw_value("backend_duration_ms", format_args!("{}", Millis(backend)));
        }
        line.text("protocol", self.protocol.as_bytes());
        line.end();
    }

    fn write_optional(&self, line: &mut JsonLineWriter) {
        for (name, value) in [("error_code", self.error_code), ("endpoint", self.endpoint)] {
            if !value.is_empty() {
                line.text(name, value.as_bytes());
            }
        }
    }
}

/// Milliseconds with three digits behind the point.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let us = self.0.as_micros();
        write!(f, "{}.{:03}", us / 1000, us % 1000)
    }
}

/// RFC 3339 in UTC with milliseconds.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, ms) = (secs / 3600, secs / 60 % 60, secs % 60, since.subsec_millis());
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// The queue and its writer.
pub struct AccessLog {
    shared: Arc<Shared>,
    capacity: usize,
}

struct Shared {
    queues: Box<[Queue]>,
    dropped: Arc<AtomicU64>,
    /// The writer found nothing and waits to be woken.
    writer_idle: AtomicBool,
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
    /// Flushes asked for, and the last one after which everything was written.
    flush_requested: u64,
    flush_completed: u64,
    stop: bool,
    stopped: bool,
}

impl AccessLog {
    /// A log on standard output.
    pub fn stdout(workers: usize, dropped: Arc<AtomicU64>) -> std::io::Result<AccessLog> {
        Self::new(workers, QUEUE_BYTES, dropped, std::io::stdout())
    }

    /// A log on any writer, with so many bytes waiting per worker.
    pub fn new(
        workers: usize,
        capacity: usize,
        dropped: Arc<AtomicU64>,
        to: impl Write + Send + 'static,
    ) -> std::io::Result<AccessLog> {
        let shared = Arc::new(Shared {
            queues: (0..workers.max(1)).map(|_| Queue::default()).collect(),
            dropped,
            writer_idle: AtomicBool::new(false),
            rounds: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let theirs = shared.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&theirs, to))?;
        Ok(AccessLog { shared, capacity })
    }

    /// Queues one line; when this worker's queue is full the line is dropped and counted.
    pub fn log(&self, worker: usize, record: &Record) {
        let queue = &self.shared.queues[worker % self.shared.queues.len()];
        if !push(&mut lock(&queue.0), self.capacity, record) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.writer_idle.swap(false, Ordering::AcqRel) {
            lock(&self.shared.rounds).wake_requested = true;
            self.shared.wake.notify_one();
        }
    }

    /// Waits until everything queued so far is written, at most this long; says whether it was.
    pub fn flush(&self, at_most: Duration) -> bool {
        let mut rounds = lock(&self.shared.rounds);
        rounds.flush_requested += 1;
        let mine = rounds.flush_requested;
        self.shared.wake.notify_one();
        let waiting = |r: &mut FlushState| r.flush_completed < mine && !r.stopped;
        let waited = self.shared.done.wait_timeout_while(rounds, at_most, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.flush_completed >= mine
    }
}

impl Drop for AccessLog {
    /// The writer writes what is left and ends; nobody waits for it here, because it may be blocked.
    fn drop(&mut self) {
        lock(&self.shared.rounds).stop = true;
        self.shared.wake.notify_one();
    }
}

/// Appends the line if it fits; a line that does not fit leaves no trace.
fn push(queue: &mut Vec<u8>, capacity: usize, record: &Record) -> bool {
    let before = queue.len();
    record.write(queue);
    let fits = queue.len() <= capacity;
    if !fits {
        queue.truncate(before);
    }
    fits
}

fn write_all(shared: &Shared, mut to: impl Write) {
    let mut batch = Vec::new();
    loop {
        let (asked, stop) = wait(shared);
        for queue in &shared.queues {
            write_queue(shared, queue, &mut batch, &mut to);
        }
        let mut rounds = lock(&shared.rounds);
        rounds.flush_completed = asked;
        rounds.stopped = stop;
        shared.done.notify_all();
        if stop {
            return;
        }
    }
}

/// Takes the queue's buffer and leaves the empty one of the round before. A writer that fails loses lines, no more.
fn write_queue(shared: &Shared, queue: &Queue, batch: &mut Vec<u8>, to: &mut impl Write) {
    batch.clear();
    std::mem::swap(batch, &mut *lock(&queue.0));
    if batch.is_empty() {
        return;
    }
    if to.write_all(batch).and_then(|()| to.flush()).is_err() {
        let lines = batch.iter().filter(|b| **b == b'\n').count();
        shared.dropped.fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// Until there is something to write; (the flush that this round answers, whether it is the last).
fn wait(shared: &Shared) -> (u64, bool) {
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
    if !rounds.stop && rounds.flush_requested == rounds.flush_completed {
        drop(rounds);
        std::thread::sleep(BATCH_DELAY);
        rounds = lock(&shared.rounds);
    }
    (rounds.flush_requested, rounds.stop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
