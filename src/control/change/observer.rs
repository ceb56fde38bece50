//! The thread that observes a change while it is being watched.

use super::manager::ConfigManager;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often the counters are observed.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(250);

/// Observes the change with this number until its watch ends.
///
/// # Errors
/// No thread can be started.
pub(super) fn observe(manager: &Arc<ConfigManager>, number: u64) -> io::Result<()> {
    let manager = manager.clone();
    let run = move || {
        let mut state = manager.state();
        while state.observe(number, Instant::now()) {
            let waited = manager.ended.wait_timeout(state, OBSERVE_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    };
    std::thread::Builder::new().name("config-watch".into()).spawn(run).map(drop)
}
