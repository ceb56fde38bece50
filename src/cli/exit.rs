//! The exit codes of the commands.

use super::output;
use std::process::ExitCode;

/// The result of a command; the exit codes are stable for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded.
    Done,
    /// Something failed while running: a port in use, a signal that cannot be received.
    Failed,
    /// The configuration is not valid.
    Invalid,
    /// The command line is invalid.
    Usage,
}

impl Exit {
    /// Reports an invalid command line.
    pub fn usage(why: &str) -> Exit {
        output::write_stderr(&format!("margay: {why}\n"));
        Exit::Usage
    }

    /// Reports an invalid document.
    pub fn invalid(why: &str) -> Exit {
        output::write_stderr(&format!("margay: {why}\n"));
        Exit::Invalid
    }

    /// Reports an error at run time.
    pub fn failed(why: &str) -> Exit {
        output::write_stderr(&format!("margay: {why}\n"));
        Exit::Failed
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Invalid => 2,
            Exit::Usage => 64,
        })
    }
}
