//! Support for the end-to-end tests: std sockets and threads only, so that no bug of the gateway can be shared
//! by its tests.

pub mod client;
pub mod collector;
pub mod consul;
pub mod dns;
pub mod ext_authz;
pub mod gateway;
pub mod h2;
pub mod http1_reader;
pub mod origin;
pub mod ports;
pub mod process;
pub mod redis;
pub mod scripted_backend;
pub mod stub_backend;
pub mod tcp_relay;
pub mod tls;
pub mod tonic;
pub mod websocket;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Prints text that `cargo test` shows for passing tests as well: counts belong into every log.
pub fn announce(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(format!("{text}\n").as_bytes());
}

/// Whether tests judge times as well, as `make soak` does: on a shared machine they mean nothing.
pub fn measures_time() -> bool {
    std::env::var_os("SOAK").is_some()
}

/// Sets a flag on drop. Threads of a scope that loop until it is set end after a failed assertion too; otherwise the scope
/// would wait for them forever.
pub struct StopGuard<'f>(pub &'f AtomicBool);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Repeats `ask` until it returns a value; `None` after `within`.
pub fn until<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether `condition` becomes true within the given time.
pub fn becomes_true(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    until(within, || condition().then_some(())).is_some()
}
