//! The settings of an access log: plain data, equal settings share one log.

use crate::telemetry::otlp::OtlpConfig;
use std::{path::PathBuf, sync::Arc};

/// An access log: what is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    pub format: LogFormat,
    pub output: OutputConfig,
}

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// A minijinja template over the members of the JSON form.
    Template(String),
}

/// Where lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputConfig {
    Stdout,
    File(FileConfig),
    Syslog(SyslogConfig),
    /// An OpenTelemetry collector.
    Otlp(Arc<OtlpConfig>),
}

/// A file with rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    pub path: PathBuf,
    /// The file is rotated before it grows beyond this size; `None`: never.
    pub max_bytes: Option<u64>,
    /// The number of rotated files that are kept.
    pub max_files: u32,
}

/// A syslog server (RFC 5424), reached by datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogConfig {
    pub address: SyslogAddress,
    /// 0 to 23.
    pub facility: u8,
    pub app_name: String,
}

/// The address of a syslog server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    Unix(PathBuf),
    /// `host:port`.
    Udp(String),
}

/// The names of the syslog facilities, by number.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
