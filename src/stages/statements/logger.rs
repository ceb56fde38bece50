//! `Loggers`: threads that write lines.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
};

/// Lines that wait for a logger.
const MAX_LINES: usize = 1024;

/// Where the lines of a logger go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LoggerKind {
    Stdout,
    File(PathBuf),
}

/// A logger: a thread that writes lines.
#[derive(Debug)]
pub struct Logger {
    pub id: String,
    pub kind: LoggerKind,
    sender: Mutex<Option<SyncSender<String>>>,
}

impl Logger {
    /// A logger whose thread starts with its first line.
    pub fn new(id: String, kind: LoggerKind) -> Logger {
        Logger { id, kind, sender: Mutex::default() }
    }

    /// Hands a line to the thread; a line that finds no place is dropped.
    pub fn write(&self, line: String) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.get_or_insert_with(|| start(self.kind.clone()));
        if sender.try_send(line).is_err() {
            log::debug!("logger {}: a line was dropped", self.id);
        }
    }
}

fn start(kind: LoggerKind) -> SyncSender<String> {
    let (sender, lines) = sync_channel::<String>(MAX_LINES);
    std::thread::spawn(move || {
        let mut output: Box<dyn Write> = match &kind {
            LoggerKind::Stdout => Box::new(std::io::stdout()),
            LoggerKind::File(path) => {
                match std::fs::OpenOptions::new().create(true).append(true).open(path) {
                    Ok(file) => Box::new(file),
                    Err(error) => {
                        log::error!("logger: cannot open {}: {error}", path.display());
                        return;
                    }
                }
            }
        };
        for line in lines {
            let written = writeln!(output, "{line}").and_then(|()| output.flush());
            if let Err(error) = written {
                log::warn!("logger: {error}");
            }
        }
    });
    sender
}
