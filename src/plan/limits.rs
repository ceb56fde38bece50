//! The limits as they run: those of the document, and those of the process where the document says nothing.

use super::{blueprint, compiled::Limits};
use crate::net::{
    h1::{client::ClientLimits, parse::HeadLimits},
    h2,
};

/// The limits of a plan; `connections` is how many the process has room for.
pub fn runtime_limits(limits: &blueprint::Limits, connections: usize) -> Limits {
    let count = |n: Option<u64>| n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let requests = limits.requests_per_connection.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
    Limits {
        http2: http2(limits.http2, requests),
        client: ClientLimits {
            head: HeadLimits {
                max_line_bytes: limits.request_line,
                max_fields_bytes: limits.headers_total,
                max_fields: limits.header_count,
            },
            body: limits.body.unwrap_or(u64::MAX),
            head_timeout: limits.headers_timeout,
            idle_timeout: limits.keep_alive_timeout,
        },
        body_idle: limits.body_idle_timeout,
        backend_idle: limits.backend_idle_timeout,
        drain: limits.drain_timeout,
        tunnel_idle: limits.websocket_idle_timeout,
        connections: limits.max_connections.map_or(connections, |n| count(Some(n))),
        connections_per_client: count(limits.connections_per_client),
        requests_per_connection: requests,
    }
}

fn http2(limits: blueprint::Http2Limits, requests: u32) -> h2::Limits {
    let blueprint::Http2Limits {
        streams,
        window,
        stream_resets_per_second: resets,
        control_frames_per_second: control,
    } = limits;
    h2::Limits {
        streams,
        window,
        frame_rate: h2::FrameRateLimits { resets_per_second: resets, control_frames_per_second: control },
        requests,
    }
}
