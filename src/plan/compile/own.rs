//! The sections of our own: addresses, limits, forwarded fields.

use super::ranges::Ranges;
use crate::base::ip::IpRange;
use crate::config::document::{ForwardedHeadersDocument, LimitsDocument, ListenerDocument};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{Forwarded, Http2Limits, Limits};
use crate::plan::check::{filled, items};
use crate::wire::listen::Address;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// An IP address and a port; `localhost` is 127.0.0.1.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok())
}

pub(super) fn address(text: &Spanned<String>, out: &mut Diagnostics) -> Option<SocketAddr> {
    let parsed = parse_address(text.trim());
    if parsed.is_none() {
        out.error(codes::BAD_ADDRESS, text.span, format!("\"{}\" is not an address and a port", text.value))
            .help("write it like 127.0.0.1:8080, 0.0.0.0:80, [::]:80 or unix:/run/margay.sock");
    }
    parsed
}

pub(super) fn twice<'a>(all: impl Iterator<Item = (&'a Address, Option<Span>)>, out: &mut Diagnostics) {
    let mut seen = HashMap::new();
    for (address, span) in all.filter(|(address, _)| !address.is_open()) {
        if let Some(first) = seen.insert(address, span) {
            let message = format!("two of the listeners and the administration use {address}");
            out.error(codes::ADDRESS_TWICE, span.or(first), message).help("give each an address of its own");
        }
    }
}

pub(super) fn names_twice(listeners: &[Spanned<ListenerDocument>], out: &mut Diagnostics) {
    let mut seen = HashMap::new();
    for name in listeners.iter().filter_map(|listener| filled(&listener.name)) {
        if seen.insert(name.as_str(), ()).is_some() {
            out.error(codes::ADDRESS_TWICE, name.span, format!("two listeners are named \"{}\"", name.value));
        }
    }
}

/// Ocelot's limit of a request body, which is Kestrel's.
pub(super) const OCELOT_BODY: u64 = 30_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// The limits, each within its range.
pub fn limits(written: Option<&LimitsDocument>, ocelot: bool, out: &mut Diagnostics) -> Limits {
    let nothing = LimitsDocument::default();
    let w = written.unwrap_or(&nothing);
    let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
    let tenth = 100 * ms;
    let mut read = Ranges::of("Limits", out);
    Limits {
        request_line: read.size("MaxRequestLineSize", &w.max_request_line_size, 16 << 10, 256, 1 << 20),
        headers_total: read.size(
            "MaxRequestHeadersTotalSize",
            &w.max_request_headers_total_size,
            64 << 10,
            1 << 10,
            16 << 20,
        ),
        header_count: read.count("MaxRequestHeaderCount", &w.max_request_header_count, 10_000).unwrap_or(128)
            as usize,
        body: w.max_request_body_size.as_ref().map(|size| size.value.0).or(ocelot.then_some(OCELOT_BODY)),
        headers_timeout: read.time(
            "RequestHeadersTimeout",
            &w.request_headers_timeout,
            10 * second,
            tenth,
            HOUR,
        ),
        keep_alive: read.time("KeepAliveTimeout", &w.keep_alive_timeout, 75 * second, tenth, DAY),
        body_idle: read.time("BodyIdleTimeout", &w.body_idle_timeout, 60 * second, tenth, DAY),
        connect: read.time("ConnectTimeout", &w.connect_timeout, 5 * second, ms, 600 * second),
        backend_idle: read.time("BackendIdleTimeout", &w.backend_idle_timeout, 55 * second, second, DAY),
        drain: read.time("DrainTimeout", &w.drain_timeout, 30 * second, Duration::ZERO, HOUR),
        tunnel_idle: read.time("TunnelIdleTimeout", &w.tunnel_idle_timeout, HOUR, second, 30 * DAY),
        tunnels_per_client: read.count("MaxTunnelsPerClient", &w.max_tunnels_per_client, MANY),
        compression: compression(w, &mut read),
        connections: read.count("MaxConcurrentConnections", &w.max_concurrent_connections, MANY),
        connections_per_client: read.count("MaxConnectionsPerClient", &w.max_connections_per_client, MANY),
        requests_per_connection: read.count("MaxRequestsPerConnection", &w.max_requests_per_connection, MANY),
        http2: http2(w, &mut read),
    }
}

/// The memory of encoders.
fn compression(w: &LimitsDocument, read: &mut Ranges) -> u64 {
    read.size("MaxCompressionMemory", &w.max_compression_memory, 512 << 20, 1 << 20, 1 << 40) as u64
}

/// What HTTP/2 makes possible beside.
fn http2(w: &LimitsDocument, read: &mut Ranges) -> Http2Limits {
    let mut count = |name, set, most, usual| read.count(name, set, most).map_or(usual, |n| n as u32);
    Http2Limits {
        streams: count("MaxConcurrentStreams", &w.max_concurrent_streams, 100_000, 100),
        resets: count("MaxStreamResetsPerSecond", &w.max_stream_resets_per_second, MANY, 200),
        control: count("MaxControlFramesPerSecond", &w.max_control_frames_per_second, MANY, 1000),
        window: read.size("StreamWindowSize", &w.stream_window_size, 65_535, 65_535, 16 << 20) as u32,
    }
}

/// The greatest count that makes sense for a limit of connections or requests.
const MANY: u64 = 1_000_000_000;

const FIELDS: [&str; 3] = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];

/// Whom to believe, and what to add.
pub fn forwarded(
    written: Option<&ForwardedHeadersDocument>,
    ocelot: bool,
    out: &mut Diagnostics,
) -> Forwarded {
    let nothing = ForwardedHeadersDocument::default();
    let written = written.unwrap_or(&nothing);
    let mut ranges = Vec::new();
    for proxy in items(&written.trusted_proxies) {
        match IpRange::parse(proxy) {
            Some(range) => ranges.push(range),
            None => {
                let message = format!("\"{}\" is not an address, a range or a network", proxy.value);
                out.error(codes::BAD_PROXY, proxy.span, message)
                    .help("write 10.0.0.1, 10.0.0.0/8, ::1 or fd00::/8");
            }
        }
    }
    let believed = believed(written, out);
    Forwarded {
        trusted: ranges.into_iter().collect(),
        believe_for: believed[0],
        believe_proto: believed[1],
        believe_host: believed[2],
        add_to_request: written.add_to_request.as_ref().map_or(!ocelot, |on| on.value),
    }
}

fn believed(written: &ForwardedHeadersDocument, out: &mut Diagnostics) -> [bool; 3] {
    if written.headers.is_none() {
        return [true; 3];
    }
    let mut believed = [false; 3];
    for name in items(&written.headers) {
        match FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name.trim())) {
            Some(at) => believed[at] = true,
            None => {
                let message = format!("the field \"{}\" cannot be believed", name.value);
                let said = out.error(codes::UNKNOWN_FORWARDED_FIELD, name.span, message);
                if let Some(meant) = suggest::nearest(name, FIELDS) {
                    said.help(format!("did you mean \"{meant}\"?"));
                }
                said.help(format!("the fields are {}", suggest::list(&FIELDS)));
            }
        }
    }
    believed
}
