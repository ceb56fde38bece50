//! Where the writer thread puts complete lines.

use std::{
    io::{self, Write},
    time::Duration,
};

/// How long the writer collects lines after it wakes up, so that it wakes up rarely under load.
const BATCH_DELAY: Duration = Duration::from_millis(10);

/// The destination of an access log. It may block: only the writer thread calls it.
pub trait LogOutput: Send {
    /// Writes complete lines; returns how many were lost.
    fn write_lines(&mut self, lines: &[u8]) -> u64;

    /// Opens the destination again, after a rotation by another program.
    fn reopen(&mut self) {}

    /// How long lines are collected before they are written.
    fn batch_delay(&self) -> Duration {
        BATCH_DELAY
    }
}

/// Any writer. A failed write loses its lines.
pub struct WriterOutput<W>(pub W);

impl<W: Write + Send> LogOutput for WriterOutput<W> {
    fn write_lines(&mut self, lines: &[u8]) -> u64 {
        match self.0.write_all(lines).and_then(|()| self.0.flush()) {
            Ok(()) => 0,
            Err(_) => count_lines(lines),
        }
    }
}

/// The number of lines.
pub(in crate::telemetry) fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Logs the first of several failures, and the end of them.
#[derive(Debug, Default)]
pub(super) struct FailureReport {
    failing: bool,
}

impl FailureReport {
    /// `to` is the destination in messages.
    pub(super) fn update<T>(&mut self, to: &str, result: &Result<T, io::Error>) {
        match result {
            Err(error) if !self.failing => {
                log::warn!(
                    "cannot write the access log to {to}: {error}; its lines are dropped until this succeeds"
                );
            }
            Ok(_) if self.failing => log::info!("the access log is written to {to} again"),
            _ => {}
        }
        self.failing = result.is_err();
    }
}
