//! The log of the process on standard error: one line per event, warnings and errors unless `MARGAY_LOG` enables more
//! (`error`, `warn`, `info`, `debug`, `trace`, `off`).

use crate::telemetry::process_log;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::time::{Duration, Instant};

/// How long the end of the process waits for queued lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // pingora logs every start and stop at `info`, which is only useful for debugging.
        let is_own = metadata.target().starts_with("margay");
        is_own || metadata.level() <= Level::Warn || log::max_level() >= LevelFilter::Debug
    }

    fn log(&self, record: &Record) {
        let Some(log) = process_log::current().filter(|_| self.enabled(record.metadata())) else { return };
        let (file, line) = (record.file().unwrap_or_default(), record.line().unwrap_or_default());
        if log::max_level() >= LevelFilter::Debug || log.admits(file, line, Instant::now()) {
            let level = record.level().as_str().to_ascii_lowercase();
            log.log(format!("margay: {level}: {}\n", record.args()));
        }
    }

    fn flush(&self) {
        if let Some(log) = process_log::current() {
            log.flush(FLUSH_TIMEOUT);
        }
    }
}

/// Installs the logger of the process.
pub fn start(level: Option<&str>) -> Result<(), String> {
    let level = match level.map(str::trim).filter(|level| !level.is_empty()) {
        None => LevelFilter::Warn,
        Some(level) => level.parse().map_err(|_| {
            format!("invalid MARGAY_LOG={level}: expected off, error, warn, info, debug or trace")
        })?,
    };
    process_log::start().map_err(|error| format!("no process log: {error}"))?;
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_level_is_rejected() {
        assert!(super::start(Some("loud")).unwrap_err().contains("MARGAY_LOG=loud"));
    }
}
