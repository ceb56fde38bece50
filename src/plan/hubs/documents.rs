//! The settings of hubs as written.

use crate::base::units::{DurationText, SizeText};
use crate::config::Spanned;
use crate::config::SpannedMap;
use crate::config::values::{List, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// Hubs of the whole process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RealtimeDocument {
    /// How the nodes are connected: `Local` is one node, `Shared` uses `SharedState`. Default: `Shared` with `SharedState`,
    /// otherwise `Local`.
    pub backplane: Setting<BackplaneDocument>,
    /// The name of this node, which connection ids contain: 1 to 32 letters, digits and `_`; unique among the nodes. A
    /// change takes effect at the next start. Default: random at each start.
    pub node_name: Setting<String>,
    /// The limits of all hubs together.
    pub limits: Setting<RealtimeLimitsDocument>,
}

/// How the nodes are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum BackplaneDocument {
    Local,
    Shared,
}

/// The limits of all hubs together.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RealtimeLimitsDocument {
    /// Maximum number of hub connections of the process, sessions without a socket included; beyond it 503 with
    /// `hub.connection_limit`. 1 or more. Default: no limit except `Limits.MaxConcurrentConnections`.
    pub max_connections: Setting<i64>,
    /// Bytes queued for all connections together, sessions without a socket included; beyond it the connections with the
    /// longest queues are closed (`SlowClient`). 1MiB to 1TiB. Default: `512MiB`.
    pub max_queue_memory: Setting<SizeText>,
}

/// What clients of a service speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HubServiceType {
    WebPubSub,
    SignalR,
}

/// A service of realtime hubs: what Azure calls a resource.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HubServiceDocument {
    /// What clients speak: `WebPubSub` or `SignalR` (serverless). Required.
    #[serde(rename = "Type")]
    pub service_type: Setting<HubServiceType>,
    /// One or two secrets of at least 32 bytes that sign tokens; the gateway signs with the first one. Write them as
    /// `${NAME}` or `${file:/path}`. A reload replaces them without closing connections. Required.
    pub keys: List<String>,
    /// The absolute http or https addresses at which clients and servers reach the service, with the path below which it is
    /// mounted: the audiences that tokens may have, and the base of generated URLs; the first one is the primary one.
    /// Default: any host is accepted, and the path of the request is compared.
    pub public_urls: List<String>,
    /// How much the clocks of token issuers may differ. 0s to 1h. Default: `1m`.
    pub clock_skew: Setting<DurationText>,
    /// The names of `AuthenticationSchemes` of the type `JwtBearer` whose tokens may use the data plane instead of the
    /// keys. Default: `[]`.
    pub server_schemes: List<String>,
    /// Name → settings of the hub; names are case-insensitive. `"*"` applies to every hub without an entry; without it
    /// other hubs do not exist. Required.
    pub hubs: Setting<SpannedMap<Spanned<HubDocument>>>,
}

/// The settings of a hub.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HubDocument {
    /// Web PubSub: whether clients without a token are accepted; an invalid token is always rejected. Default: false.
    pub anonymous_connect: Setting<bool>,
    /// The HTTP backends that receive events; the first one that matches an event receives it. Default: `[]`.
    pub event_handlers: List<EventHandlerDocument>,
    /// Web PubSub: the interval of WebSocket pings; a socket without three pongs is closed. SignalR: the interval of pings of the
    /// hub protocol. 1s to 2m. Default: `20s`, for SignalR `15s`.
    pub keep_alive_interval: Setting<DurationText>,
    /// Web PubSub: how long the session of a reliable client is kept without a socket. 1s to 10m. Default: `1m`.
    pub recovery_time: Setting<DurationText>,
    /// SignalR: the transports of clients: `WebSockets`, `ServerSentEvents`, `LongPolling`. Default: all.
    pub transports: List<String>,
    /// SignalR: how long a client may take from its negotiation to the end of its handshake. 1s to 1m. Default: `15s`.
    pub handshake_timeout: Setting<DurationText>,
    /// SignalR: how long a client may be silent. 1s to 10m. Default: `30s`.
    pub client_timeout: Setting<DurationText>,
    /// SignalR: how long a poll waits for messages. 1s to 5m. Default: `90s`.
    pub poll_timeout: Setting<DurationText>,
    /// SignalR: longest time between two polls. 1s to 5m. Default: `15s`.
    pub poll_gap: Setting<DurationText>,
    /// SignalR: bytes that are kept for a client with stateful reconnect without a socket; beyond it the connection is closed.
    /// 1KiB to 16MiB. Default: 100000 bytes.
    pub reconnect_buffer: Setting<SizeText>,
    /// The limits of the hub.
    pub limits: Setting<HubLimitsDocument>,
}

/// The limits of a hub.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HubLimitsDocument {
    /// Maximum number of connections on this node, sessions without a socket included; beyond it 429 with
    /// `hub.connection_limit`. 1 or more. Default: no limit.
    pub max_connections: Setting<i64>,
    /// Maximum size of a message of a client; beyond it the connection is closed with 1009. 1KiB to 16MiB. Default: `1MiB`.
    pub max_message_size: Setting<SizeText>,
    /// Maximum number of messages queued for one client, of a reliable client the unacknowledged ones; beyond it the
    /// connection is closed (`SlowClient`). 1 to 1000000. Default: 1000.
    pub max_queued_messages: Setting<i64>,
    /// Maximum number of bytes queued for one client. 64KiB to 1GiB. Default: `16MiB`.
    pub max_queued_bytes: Setting<SizeText>,
    /// Maximum number of groups of one connection; beyond it `Forbidden`, in the handshake 400. 1 to 100000. Default: 1000.
    pub max_groups_per_connection: Setting<i64>,
    /// Maximum number of messages per second from one client, with a burst of twice as many; beyond it reading pauses. 1 to
    /// 1000000. Default: no limit.
    pub max_messages_per_second: Setting<i64>,
    /// Maximum number of concurrent invocations of one connection. 1 to 1000. Default: 16.
    pub max_invocations: Setting<i64>,
}

/// An HTTP backend that receives events of a hub.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventHandlerDocument {
    /// The absolute http or https URL of the handler; `{hub}`, `{event}` and, for SignalR, `{category}` in path or query are
    /// replaced. With `DownstreamCluster` only path and query. Required.
    pub url_template: Setting<String>,
    /// The name of one of `Clusters`, with its load balancing, health checks and TLS. Default: the host of the URL.
    #[serde(rename = "DownstreamCluster")]
    pub cluster: Setting<String>,
    /// SignalR: the categories that the handler receives: `*`, or `connections` and `messages` separated by commas. Default: `*`.
    pub category_pattern: Setting<String>,
    /// SignalR: the events that the handler receives, `connected`, `disconnected` and names of methods: `*`, or names separated
    /// by commas. Default: `*`.
    pub event_pattern: Setting<String>,
    /// Web PubSub: the user events that the handler receives: `*`, or names separated by commas. Default: none.
    pub user_event_pattern: Setting<String>,
    /// Web PubSub: the system events that the handler receives: `connect`, `connected`, `disconnected`, `joined`, `left`. Default: `[]`.
    pub system_events: List<String>,
    /// For the complete response. 100ms to 10m. Default: `10s` for `connect`, `30s` for other events.
    pub timeout: Setting<DurationText>,
    /// Web PubSub: whether the handler must permit the gateway (abuse protection of CloudEvents webhooks) before its first event.
    /// Default: true.
    pub validate: Setting<bool>,
    /// Fixed header fields of requests, such as a shared secret; never logged. Default: `{}`.
    pub headers: StringList,
}

/// What a route to a hub issues to its callers instead of forwarding them: an address and a token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct NegotiateOptions {
    /// The hub that the token is for. Required.
    pub hub: Setting<String>,
    /// The claim of the caller that becomes the user id; a caller without it gets 403. Default: no user id.
    pub user_id_claim: Setting<String>,
    /// The roles of the client, such as `webpubsub.joinLeaveGroup.hall`; `{claim:TYPE}` is replaced by a claim of the
    /// caller. Default: `[]`.
    pub roles: List<String>,
    /// The groups that the client joins; `{claim:TYPE}` is replaced. Default: `[]`.
    pub groups: List<String>,
    /// How long the token is valid. 1m to 24h. Default: `1h`.
    pub expiry: Setting<DurationText>,
}
