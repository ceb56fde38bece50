use super::*;
use std::net::Ipv4Addr;
use std::time::UNIX_EPOCH;

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

fn record() -> Record<'static> {
    Record {
        time: UNIX_EPOCH + Duration::from_millis(1_795_271_589_007),
        id: b"01J",
        client: Ipv4Addr::LOCALHOST.into(),
        method: b"GET",
        host: b"api.example",
        path: b"/orders/7",
        route: "orders",
        status: 200,
        error_code: "",
        endpoint: "127.0.0.1:9103",
        attempts: 1,
        bytes_in: 0,
        bytes_out: 12,
        duration: Duration::from_micros(1_234),
        backend_duration: Some(Duration::from_micros(987)),
        protocol: "HTTP/1.1",
    }
}

#[test]
fn a_record_is_one_line_of_json() {
    let mut line = Vec::new();
    record().write(&mut line);
    let expected = concat!(
        r#"{"time":"2026-11-21T14:33:09.007Z","id":"01J","client_ip":"127.0.0.1","method":"GET","host":"api.example","#,
        r#""path":"/orders/7","route":"orders","status":200,"endpoint":"127.0.0.1:9103","attempts":1,"bytes_in":0,"#,
        r#""bytes_out":12,"duration_ms":1.234,"backend_duration_ms":0.987,"protocol":"HTTP/1.1"}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn request_data_cannot_break_the_line() {
    let mut line = Vec::new();
    Record { path: b"/a\"\n\x00\xff\\", host: b"\r\n{", error_code: "request.malformed", ..record() }
        .write(&mut line);
    let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(read["path"], "/a\"\n\u{0}\u{fffd}\\");
    assert_eq!(read["error_code"], "request.malformed");
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn a_flush_returns_after_all_queued_lines_are_written() {
    let sink = Sink::default();
    let dropped = Arc::<AtomicU64>::default();
    let log = Arc::new(AccessLog::new(2, QUEUE_BYTES, dropped.clone(), sink.clone()).unwrap());
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
    let log = AccessLog::new(1, QUEUE_BYTES, Arc::default(), sink.clone()).unwrap();
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
    record().write(&mut line);
    let capacity = line.len() * 2 + 10;
    assert_eq!([0; 3].map(|_| push(&mut queue, capacity, &record())), [true, true, false]);
    assert_eq!(queue, [line.clone(), line].concat());
}

#[test]
fn a_line_larger_than_the_queue_is_counted_as_dropped() {
    let dropped = Arc::<AtomicU64>::default();
    let log = AccessLog::new(1, 10, dropped.clone(), Sink::default()).unwrap();
    log.log(0, &record());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_closed_standard_output_only_loses_lines() {
    let dropped = Arc::<AtomicU64>::default();
    let log = AccessLog::new(1, QUEUE_BYTES, dropped.clone(), Broken).unwrap();
    log.log(0, &record());
    assert!(log.flush(FLUSH_TIMEOUT));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

fn until(done: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < FLUSH_TIMEOUT, "nothing was written");
        std::thread::yield_now();
    }
}
