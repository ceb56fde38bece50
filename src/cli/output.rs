//! Data goes to standard output, talk to standard error. A reader that went away is no reason to fail.

use std::io::{Write, stderr, stdout};

/// What was asked for.
pub fn write_stdout(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What is said beside it.
pub fn write_stderr(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
