//! The compiled settings of hubs. Plain data; equal documents have equal settings.

use super::protocols::signalr::Transport;
use crate::base::{secret::Secret, url::HttpUrl};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What clients of a service speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    WebPubSub,
    SignalR,
}

impl ServiceType {
    /// The value of `Type`.
    pub fn name(self) -> &'static str {
        match self {
            ServiceType::WebPubSub => "WebPubSub",
            ServiceType::SignalR => "SignalR",
        }
    }
}

/// A service: keys, public addresses and hubs.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    pub name: Arc<str>,
    pub service_type: ServiceType,
    /// One or two; the first one signs.
    pub keys: Vec<Secret>,
    /// The audiences that tokens may have, without a trailing slash; the first one is the base of generated URLs.
    pub public_urls: Vec<HttpUrl>,
    pub clock_skew: Duration,
    /// The names of the authentication schemes whose tokens the data plane accepts.
    pub server_schemes: Vec<String>,
    /// By name in lower case, without `*`.
    pub hubs: BTreeMap<Box<str>, Arc<HubConfig>>,
    /// The settings of hubs without an entry; `None`: they do not exist.
    pub other_hubs: Option<Arc<HubConfig>>,
}

impl ServiceConfig {
    /// The settings of a hub, by its name in lower case.
    pub fn hub(&self, name: &str) -> Option<&Arc<HubConfig>> {
        self.hubs.get(name).or(self.other_hubs.as_ref())
    }

    /// The label of a hub in metrics: its name if it has an entry, otherwise `*`.
    pub fn hub_label<'n>(&self, name: &'n str) -> &'n str {
        if self.hubs.contains_key(name) { name } else { "*" }
    }
}

/// The settings of a hub.
#[derive(Clone, Debug, PartialEq)]
pub struct HubConfig {
    pub anonymous_connect: bool,
    /// The first one that matches an event receives it.
    pub event_handlers: Vec<EventHandlerConfig>,
    pub keep_alive_interval: Duration,
    /// How long a session without a socket is kept.
    pub recovery_time: Duration,
    pub limits: HubLimits,
    /// Settings that only SignalR has.
    pub signalr: SignalRHubConfig,
}

/// The settings of a SignalR hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRHubConfig {
    /// In the order of negotiations.
    pub transports: Vec<Transport>,
    /// From the negotiation to the end of the handshake.
    pub handshake_timeout: Duration,
    /// How long a client may be silent.
    pub client_timeout: Duration,
    pub poll_timeout: Duration,
    /// Longest time between two polls.
    pub poll_gap: Duration,
    /// Bytes that are kept for a lost socket.
    pub reconnect_buffer_bytes: usize,
}

impl Default for SignalRHubConfig {
    fn default() -> SignalRHubConfig {
        SignalRHubConfig {
            transports: Transport::ALL.to_vec(),
            handshake_timeout: Duration::from_secs(15),
            client_timeout: Duration::from_secs(30),
            poll_timeout: Duration::from_secs(90),
            poll_gap: Duration::from_secs(15),
            reconnect_buffer_bytes: 100_000,
        }
    }
}

/// The limits of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Connections of the hub on this node, sessions without a socket included.
    pub max_connections: Option<usize>,
    pub max_message_bytes: usize,
    pub max_queued_messages: usize,
    pub max_queued_bytes: usize,
    pub max_groups_per_connection: usize,
    /// Per client: a token bucket with a burst of twice the rate.
    pub max_messages_per_second: Option<u32>,
    pub max_invocations: usize,
}

impl Default for HubLimits {
    fn default() -> HubLimits {
        HubLimits {
            max_connections: None,
            max_message_bytes: 1 << 20,
            max_queued_messages: 1000,
            max_queued_bytes: 16 << 20,
            max_groups_per_connection: 1000,
            max_messages_per_second: None,
            max_invocations: 16,
        }
    }
}

/// An event handler.
#[derive(Clone, Debug, PartialEq)]
pub struct EventHandlerConfig {
    /// The URL as written, with its placeholders; checked when the document is compiled.
    pub url_template: Box<str>,
    /// The index of its backend among those of the service.
    pub backend: usize,
    /// `None`: no user events.
    pub user_events: Option<UserEventPattern>,
    pub system_events: SystemEvents,
    /// For the complete response; `None`: 10 seconds for `connect`, otherwise 30 seconds.
    pub timeout: Option<Duration>,
    /// Whether the handler must permit the origin before its first event.
    pub validate: bool,
    /// Fixed header fields.
    pub headers: Vec<(String, Secret)>,
}

/// Which user events a handler receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserEventPattern {
    All,
    Names(Vec<Box<str>>),
}

impl UserEventPattern {
    /// Whether the handler receives this event.
    pub fn matches(&self, event: &str) -> bool {
        match self {
            UserEventPattern::All => true,
            UserEventPattern::Names(names) => names.iter().any(|name| &**name == event),
        }
    }
}

/// Which system events a handler receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemEvents {
    pub connect: bool,
    pub connected: bool,
    pub disconnected: bool,
    pub joined: bool,
    pub left: bool,
}

/// Settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealtimeConfig {
    /// The name of the node; `None`: random at each start.
    pub node_name: Option<Box<str>>,
    /// Hub connections of the process.
    pub max_connections: Option<usize>,
    /// Bytes queued for all connections together.
    pub max_queue_bytes: usize,
    /// Whether other nodes are reached over the shared state.
    pub is_shared: bool,
}

impl Default for RealtimeConfig {
    fn default() -> RealtimeConfig {
        RealtimeConfig {
            node_name: None,
            max_connections: None,
            max_queue_bytes: 512 << 20,
            is_shared: false,
        }
    }
}

/// What a route with `NegotiateOptions` issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateConfig {
    /// In lower case.
    pub hub: Box<str>,
    /// The claim of the caller that becomes the user id.
    pub user_id_claim: Option<Box<str>>,
    /// With placeholders `{claim:TYPE}`.
    pub roles: Vec<Box<str>>,
    pub groups: Vec<Box<str>>,
    pub expiry: Duration,
}
