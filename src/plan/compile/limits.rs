//! Our own sections: addresses, limits, forwarded fields.

use crate::base::{
    bytes::is_token, data_rate::MinDataRate, ip_set::IpRange, stream_limit::StreamLimits, units::SizeText,
};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::config::{
    ranges::RangeChecker,
    values::{Setting, value_or_default},
};
use crate::net::h1::{client::ClientLimits, hop_by_hop::MAX_CONNECTION_OPTIONS, parse::HeadLimits};
use crate::net::{h2, listener::Address};
use crate::plan::blueprint::Limits;
use crate::plan::check::{items, non_blank};
use crate::plan::clusters::data_rate::{DataRateConfig, DataRateOptions};
use crate::plan::document::{ForwardedHeadersDocument, LimitsDocument, ListenerDocument};
use crate::stages::{
    forwarded_headers::{ForwardedHeaders, TrustedProxies},
    websocket_limit::WebSocketsPerClient,
};
use std::collections::{HashMap, HashSet};
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

/// The addresses with one transport and port.
type AddressesByPort<'a> = HashMap<Option<(bool, u16)>, Vec<(&'a Address, Option<Span>)>>;

pub(super) fn report_duplicate_address<'a>(
    all: impl Iterator<Item = (&'a Address, Option<Span>)>,
    diagnostics: &mut Diagnostics,
) {
    let mut by_port = AddressesByPort::new();
    // Ranges of ports can collide many times.
    let mut reported = HashSet::new();
    for (address, span) in all.filter(|(address, _)| !address.is_wildcard_port()) {
        let same_port = by_port.entry(transport_and_port(address)).or_default();
        if let Some((other, first)) = same_port.iter().find(|(other, _)| collide(address, other))
            && (span.is_none() || reported.insert(span))
        {
            let message = match *other == address {
                true => format!("two of the listeners and the administration use {address}"),
                false => format!("two of the listeners and the administration use {address} and {other}"),
            };
            diagnostics
                .error(codes::ADDRESS_TWICE, span.or(*first), message)
                .help("give each a different address");
        }
        same_port.push((address, span));
    }
}

/// Addresses with different ports, or of different transports, never collide.
fn transport_and_port(address: &Address) -> Option<(bool, u16)> {
    match address {
        Address::Tcp(address) => Some((false, address.port())),
        Address::Udp(address) => Some((true, address.port())),
        Address::Unix(_) => None,
    }
}

/// Whether two addresses of one transport and port collide: a wildcard address collides with every address of its family.
fn collide(one: &Address, other: &Address) -> bool {
    let covers =
        |one: &SocketAddr, other: &SocketAddr| one.ip().is_unspecified() && one.is_ipv4() == other.is_ipv4();
    match (one, other) {
        (Address::Tcp(a), Address::Tcp(b)) | (Address::Udp(a), Address::Udp(b)) => {
            a == b || covers(a, b) || covers(b, a)
        }
        (one, other) => one == other,
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
pub fn limits(document: Option<&LimitsDocument>, ocelot: bool, diagnostics: &mut Diagnostics) -> Limits {
    let nothing = LimitsDocument::default();
    let document = document.unwrap_or(&nothing);
    let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
    let read = &mut RangeChecker::for_section("Limits", diagnostics);
    let client = client(document, ocelot, read);
    let body_idle = read.time("BodyIdleTimeout", &document.body_idle_timeout, 60 * second, 100 * ms, DAY);
    let connect_timeout =
        read.time("ConnectTimeout", &document.connect_timeout, 5 * second, ms, 600 * second);
    let backend_idle =
        read.time("BackendIdleTimeout", &document.backend_idle_timeout, 55 * second, second, DAY);
    let (shutdown_delay, zero) = (&document.shutdown_delay, Duration::ZERO);
    let tunnel_idle = &document.web_socket_idle_timeout;
    let counts = counts(document, read);
    let (connection_options, max_informational) = message_counts(document, read);
    Limits {
        client,
        min_request_rate: data_rate("MinRequestBodyDataRate", &document.min_request_body_data_rate, read),
        min_response_rate: data_rate("MinResponseDataRate", &document.min_response_data_rate, read),
        buffering_memory: memory("MaxBufferingMemory", &document.max_buffering_memory, 256, read),
        shutdown_delay: read.time("ShutdownDelay", shutdown_delay, zero, zero, HOUR),
        streams: StreamLimits { capacity: usize::MAX, per_client: counts.streams_per_client },
        http2: http2(document, counts.requests, read),
        body_idle,
        connect_timeout,
        backend_idle,
        drain: read.time("DrainTimeout", &document.drain_timeout, 30 * second, zero, HOUR),
        tunnel_idle: read.time("WebSocketIdleTimeout", tunnel_idle, HOUR, second, 30 * DAY),
        connections: counts.connections,
        connections_per_client: counts.connections_per_client.unwrap_or(usize::MAX),
        udp_sessions: counts.udp_sessions,
        udp_sessions_per_client: counts.udp_sessions_per_client.unwrap_or(DEFAULT_UDP_SESSIONS_PER_CLIENT),
        requests_per_connection: counts.requests,
        compression: memory("MaxCompressionMemory", &document.max_compression_memory, 512, read) as u64,
        connection_options,
        max_informational,
        underscores: value_or_default(&document.underscores_in_headers),
        trailers: value_or_default(&document.request_trailers),
    }
}

/// A memory limit, with its default in MiB.
fn memory(name: &str, set: &Setting<SizeText>, default_mib: u64, read: &mut RangeChecker) -> usize {
    read.size(name, set, default_mib << 20, 1 << 20, 1 << 40)
}

/// UDP sessions of one client address.
const DEFAULT_UDP_SESSIONS_PER_CLIENT: usize = 1024;

/// Limits of connections, streams and requests; `None`: not set.
struct Counts {
    connections: Option<usize>,
    connections_per_client: Option<usize>,
    udp_sessions: Option<usize>,
    udp_sessions_per_client: Option<usize>,
    streams_per_client: Option<usize>,
    requests: u32,
}

fn counts(document: &LimitsDocument, read: &mut RangeChecker) -> Counts {
    let mut count = |name, set| read.count(name, set, MAX_COUNT).map(|n| n as usize);
    Counts {
        connections: count("MaxConcurrentConnections", &document.max_concurrent_connections),
        connections_per_client: count("MaxConnectionsPerClient", &document.max_connections_per_client),
        udp_sessions: count("MaxUdpSessions", &document.max_udp_sessions),
        udp_sessions_per_client: count("MaxUdpSessionsPerClient", &document.max_udp_sessions_per_client),
        streams_per_client: count("MaxStreamsPerClient", &document.max_streams_per_client),
        requests: count("MaxRequestsPerConnection", &document.max_requests_per_connection)
            .map_or(u32::MAX, |n| n as u32),
    }
}

/// A minimum rate; `None`: no minimum.
fn data_rate(name: &str, set: &Setting<DataRateOptions>, read: &mut RangeChecker) -> Option<MinDataRate> {
    DataRateConfig::compile(name, set.as_ref().map(|set| &set.value), read).rate()
}

/// Options of `Connection`, and informational (1xx) responses.
fn message_counts(document: &LimitsDocument, read: &mut RangeChecker) -> (usize, u32) {
    let (options, informational) = (&document.max_connection_options, &document.max_informational_responses);
    let options = read.count("MaxConnectionOptions", options, 10_000);
    let informational = read.count("MaxInformationalResponses", informational, MAX_COUNT);
    (
        options.map_or(MAX_CONNECTION_OPTIONS, |n| n as usize),
        informational.map_or(MAX_INFORMATIONAL, |n| n as u32),
    )
}

fn client(document: &LimitsDocument, ocelot: bool, read: &mut RangeChecker) -> ClientLimits {
    let (tenth, second) = (Duration::from_millis(100), Duration::from_secs(1));
    let total = &document.max_request_headers_total_size;
    let count = &document.max_request_header_count;
    ClientLimits {
        head: HeadLimits {
            max_line_bytes: read.size(
                "MaxRequestLineSize",
                &document.max_request_line_size,
                16 << 10,
                256,
                1 << 20,
            ),
            max_fields_bytes: read.size("MaxRequestHeadersTotalSize", total, 64 << 10, 1 << 10, 16 << 20),
            max_fields: read.count("MaxRequestHeaderCount", count, 10_000).unwrap_or(128) as usize,
        },
        body: match &document.max_request_body_size {
            Some(size) => size.value.0,
            None if ocelot => OCELOT_MAX_BODY,
            None => u64::MAX,
        },
        head_timeout: read.time(
            "RequestHeadersTimeout",
            &document.request_headers_timeout,
            10 * second,
            tenth,
            HOUR,
        ),
        idle_timeout: read.time("KeepAliveTimeout", &document.keep_alive_timeout, 75 * second, tenth, DAY),
        abort_on_close: document.abort_on_close.as_ref().is_none_or(|set| set.value),
    }
}

/// `MaxWebSocketsPerClient`; none: no limit.
pub fn websockets_per_client(
    limits: Option<&LimitsDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<WebSocketsPerClient> {
    let max = &limits?.max_web_sockets_per_client;
    let mut ranges = RangeChecker::for_section("Limits", diagnostics);
    ranges.count("MaxWebSocketsPerClient", max, MAX_COUNT).map(WebSocketsPerClient)
}

fn http2(document: &LimitsDocument, requests: u32, read: &mut RangeChecker) -> h2::Limits {
    let mut count = |name, set, max, default| read.count(name, set, max).map_or(default, |n| n as u32);
    let (resets, frames) = (&document.max_stream_resets_per_second, &document.max_control_frames_per_second);
    let streams = count("MaxConcurrentStreams", &document.max_concurrent_streams, 100_000, 100);
    let resets_per_second = count("MaxStreamResetsPerSecond", resets, MAX_COUNT, 95);
    h2::Limits {
        streams,
        frame_rate: h2::FrameRateLimits {
            resets_per_second,
            older_resets_per_second: streams.max(resets_per_second),
            control_frames_per_second: count("MaxControlFramesPerSecond", frames, MAX_COUNT, 190),
        },
        window: read.size("StreamWindowSize", &document.stream_window_size, 65_535, 65_535, 16 << 20) as u32,
        requests,
    }
}

/// Informational (1xx) responses to a request, unless configured.
const MAX_INFORMATIONAL: u32 = 32;
/// Maximum of a limit of connections or requests.
const MAX_COUNT: u64 = 1_000_000_000;

const FORWARDED_FIELDS: [&str; 4] = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"];

/// Which proxies are trusted, and which fields are added.
pub fn forwarded(
    document: Option<&ForwardedHeadersDocument>,
    ocelot: bool,
    diagnostics: &mut Diagnostics,
) -> ForwardedHeaders {
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
    let [trust_for, trust_proto, trust_host, trust_forwarded] = trusted_fields(document, diagnostics);
    ForwardedHeaders {
        proxies: TrustedProxies {
            proxies: ranges.into_iter().collect(),
            trust_for,
            trust_proto,
            trust_host,
            trust_forwarded,
        },
        allow_from_clients: allowed_fields(document, diagnostics),
        add_to_request: document.add_to_request.as_ref().map_or(!ocelot, |on| on.value),
    }
}

/// Names of fields; `*` is all fields of proxies.
fn allowed_fields(document: &ForwardedHeadersDocument, diagnostics: &mut Diagnostics) -> Vec<String> {
    for name in items(&document.allow_from_clients) {
        if !is_token(name.trim().as_bytes()) {
            let message = format!("\"{}\" is not the name of a header", name.value);
            let help = "write names such as X-HTTP-Method-Override, or \"*\" for all fields of proxies";
            diagnostics.error(codes::BAD_HEADER_NAME, name.span, message).help(help);
        }
    }
    items(&document.allow_from_clients).iter().map(|name| name.trim().to_owned()).collect()
}

fn trusted_fields(document: &ForwardedHeadersDocument, diagnostics: &mut Diagnostics) -> [bool; 4] {
    if document.headers.is_none() {
        return [true, true, false, false];
    }
    let mut believed = [false; 4];
    for name in items(&document.headers) {
        match FORWARDED_FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name.trim())) {
            Some(at) => believed[at] = true,
            None => {
                let message = format!("unknown forwarded field \"{}\"", name.value);
                let diagnostic = diagnostics.error(codes::UNKNOWN_FORWARDED_FIELD, name.span, message);
                if let Some(meant) = suggest::closest_match(name, FORWARDED_FIELDS) {
                    diagnostic.help(format!("did you mean \"{meant}\"?"));
                }
                diagnostic.help(format!("expected {}", suggest::one_of(&FORWARDED_FIELDS)));
            }
        }
    }
    believed
}
