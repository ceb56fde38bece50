//! What the process says about itself, on standard error: one line each, warnings and errors unless `MARGAY_LOG` asks
//! for more (`error`, `warn`, `info`, `debug`, `trace`, `off`).

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // pingora tells of every start and stop at info; that is its matter until somebody debugs.
        let ours = metadata.target().starts_with("margay");
        ours || metadata.level() <= Level::Warn || log::max_level() >= LevelFilter::Debug
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_ascii_lowercase();
            let _ = writeln!(std::io::stderr().lock(), "margay: {level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Takes over logging for the process.
pub fn start(level: Option<&str>) -> Result<(), String> {
    let level = match level.map(str::trim).filter(|level| !level.is_empty()) {
        None => LevelFilter::Warn,
        Some(level) => level
            .parse()
            .map_err(|_| format!("MARGAY_LOG={level} is none of: off, error, warn, info, debug, trace"))?,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        assert!(super::start(Some("loud")).unwrap_err().contains("MARGAY_LOG=loud"));
    }
}
