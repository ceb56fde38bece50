//! `TransportOptions` → timeouts and limits.

use super::options::TransportOptions;
use crate::base::units::DurationText;
use crate::config::values::{Setting, non_blank};
use crate::config::{Diagnostics, Span, codes, ranges::RangeChecker};
use crate::net::proxy_protocol::Version;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);
const MAX_CONNECTIONS: u64 = 1_000_000_000;

/// Timeouts and limits of a transport route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    pub connect_timeout: Duration,
    pub connect_attempts: u32,
    pub idle_timeout: Duration,
    pub half_close_timeout: Duration,
    pub hello_timeout: Duration,
    pub max_duration: Option<Duration>,
    pub max_connections: Option<usize>,
    pub proxy_protocol: Option<Version>,
    /// Datagrams of the service after which a UDP session ends.
    pub replies: Option<u32>,
}

impl TransportConfig {
    /// Compiles the options; invalid values are reported and replaced.
    pub fn compile(
        options: &TransportOptions,
        is_udp: bool,
        connect_timeout: Duration,
        diagnostics: &mut Diagnostics,
    ) -> TransportConfig {
        let proxy_protocol = proxy_protocol(options, is_udp, diagnostics);
        report_unused(options, is_udp, diagnostics);
        let read = &mut RangeChecker::for_code(codes::TRANSPORT_OPTION, diagnostics);
        let default_idle_timeout = if is_udp { MINUTE } else { HOUR };
        let mut time =
            |name, set: &Setting<DurationText>, default, min, max| read.time(name, set, default, min, max);
        let (ms, long) = (Duration::from_millis(1), MAX_IDLE_TIMEOUT);
        let idle_timeout = time("IdleTimeout", &options.idle_timeout, default_idle_timeout, SECOND, long);
        let half_close_default = (5 * MINUTE).min(idle_timeout);
        let half_close_timeout =
            time("HalfCloseTimeout", &options.half_close_timeout, half_close_default, SECOND, long);
        let max_duration = &options.max_connection_duration;
        let max_duration =
            max_duration.as_ref().map(|_| time("MaxConnectionDuration", max_duration, long, SECOND, long));
        let connect_timeout =
            time("ConnectTimeout", &options.connect_timeout, connect_timeout, ms, 10 * MINUTE);
        let hello_timeout = time("HelloTimeout", &options.hello_timeout, 5 * SECOND, 100 * ms, MINUTE);
        let attempts = read.number("ConnectAttempts", &options.connect_attempts, 1, 10);
        let max_connections = read.number("MaxConnections", &options.max_connections, 1, MAX_CONNECTIONS);
        let replies = read.number("Replies", &options.replies, 1, 1_000_000);
        report_half_close(options, half_close_timeout > idle_timeout, diagnostics);
        TransportConfig {
            connect_timeout,
            connect_attempts: attempts.map_or(3, |n| n as u32),
            idle_timeout,
            half_close_timeout: half_close_timeout.min(idle_timeout),
            hello_timeout,
            max_duration,
            max_connections: max_connections.map(|n| n as usize),
            proxy_protocol,
            replies: replies.map(|n| n as u32),
        }
    }
}

fn report_half_close(options: &TransportOptions, is_longer: bool, diagnostics: &mut Diagnostics) {
    if let Some(set) = options.half_close_timeout.as_ref().filter(|_| is_longer) {
        diagnostics
            .error(codes::TRANSPORT_OPTION, set.span, "HalfCloseTimeout is longer than IdleTimeout")
            .help("set at most the value of IdleTimeout");
    }
}

/// Settings that have no effect on the transport.
fn report_unused(options: &TransportOptions, is_udp: bool, diagnostics: &mut Diagnostics) {
    let tcp_only: [(&str, Option<Span>); 4] = [
        ("ConnectTimeout", options.connect_timeout.as_ref().map(|set| set.span)),
        ("ConnectAttempts", options.connect_attempts.as_ref().map(|set| set.span)),
        ("HalfCloseTimeout", options.half_close_timeout.as_ref().map(|set| set.span)),
        ("HelloTimeout", options.hello_timeout.as_ref().map(|set| set.span)),
    ];
    let udp_only = [("Replies", options.replies.as_ref().map(|set| set.span))];
    let (unused, transport) = if is_udp { (&tcp_only[..], "UDP") } else { (&udp_only[..], "TCP") };
    for (setting, span) in unused {
        if let Some(span) = span {
            let message = format!("{setting} has no effect on {transport}");
            diagnostics.warning(codes::TRANSPORT_OPTION, *span, message).help("remove it");
        }
    }
}

fn proxy_protocol(
    options: &TransportOptions,
    is_udp: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Version> {
    const VERSIONS: [(&str, Option<Version>); 3] =
        [("None", None), ("V1", Some(Version::V1)), ("V2", Some(Version::V2))];
    let name = non_blank(&options.proxy_protocol)?;
    let found = VERSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    let Some((_, version)) = found else {
        let message = format!("unknown ProxyProtocol \"{}\"", name.value);
        diagnostics
            .error(codes::UNKNOWN_CHOICE, name.span, message)
            .help("expected \"None\", \"V1\" or \"V2\"");
        return None;
    };
    if is_udp && version.is_some() {
        diagnostics
            .error(codes::TRANSPORT_OPTION, name.span, "the PROXY protocol is not sent to UDP services")
            .help("remove ProxyProtocol");
    }
    *version
}
