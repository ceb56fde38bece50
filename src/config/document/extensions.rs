//! The sections that are ours: administration, limits, forwarded fields.

use super::values::{List, Setting};
use crate::base::units::{DurationText, SizeText};
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is done with the trace that a request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TraceContextMode {
    #[default]
    Continue,
    Start,
    Off,
}

/// Where the operator asks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AdministrationDocument {
    /// Address and port of `/live`, `/ready`, `/metrics` and `/clusters`, or a socket of this machine as listeners have
    /// them (`unix:/run/margay-admin.sock`). Default: `127.0.0.1:8081`.
    pub address: Setting<String>,
}

/// Sizes, counts and times beyond which the gateway refuses or closes. Sizes are texts such as `"4MiB"` or bare
/// numbers of bytes, times are texts such as `"10s"`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct LimitsDocument {
    /// The longest request line; beyond it 414. 256 bytes to 1 MiB. Default: `16KiB`.
    pub max_request_line_size: Setting<SizeText>,
    /// All header fields of a request together; beyond it 431. 1 KiB to 16 MiB. Default: `64KiB`.
    pub max_request_headers_total_size: Setting<SizeText>,
    /// The number of header fields of a request; beyond it 431. 1 to 10000. Default: 128.
    pub max_request_header_count: Setting<i64>,
    /// The longest body of a request; beyond it 413. Default: no limit; 30000000 bytes under
    /// `"Compatibility": "Ocelot"`.
    pub max_request_body_size: Setting<SizeText>,
    /// The time for a complete request head, from its first byte; beyond it 408. 100ms to 1h. Default: `10s`.
    pub request_headers_timeout: Setting<DurationText>,
    /// The time for which a client connection is kept without a request. 100ms to 1d. Default: `75s`.
    pub keep_alive_timeout: Setting<DurationText>,
    /// The longest silence within a body, in either direction. 100ms to 1d. Default: `60s`.
    pub body_idle_timeout: Setting<DurationText>,
    /// The time to connect to a service, the look-up of its name included. 1ms to 10m. Default: `5s`.
    pub connect_timeout: Setting<DurationText>,
    /// The time for which a connection to a service is kept unused. 1s to 1d. Default: `55s`.
    pub backend_idle_timeout: Setting<DurationText>,
    /// The time that requests in flight have to finish at shutdown. 0s to 1h. Default: `30s`.
    pub drain_timeout: Setting<DurationText>,
    /// Client connections at one time. 1 and more. Default: the descriptor limit of the process less 512.
    pub max_concurrent_connections: Setting<i64>,
    /// Connections of one client address at one time. 1 and more. Default: no limit.
    pub max_connections_per_client: Setting<i64>,
    /// The longest silence on a WebSocket connection, in both directions; then it is closed. 1s to 30d.
    /// Default: `1h`.
    pub tunnel_idle_timeout: Setting<DurationText>,
    /// WebSocket connections of one client address at one time; beyond it 503 with `limit.websockets`. 1 and more.
    /// Default: no limit.
    pub max_tunnels_per_client: Setting<i64>,
    /// Memory that answers which are compressed as streams take together; beyond it answers go out as they are. 1MiB to
    /// 1TiB. Default: `512MiB`.
    pub max_compression_memory: Setting<SizeText>,
    /// Requests after which a client connection is closed. 1 and more. Default: no limit.
    pub max_requests_per_connection: Setting<i64>,
    /// HTTP/2: requests of one client connection at one time; more are refused. 1 to 100000. Default: 100.
    pub max_concurrent_streams: Setting<i64>,
    /// HTTP/2: what a client may send of one request body before the service takes it. 64 KiB less one byte to 16 MiB.
    /// Default: 64 KiB less one byte.
    pub stream_window_size: Setting<SizeText>,
    /// HTTP/2: requests that a client may give up in one second on one connection; beyond it the connection is closed.
    /// 1 and more. Default: 200.
    pub max_stream_resets_per_second: Setting<i64>,
    /// HTTP/2: frames that carry nothing of a request in one second on one connection; beyond it the connection is
    /// closed. 1 and more. Default: 1000.
    pub max_control_frames_per_second: Setting<i64>,
}

/// How the names of services are resolved; those of registries and of servers of keys are left to the system.
/// `localhost` and the names in `/etc/hosts` need no server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsDocument {
    /// The servers that are asked, `address` or `address:port`; with servers of one's own names are taken as they are,
    /// without a search list. Default: those of `/etc/resolv.conf`, with its search list.
    pub servers: List<String>,
    /// An answer holds at least so long, whatever its time to live. 1s to 1h. Default: `1s`.
    pub min_ttl: Setting<DurationText>,
    /// An answer holds at most so long, whatever its time to live. 1s to 1d. Default: `5m`.
    pub max_ttl: Setting<DurationText>,
    /// The time one server has for one answer. 100ms to 30s. Default: `2s`.
    pub timeout: Setting<DurationText>,
}

/// What is believed of the `X-Forwarded-*` fields of a request, and what is added to them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ForwardedHeadersDocument {
    /// The fields that are believed when they come from a trusted proxy: `X-Forwarded-For`, `X-Forwarded-Proto`,
    /// `X-Forwarded-Host`. Default: all three.
    pub headers: List<String>,
    /// Addresses and networks of the proxies that are trusted, such as `10.0.0.0/8` or `::1`. Default: `[]`, none.
    pub trusted_proxies: List<String>,
    /// Whether `X-Forwarded-For`, `-Proto` and `-Host` are sent to services. Default: true; false under
    /// `"Compatibility": "Ocelot"`.
    pub add_to_request: Setting<bool>,
}

/// The memory in which answers are kept, for all routes with `CacheOptions`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CacheDocument {
    /// The memory of all stored answers together, their heads and what it takes to find them included. 1 MiB to 1 TiB.
    /// Default: `256MiB`.
    pub max_size: Setting<SizeText>,
    /// The longest body that is kept; longer ones pass. 1 byte to a quarter of `MaxSize`. Default: `16MiB`, or that quarter.
    pub max_object_size: Setting<SizeText>,
    /// Region → memory of its own, which is taken from `MaxSize`, so that no other region can push its answers out.
    /// Default: `{}`.
    pub regions: Setting<SpannedMap<Spanned<CacheRegionDocument>>>,
}

/// The memory of one region.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CacheRegionDocument {
    /// The memory of its answers. 1 MiB and more. Required.
    pub max_size: Setting<SizeText>,
}
