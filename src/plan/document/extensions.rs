//! margay's own sections: limits, DNS, forwarded headers, cache.

use crate::base::units::{DurationText, SizeText};
use crate::config::values::{List, Setting};
use crate::pipeline::client_fields::{RequestTrailers, UnderscoresInHeaders};
use crate::plan::clusters::data_rate::DataRateOptions;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the trace context of a request is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TraceContextMode {
    #[default]
    Continue,
    Start,
    Off,
}

/// Size, count and time limits of the gateway. A size is a string such as `"4MiB"` or a number of bytes, a duration is
/// a string such as `"10s"`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct LimitsDocument {
    /// Maximum length of the request line; beyond it 414. 256 bytes to 1 MiB. Default: `16KiB`.
    pub max_request_line_size: Setting<SizeText>,
    /// Maximum size of all header fields of a request together; beyond it 431. 1 KiB to 16 MiB. Default: `64KiB`.
    pub max_request_headers_total_size: Setting<SizeText>,
    /// Maximum number of header fields of a request; beyond it 431. 1 to 10000. Default: 128.
    pub max_request_header_count: Setting<i64>,
    /// Maximum size of a request body; beyond it 413. Default: no limit; 30000000 bytes under `"Compatibility":
    /// "Ocelot"`.
    pub max_request_body_size: Setting<SizeText>,
    /// Time to receive a complete request head, from its first byte; beyond it 408. 100ms to 1h. Default: `10s`.
    pub request_headers_timeout: Setting<DurationText>,
    /// Keep-alive: how long an idle client connection is kept open. 100ms to 1d. Default: `75s`.
    pub keep_alive_timeout: Setting<DurationText>,
    /// Maximum time without data while a body is transferred, in either direction. 100ms to 1d. Default: `60s`.
    pub body_idle_timeout: Setting<DurationText>,
    /// Minimum rate of a request body while the gateway waits for it; a slower client gets 408. gRPC calls are exempt.
    /// Default: 240 bytes per second. Source: Kestrel, `MinRequestBodyDataRate`.
    pub min_request_body_data_rate: Setting<DataRateOptions>,
    /// Minimum rate at which a client accepts a response while the gateway waits for it; the connection of a slower
    /// client is closed. Default: 240 bytes per second. Source: Kestrel, `MinResponseDataRate`.
    pub min_response_data_rate: Setting<DataRateOptions>,
    /// Memory of all responses that are received ahead of slow clients, and of request bodies that are received ahead or
    /// kept to be sent again; beyond it backends wait for their clients, and requests are sent once. 1 MiB to 1 TiB.
    /// Default: `256MiB`.
    pub max_buffering_memory: Setting<SizeText>,
    /// Time to connect to an endpoint, including DNS resolution. 1ms to 10m. Default: `5s`.
    pub connect_timeout: Setting<DurationText>,
    /// How long an idle backend connection is kept in the pool. 1s to 1d. Default: `55s`.
    pub backend_idle_timeout: Setting<DurationText>,
    /// Graceful shutdown: how long new requests are still served after SIGTERM, while `/ready` responds 503, so that load
    /// balancers notice. 0s to 1h. Default: `0s`.
    pub shutdown_delay: Setting<DurationText>,
    /// Graceful shutdown: how long requests in flight may take to finish, after `ShutdownDelay`. 0s to 1h. Default: `30s`.
    pub drain_timeout: Setting<DurationText>,
    /// Maximum number of concurrent client connections. 1 or more. Default: 90 % of the file descriptors of
    /// the process.
    pub max_concurrent_connections: Setting<i64>,
    /// Maximum number of concurrent connections per client address. 1 or more. Default: half of the default of
    /// `MaxConcurrentConnections`; no limit if that is set.
    pub max_connections_per_client: Setting<i64>,
    /// Maximum number of UDP sessions of all listeners; datagrams of further clients are dropped. 1 or more. Default: half
    /// of the descriptors of the process, less 512.
    pub max_udp_sessions: Setting<i64>,
    /// Maximum number of UDP sessions per client address, of IPv6 per /64. 1 or more. Default: 1024.
    pub max_udp_sessions_per_client: Setting<i64>,
    /// How long a WebSocket connection may be idle in both directions before it is closed. 1s to 30d. Default: `1h`.
    pub web_socket_idle_timeout: Setting<DurationText>,
    /// Maximum number of concurrent WebSocket connections per client address; beyond it 503 with `limit.websockets`. 1
    /// or more. Default: no limit.
    pub max_web_sockets_per_client: Setting<i64>,
    /// Memory limit of all streaming encoders together; beyond it responses are sent uncompressed. 1MiB to 1TiB.
    /// Default: `512MiB`.
    pub max_compression_memory: Setting<SizeText>,
    /// Number of requests after which a client connection is closed. 1 or more. Default: no limit.
    pub max_requests_per_connection: Setting<i64>,
    /// HTTP/2: maximum number of concurrent streams per client connection; more are refused. 1 to 100000. Default: 100.
    pub max_concurrent_streams: Setting<i64>,
    /// HTTP/2: maximum number of concurrent streams per client address, across its connections; more are refused with
    /// `client.stream_limit`. 1 or more. Default: an eighth of `MaxConcurrentConnections`, once half as many streams are
    /// active.
    pub max_streams_per_client: Setting<i64>,
    /// HTTP/2: initial flow-control window of a stream: request body bytes that a client may send before the backend
    /// consumes them. 64 KiB less one byte to 16 MiB. Default: 64 KiB less one byte.
    pub stream_window_size: Setting<SizeText>,
    /// HTTP/2: streams that a client may open and reset within a second on one connection; beyond it the connection is
    /// closed. Of older streams it may reset as many as may be open (`MaxConcurrentStreams`). 1 or more. Default: 95.
    pub max_stream_resets_per_second: Setting<i64>,
    /// HTTP/2: control frames (frames without request data) per second on one connection; beyond it the connection is
    /// closed. 1 or more. Default: 190.
    pub max_control_frames_per_second: Setting<i64>,
    /// Maximum number of options in the `Connection` fields of a request; beyond it 431 with `request.headers`. 1 to 10000.
    /// Default: 32.
    pub max_connection_options: Setting<i64>,
    /// Maximum number of informational (1xx) responses of a backend to one request; beyond it 502 with
    /// `backend.malformed`. Those that the client does not read at once are dropped. 1 to 1000000000. Default: 32.
    pub max_informational_responses: Setting<i64>,
    /// HTTP/1.1: whether a request is canceled when its client closes the sending side of the connection (half-close);
    /// `false` serves clients such as `nc` that do so after their request. Default: true. Source: HAProxy, abortonclose.
    pub abort_on_close: Setting<bool>,
    /// Request fields whose name contains an underscore: `"Allow"` forwards them, unless the name with `-` is one that the
    /// gateway writes or removes, or that of another field of the request; `"Drop"` removes them; `"Reject"` responds 400
    /// with `request.field_name`. Default: `"Allow"`. Source: nginx, underscores_in_headers.
    pub underscores_in_headers: Setting<UnderscoresInHeaders>,
    /// Trailer fields of requests: `"Announced"` forwards those of gRPC and those that the `Trailer` field of the request
    /// lists, `"All"` forwards all, `"Drop"` none; never a name that the gateway writes or removes. Default: `"Announced"`.
    pub request_trailers: Setting<RequestTrailers>,
}

/// How host names of backends are resolved; the hosts of discovery providers and key servers are resolved by the
/// system. `localhost` and the names in `/etc/hosts` need no DNS server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsDocument {
    /// The DNS servers, `address` or `address:port`; no search list is used with them. Default: the servers and the
    /// search list of `/etc/resolv.conf`.
    pub servers: List<String>,
    /// Lower bound of the time to live of DNS answers. 1s to 1h. Default: `1s`.
    pub min_ttl: Setting<DurationText>,
    /// Upper bound of the time to live of DNS answers. 1s to 1d. Default: `5m`.
    pub max_ttl: Setting<DurationText>,
    /// Timeout of one query to one server. 100ms to 30s. Default: `2s`.
    pub timeout: Setting<DurationText>,
}

/// Which `X-Forwarded-*` fields of a request are trusted, and which are added to it. Fields of proxies are removed from the
/// requests of untrusted clients.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ForwardedHeadersDocument {
    /// The fields that are trusted from a trusted proxy: `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, or
    /// `Forwarded` (RFC 7239), which states all three; the others of these four are removed. They take effect before
    /// routing. List only fields that the proxy overwrites: many proxies forward the `X-Forwarded-Host` of their clients.
    /// Default: `["X-Forwarded-For", "X-Forwarded-Proto"]`.
    pub headers: List<String>,
    /// Addresses and networks of the trusted proxies, such as `10.0.0.0/8` or `::1`. Default: `[]`, none.
    pub trusted_proxies: List<String>,
    /// Names of fields that are forwarded although an untrusted client sent them, such as `X-HTTP-Method-Override`: fields
    /// of proxies (docs/limits.md lists them) and names with an underscore. `"*"` is all fields of proxies. Default: `[]`;
    /// `["*"]` under `"Compatibility": "Ocelot"` unless `AddToRequest` is true.
    pub allow_from_clients: List<String>,
    /// Whether `X-Forwarded-For`, `-Proto` and `-Host` are sent to backends. Default: true; false under
    /// `"Compatibility": "Ocelot"`.
    pub add_to_request: Setting<bool>,
}
