//! Data is written to standard output, everything else to standard error. A closed reader is not an error.

use std::io::{Write, stderr, stdout};

/// Writes the requested data.
pub fn write_stdout(text: &str) {
    let mut output = stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Writes a message.
pub fn write_stderr(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
