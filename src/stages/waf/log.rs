//! The log of the firewall: one JSON line for each request with a match, written by a separate thread.

use super::config::WafLogTarget;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The lines that wait for the writer; further ones are dropped.
const QUEUE_CAPACITY: usize = 4096;

/// A log.
#[derive(Debug)]
pub struct WafLog(SyncSender<Vec<u8>>);

impl WafLog {
    /// Opens a destination; none for `off`.
    pub fn open(target: &WafLogTarget) -> io::Result<Option<Self>> {
        let output: Box<dyn Write + Send> = match target {
            WafLogTarget::Off => return Ok(None),
            WafLogTarget::Stdout => Box::new(io::stdout()),
            WafLogTarget::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (sender, lines) = sync_channel(QUEUE_CAPACITY);
        std::thread::Builder::new().name("waf-log".into()).spawn(move || write_lines(&lines, output))?;
        Ok(Some(Self(sender)))
    }

    /// Queues a line; returns whether there was room for it.
    pub fn write(&self, line: Vec<u8>) -> bool {
        self.0.try_send(line).is_ok()
    }
}

/// Writes until the log is closed. A failed write loses its line.
fn write_lines(lines: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
    while let Ok(line) = lines.recv() {
        drop(output.write_all(&line));
        for line in lines.try_iter() {
            drop(output.write_all(&line));
        }
        drop(output.flush());
    }
}
