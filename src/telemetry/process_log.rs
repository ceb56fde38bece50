//! The lines of the process log, on standard error: a bounded queue with its own thread, so that a reader that does not
//! read never blocks a worker. Lines beyond the bound are dropped and counted, and so are frequent lines of one statement.

use std::{
    io::Write,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

/// Maximum number of queued lines.
const QUEUE_CAPACITY: usize = 1024;
/// Lines of one statement per second; more are dropped.
const MAX_LINES_PER_SECOND: u32 = 20;
/// Statements are distinguished by this number of slots.
const STATEMENT_SLOTS: usize = 256;

/// Lines dropped by all queues of the process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The log of the process.
static PROCESS: OnceLock<ProcessLog> = OnceLock::new();

/// The log of the process, started with the first call.
///
/// # Errors
///
/// If its thread cannot be started.
pub fn start() -> std::io::Result<&'static ProcessLog> {
    if PROCESS.get().is_none() {
        let _ = PROCESS.set(ProcessLog::start(std::io::stderr())?);
    }
    PROCESS.get().ok_or_else(|| std::io::ErrorKind::Other.into())
}

/// The log of the process, if it was started.
pub fn current() -> Option<&'static ProcessLog> {
    PROCESS.get()
}

/// Writes a line for the operator, whatever the level.
pub fn notice(text: &str) {
    match current() {
        Some(log) => log.log(format!("margay: {text}\n")),
        None => eprintln!("margay: {text}"),
    }
}

/// The number of lines dropped because the queue was full, or repeated too often.
pub fn dropped_total() -> u64 {
    DROPPED.load(Relaxed)
}

/// The queue of lines.
#[derive(Debug)]
pub struct ProcessLog {
    queue: SyncSender<String>,
    /// Lines queued, and lines written.
    queued: AtomicU64,
    written_lines: &'static AtomicU64,
    repeats: RepeatLimiter,
}

impl ProcessLog {
    /// A queue whose thread writes to `sink`.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(sink: impl Write + Send + 'static) -> std::io::Result<ProcessLog> {
        let (queue, lines) = sync_channel(QUEUE_CAPACITY);
        let (written_lines, reported): (&'static AtomicU64, _) = (Box::leak(Box::default()), dropped_total());
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&lines, sink, written_lines, reported))?;
        Ok(ProcessLog { queue, queued: AtomicU64::new(0), written_lines, repeats: RepeatLimiter::default() })
    }

    /// Queues one line; drops it if the queue is full.
    pub fn log(&self, line: String) {
        match self.queue.try_send(line) {
            Ok(()) => drop(self.queued.fetch_add(1, Relaxed)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => drop(DROPPED.fetch_add(1, Relaxed)),
        }
    }

    /// Whether a statement may log another line now; counts a dropped line otherwise.
    pub fn admits(&self, file: &str, line: u32, now: Instant) -> bool {
        let admitted = self.repeats.admits(file, line, now);
        if !admitted {
            DROPPED.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Waits until the queued lines are written, at most for `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let (end, queued) = (Instant::now() + timeout, self.queued.load(Relaxed));
        while self.written_lines.load(Relaxed) < queued && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Writes lines until the queue is dropped; after lines were dropped, their number too.
fn write_lines(lines: &Receiver<String>, mut sink: impl Write, written_lines: &AtomicU64, mut reported: u64) {
    for line in lines {
        // Without standard error there is no place for the log.
        let _ = sink.write_all(line.as_bytes());
        written_lines.fetch_add(1, Relaxed);
        let dropped = dropped_total();
        if dropped > reported {
            let _ = writeln!(sink, "margay: warn: {} log lines were dropped", dropped - reported);
            reported = dropped;
        }
    }
}

/// Limits the lines of each statement per second.
#[derive(Debug)]
struct RepeatLimiter {
    start: OnceLock<Instant>,
    /// The second in the upper half, the lines in it in the lower half.
    slots: [AtomicU64; STATEMENT_SLOTS],
}

impl Default for RepeatLimiter {
    fn default() -> Self {
        RepeatLimiter { start: OnceLock::new(), slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl RepeatLimiter {
    fn admits(&self, file: &str, line: u32, now: Instant) -> bool {
        let start = *self.start.get_or_init(|| now);
        let second = now.saturating_duration_since(start).as_secs() & u64::from(u32::MAX);
        let slot = &self.slots[(file.len().wrapping_mul(31) + line as usize) % STATEMENT_SLOTS];
        let next = |word: u64| match word >> 32 == second {
            true => word.saturating_add(1),
            false => second << 32 | 1,
        };
        let before = slot.fetch_update(Relaxed, Relaxed, |word| Some(next(word))).unwrap_or_default();
        next(before) & u64::from(u32::MAX) <= u64::from(MAX_LINES_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, mpsc};

    /// A sink that blocks until the test sends a token.
    struct StuckSink(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for StuckSink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_blocks_nothing() {
        let (release, stuck) = mpsc::channel();
        let written = Arc::default();
        let log = ProcessLog::start(StuckSink(stuck, Arc::clone(&written))).unwrap();
        let before = dropped_total();
        (0..QUEUE_CAPACITY + 100).for_each(|_| log.log("line\n".to_owned()));
        assert!(dropped_total() - before >= 99);
        drop(release);
        log.flush(Duration::from_secs(5));
        let written = written.lock().unwrap().clone();
        assert!(String::from_utf8(written).unwrap().contains("log lines were dropped"));
    }

    #[test]
    fn a_statement_logs_a_bounded_number_of_lines_per_second() {
        let (limiter, now, here) = (RepeatLimiter::default(), Instant::now(), std::panic::Location::caller());
        let admitted = |now| (0..100).filter(|_| limiter.admits(here.file(), here.line(), now)).count();
        assert_eq!(admitted(now), MAX_LINES_PER_SECOND as usize);
        assert!(limiter.admits(here.file(), here.line() + 1, now), "another statement");
        assert_eq!(admitted(now + Duration::from_secs(1)), MAX_LINES_PER_SECOND as usize);
    }
}
