//! `Limits` of tunnels.

use crate::config::{Diagnostics, codes, ranges::RangeChecker, values::Setting};
use crate::net::agents::config::TunnelLimits;
use crate::plan::document::TunnelLimitsDocument;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_COUNT: u64 = 1_000_000_000;

/// The limits; those that are absent are the ones of `base`. With `of_agent`, those of the whole process are refused.
pub fn limits(
    document: &Setting<TunnelLimitsDocument>,
    base: TunnelLimits,
    of_agent: bool,
    diagnostics: &mut Diagnostics,
) -> TunnelLimits {
    let Some(document) = document else { return base };
    let global = [("MaxAgents", &document.max_agents), ("MaxStreams", &document.max_streams)];
    for (name, set) in global.into_iter().filter(|_| of_agent) {
        if let Some(set) = set {
            let message = format!("{name} has no effect in the Limits of an agent");
            diagnostics.error(codes::BAD_TUNNEL_LIMIT, set.span, message).help("set it in Tunnels.Limits");
        }
    }
    let mut read = RangeChecker::for_code(codes::BAD_TUNNEL_LIMIT, diagnostics);
    let mut count = |name: &str, set: &Setting<i64>, default: usize, max: u64| {
        read.count(name, set, max).map_or(default, |count| count as usize)
    };
    let max_agents = count("MaxAgents", &document.max_agents, base.max_agents, MAX_COUNT);
    let max_streams = count("MaxStreams", &document.max_streams, base.max_streams, MAX_COUNT);
    let per_agent = &document.max_streams_per_agent;
    let max_streams_per_agent = count("MaxStreamsPerAgent", per_agent, base.max_streams_per_agent, 1024);
    let rate = &document.new_streams_per_second;
    let new_streams = count("NewStreamsPerSecond", rate, base.new_streams_per_second as usize, 1_000_000);
    TunnelLimits {
        max_agents,
        max_streams,
        max_streams_per_agent,
        new_streams_per_second: new_streams as u32,
        ..flow(document, base, &mut read)
    }
}

/// The limits of bytes and times.
fn flow(document: &TunnelLimitsDocument, base: TunnelLimits, read: &mut RangeChecker) -> TunnelLimits {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let mut bytes = |name: &str, set, default: u64, min, max| read.size(name, set, default, min, max) as u64;
    let (per_second, per_day) = (&document.bytes_per_second, &document.bytes_per_day);
    let second_bytes = bytes("BytesPerSecond", per_second, 0, KIB, u64::MAX >> 1);
    let day_bytes = bytes("BytesPerDay", per_day, 0, KIB, u64::MAX >> 1);
    let window = u64::from(base.max_stream_window);
    let window = bytes("MaxStreamWindow", &document.max_stream_window, window, 64 * KIB, 64 * MIB);
    let connection = u64::from(base.max_connection_window);
    let connection =
        bytes("MaxConnectionWindow", &document.max_connection_window, connection, MIB, 1024 * MIB);
    let duration = &document.max_stream_duration;
    let duration = duration.as_ref().map(|_| read.time("MaxStreamDuration", duration, MONTH, SECOND, MONTH));
    TunnelLimits {
        bytes_per_second: if per_second.is_some() { Some(second_bytes) } else { base.bytes_per_second },
        bytes_per_day: if per_day.is_some() { Some(day_bytes) } else { base.bytes_per_day },
        max_stream_window: window as u32,
        max_connection_window: connection as u32,
        idle_timeout: read.time("IdleTimeout", &document.idle_timeout, base.idle_timeout, SECOND, MONTH),
        max_stream_duration: duration.or(base.max_stream_duration),
        connect_timeout: read.time(
            "ConnectTimeout",
            &document.connect_timeout,
            base.connect_timeout,
            Duration::from_millis(100),
            MINUTE,
        ),
        wait_for_agent: read.time(
            "WaitForAgent",
            &document.wait_for_agent,
            base.wait_for_agent,
            Duration::ZERO,
            MINUTE,
        ),
        ..base
    }
}
