//! The access log: one line per request, written by a thread that may block, behind a bounded queue.
//!
//! Each worker appends to its own buffer under a lock that only the writer thread contends for, a few times per second.
//! If the destination is too slow, lines are dropped and counted; requests are never delayed. A plan holds its log;
//! plans with equal settings share one, and a log that no plan holds any more writes its last lines in
//! the background.

pub mod config;
mod file;
mod open;
pub(super) mod output;
mod queue;
mod syslog;
mod template;

pub use config::{
    AccessLogConfig, FACILITIES, FileConfig, LogFormat, OutputConfig, SyslogAddress, SyslogConfig,
};
pub(super) use open::open;
pub use output::{LogOutput, WriterOutput};
#[cfg(test)]
pub(super) use queue::tests::until;
pub use queue::{AccessLog, QUEUE_BYTES, RecordForm};
pub use template::{LineTemplate, VARIABLES};
