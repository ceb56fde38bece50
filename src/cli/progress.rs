//! Progress of long work, as one line on a terminal.

use super::output;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Work that takes less time shows nothing.
const QUIET_TIME: Duration = Duration::from_millis(300);

/// The progress of one command; nothing is shown unless standard error is a terminal.
pub struct Progress {
    start: Instant,
    step: String,
    is_shown: bool,
    is_terminal: bool,
}

impl Progress {
    /// Begins with the first step.
    pub fn start(step: &str) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        Progress { start: Instant::now(), step: step.to_owned(), is_shown: false, is_terminal }
    }

    /// The next step.
    pub fn step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        if self.is_terminal && self.start.elapsed() > QUIET_TIME {
            output::write_stderr(&format!("\r\x1b[Kmargay: {} ...", self.step));
            self.is_shown = true;
        }
    }

    /// Removes the line.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            output::write_stderr("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
