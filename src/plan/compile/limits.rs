//! Our own sections: addresses, limits, forwarded fields.

use crate::base::ip_set::IpRange;
use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::net::listener::Address;
use crate::plan::blueprint::{Forwarded, Http2Limits, Limits};
use crate::plan::check::{items, non_blank};
use crate::plan::document::{ForwardedHeadersDocument, LimitsDocument, ListenerDocument};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// An IP address and a port; `localhost` is 127.0.0.1.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok())
}

pub(super) fn address(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let parsed = parse_address(text.trim());
    if parsed.is_none() {
        diagnostics
            .error(codes::BAD_ADDRESS, text.span, format!("invalid address \"{}\"", text.value))
            .help("expected an address such as 127.0.0.1:8080, 0.0.0.0:80, [::]:80 or unix:/run/margay.sock");
    }
    parsed
}

pub(super) fn report_duplicate_address<'a>(
    all: impl Iterator<Item = (&'a Address, Option<Span>)>,
    diagnostics: &mut Diagnostics,
) {
    let mut seen = HashMap::new();
    for (address, span) in all.filter(|(address, _)| !address.is_wildcard_port()) {
        if let Some(first) = seen.insert(address, span) {
            let message = format!("two of the listeners and the administration use {address}");
            diagnostics
                .error(codes::ADDRESS_TWICE, span.or(first), message)
                .help("give each a different address");
        }
    }
}

pub(super) fn report_duplicate_name(listeners: &[Spanned<ListenerDocument>], diagnostics: &mut Diagnostics) {
    let mut seen = HashMap::new();
    for name in listeners.iter().filter_map(|listener| non_blank(&listener.name)) {
        if seen.insert(name.as_str(), ()).is_some() {
            diagnostics.error(
                codes::ADDRESS_TWICE,
                name.span,
                format!("two listeners are named \"{}\"", name.value),
            );
        }
    }
}

/// Ocelot's limit of a request body, which is Kestrel's.
pub(super) const OCELOT_MAX_BODY: u64 = 30_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// The limits, each within its range.
#[expect(clippy::too_many_lines, reason = "a table: one setting of `Limits` per field")]
pub fn limits(document: Option<&LimitsDocument>, ocelot: bool, diagnostics: &mut Diagnostics) -> Limits {
    let nothing = LimitsDocument::default();
    let w = document.unwrap_or(&nothing);
    let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
    let tenth = 100 * ms;
    let mut read = RangeChecker::for_section("Limits", diagnostics);
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
        body: w.max_request_body_size.as_ref().map(|size| size.value.0).or(ocelot.then_some(OCELOT_MAX_BODY)),
        headers_timeout: read.time(
            "RequestHeadersTimeout",
            &w.request_headers_timeout,
            10 * second,
            tenth,
            HOUR,
        ),
        keep_alive_timeout: read.time("KeepAliveTimeout", &w.keep_alive_timeout, 75 * second, tenth, DAY),
        body_idle_timeout: read.time("BodyIdleTimeout", &w.body_idle_timeout, 60 * second, tenth, DAY),
        connect_timeout: read.time("ConnectTimeout", &w.connect_timeout, 5 * second, ms, 600 * second),
        backend_idle_timeout: read.time(
            "BackendIdleTimeout",
            &w.backend_idle_timeout,
            55 * second,
            second,
            DAY,
        ),
        drain_timeout: read.time("DrainTimeout", &w.drain_timeout, 30 * second, Duration::ZERO, HOUR),
        websocket_idle_timeout: read.time(
            "WebSocketIdleTimeout",
            &w.web_socket_idle_timeout,
            HOUR,
            second,
            30 * DAY,
        ),
        max_websockets_per_client: read.count(
            "MaxWebSocketsPerClient",
            &w.max_web_sockets_per_client,
            MAX_COUNT,
        ),
        compression: compression(w, &mut read),
        max_connections: read.count("MaxConcurrentConnections", &w.max_concurrent_connections, MAX_COUNT),
        connections_per_client: read.count(
            "MaxConnectionsPerClient",
            &w.max_connections_per_client,
            MAX_COUNT,
        ),
        requests_per_connection: read.count(
            "MaxRequestsPerConnection",
            &w.max_requests_per_connection,
            MAX_COUNT,
        ),
        http2: http2(w, &mut read),
    }
}

/// The memory limit of encoders.
fn compression(document: &LimitsDocument, read: &mut RangeChecker) -> u64 {
    read.size("MaxCompressionMemory", &document.max_compression_memory, 512 << 20, 1 << 20, 1 << 40) as u64
}

/// The limits of HTTP/2.
fn http2(document: &LimitsDocument, read: &mut RangeChecker) -> Http2Limits {
    let mut count =
        |name, set, max, default_value| read.count(name, set, max).map_or(default_value, |n| n as u32);
    Http2Limits {
        streams: count("MaxConcurrentStreams", &document.max_concurrent_streams, 100_000, 100),
        stream_resets_per_second: count(
            "MaxStreamResetsPerSecond",
            &document.max_stream_resets_per_second,
            MAX_COUNT,
            200,
        ),
        control_frames_per_second: count(
            "MaxControlFramesPerSecond",
            &document.max_control_frames_per_second,
            MAX_COUNT,
            1000,
        ),
        window: read.size("StreamWindowSize", &document.stream_window_size, 65_535, 65_535, 16 << 20) as u32,
    }
}

/// Maximum of a limit of connections or requests.
const MAX_COUNT: u64 = 1_000_000_000;

const FORWARDED_FIELDS: [&str; 3] = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];

/// Which proxies are trusted, and which fields are added.
pub fn forwarded(
    document: Option<&ForwardedHeadersDocument>,
    ocelot: bool,
    diagnostics: &mut Diagnostics,
) -> Forwarded {
    let nothing = ForwardedHeadersDocument::default();
    let document = document.unwrap_or(&nothing);
    let mut ranges = Vec::new();
    for proxy in items(&document.trusted_proxies) {
        match IpRange::parse(proxy) {
            Some(range) => ranges.push(range),
            None => {
                let message = format!("invalid trusted proxy \"{}\"", proxy.value);
                diagnostics
                    .error(codes::BAD_PROXY, proxy.span, message)
                    .help("expected an address or network such as 10.0.0.1, 10.0.0.0/8, ::1 or fd00::/8");
            }
        }
    }
    let believed = trusted_fields(document, diagnostics);
    Forwarded {
        trusted: ranges.into_iter().collect(),
        believe_for: believed[0],
        believe_proto: believed[1],
        believe_host: believed[2],
        add_to_request: document.add_to_request.as_ref().map_or(!ocelot, |on| on.value),
    }
}

fn trusted_fields(document: &ForwardedHeadersDocument, diagnostics: &mut Diagnostics) -> [bool; 3] {
    if document.headers.is_none() {
        return [true; 3];
    }
    let mut believed = [false; 3];
    for name in items(&document.headers) {
        match FORWARDED_FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name.trim())) {
            Some(at) => believed[at] = true,
            None => {
                let message = format!("unknown forwarded field \"{}\"", name.value);
                let diagnostic = diagnostics.error(codes::UNKNOWN_FORWARDED_FIELD, name.span, message);
                if let Some(meant) = suggest::closest_match(name, FORWARDED_FIELDS) {
                    diagnostic.help(format!("did you mean \"{meant}\"?"));
                }
                diagnostic.help(format!("expected {}", suggest::list(&FORWARDED_FIELDS)));
            }
        }
    }
    believed
}
