use super::super::output::WriterOutput;
use super::*;
use crate::telemetry::record::tests::record;
use std::io::Write;

/// A writer that the test can read and block.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(part);
        Ok(part.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_flush_returns_after_all_queued_lines_are_written() {
    let sink = Sink::default();
    let dropped = Arc::<AtomicU64>::default();
    let log = Arc::new(
        AccessLog::new(
            2,
            QUEUE_BYTES,
            RecordForm::Json,
            dropped.clone(),
            Box::new(WriterOutput(sink.clone())),
        )
        .unwrap(),
    );
    let workers = [0, 1].map(|worker| {
        let log = log.clone();
        std::thread::spawn(move || (0..500).for_each(|_| log.log(worker, &record())))
    });
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(log.flush(FLUSH_TIMEOUT));
    assert_eq!(String::from_utf8_lossy(&lock(&sink.0)).lines().count(), 1000);
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn lines_are_written_without_a_flush_and_when_the_log_is_dropped() {
    let sink = Sink::default();
    let log = AccessLog::new(
        1,
        QUEUE_BYTES,
        RecordForm::Json,
        Arc::default(),
        Box::new(WriterOutput(sink.clone())),
    )
    .unwrap();
    log.log(0, &record());
    until(|| !lock(&sink.0).is_empty());
    log.log(0, &record());
    drop(log);
    until(|| lock(&sink.0).iter().filter(|b| **b == b'\n').count() == 2);
}

#[test]
fn a_full_queue_drops_whole_lines_and_counts_them() {
    let mut queue = Vec::new();
    let mut line = Vec::new();
    record().write_json(&mut line);
    let capacity = line.len() * 2 + 10;
    assert_eq!(
        [0; 3].map(|_| push(&mut queue, capacity, |queue| record().write_json(queue))),
        [true, true, false]
    );
    assert_eq!(queue, [line.clone(), line].concat());
}

#[test]
fn a_line_larger_than_the_queue_is_counted_as_dropped() {
    let dropped = Arc::<AtomicU64>::default();
    let log =
        AccessLog::new(1, 10, RecordForm::Json, dropped.clone(), Box::new(WriterOutput(Sink::default())))
            .unwrap();
    log.log(0, &record());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_closed_standard_output_only_loses_lines() {
    let dropped = Arc::<AtomicU64>::default();
    let log =
        AccessLog::new(1, QUEUE_BYTES, RecordForm::Json, dropped.clone(), Box::new(WriterOutput(Broken)))
            .unwrap();
    log.log(0, &record());
    assert!(log.flush(FLUSH_TIMEOUT));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

pub fn until(done: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < FLUSH_TIMEOUT, "nothing was written");
        std::thread::yield_now();
    }
}
