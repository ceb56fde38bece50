//! Bodies are streamed with constant memory. `SOAK=1` transfers 2 GiB instead of 256 MiB.

use super::{gateway, over, to};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::h2::{DATA, END_HEADERS, HEADERS, Raw, block};
use crate::support::scripted_backend::ScriptedBackend;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn size() -> u64 {
    if std::env::var("SOAK").is_ok() { 2 << 30 } else { 256 << 20 }
}

const PART: usize = 256 * 1024;

/// Runs `transfer` and returns the maximum growth of the gateway in KiB.
fn growth(gateway: &Gateway, transfer: impl FnOnce() + Send) -> u64 {
    let before = gateway.process.rss();
    let highest = AtomicU64::new(before);
    std::thread::scope(|scope| {
        let running = scope.spawn(transfer);
        while !running.is_finished() {
            highest.fetch_max(gateway.process.rss(), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
        }
        running.join().expect("the transfer works");
    });
    highest.load(Ordering::SeqCst) - before
}

const ALLOWED_KIB: u64 = 32 * 1024;

#[test]
fn a_large_download_uses_constant_memory() {
    let origin = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", size()).as_bytes());
            let part = vec![b'x'; PART];
            for _ in 0..size() / PART as u64 {
                if !wire.send(&part) {
                    return;
                }
            }
        }
    });
    let gateway = gateway(origin.port());
    let grown = growth(&gateway, || {
        let mut client = gateway.connect();
        assert_eq!(client.get("/").length, size());
    });
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
}

#[test]
fn a_large_upload_uses_constant_memory() {
    let origin = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            let mut got = 0_u64;
            if wire.exactly(size(), &mut |part| got += part.len() as u64).is_ok() {
                wire.send(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{got}", got.to_string().len())
                        .as_bytes(),
                );
            }
        }
    });
    let gateway = gateway(origin.port());
    let grown = growth(&gateway, || {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n", size()));
        let part = vec![b'x'; PART];
        for _ in 0..size() / PART as u64 {
            client.wire.stream.write_all(&part).expect("the upload goes on");
        }
        assert_eq!(client.answer("POST").map(|a| a.text()), Ok(size().to_string()));
    });
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
}

#[test]
fn small_frames_of_stalled_uploads_need_no_more_memory_than_their_data() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        // Reads the body of the fast request to its end.
        let _ = wire.drain();
    });
    // All but one of these requests wait, and their bodies are not read.
    let queue =
        json!({ "ConcurrencyLimitOptions": { "Limit": 1, "QueueLimit": 100, "QueueTimeout": "60s" } });
    let route = |path: &str, more: &Value| {
        let paths = json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path });
        over(over(to(origin.port()), &paths), more)
    };
    let routes = [route("/fast", &json!({})), route("/stalled", &queue)];
    let limits = json!({ "StreamWindowSize": "16MiB" });
    let gateway = Gateway::with(&json!({ "Routes": routes, "Limits": limits }));
    let mut raw = Raw::connect(gateway.address);
    let post =
        |path| block(&[(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "gw.test")]);
    let stalled = || (1..=40).map(|n| 2 * n + 1);
    raw.send(HEADERS, END_HEADERS, 1, &post("/fast"));
    stalled().for_each(|id| assert!(raw.send(HEADERS, END_HEADERS, id, &post("/stalled"))));
    assert!(becomes_true(Duration::from_secs(10), || origin.connections() == 2));
    let before = gateway.process.rss();
    for _ in 0..30 {
        for id in stalled() {
            raw.send(DATA, 0, id, &[b'x'; 257]);
            raw.send(DATA, 0, 1, &[b'y'; 8000]);
        }
    }
    std::thread::sleep(Duration::from_millis(300));
    let grown = gateway.process.rss().saturating_sub(before);
    assert!(grown < 5 * 1024, "{grown} KiB for 300 KiB");
}

#[test]
fn back_pressure_of_a_client_stops_the_backend() {
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let origin = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let part = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while wire.send(part.as_bytes()) {
            count.fetch_add(0x10000, Ordering::SeqCst);
        }
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(Request::get("/").bytes("gw"));
    let held_back = || {
        let before = written.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(400));
        before > 0 && before == written.load(Ordering::SeqCst)
    };
    assert!(crate::support::becomes_true(Duration::from_secs(10), held_back), "the service is held back");
    let bytes = written.load(Ordering::SeqCst);
    assert!(bytes < 64 << 20, "the service could write {bytes} bytes");
    drop(client);
}
