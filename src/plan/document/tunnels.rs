//! `Tunnels`: agents, policies and their limits.

use crate::base::{
    secret::Secret,
    units::{DurationText, SizeText},
};
use crate::config::values::{List, Setting};
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::Deserialize;

/// Services that are reached through outbound connections of agents. docs/tunnels.md.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TunnelsDocument {
    /// Keys with rights that belong to no agent: name → rights and keys. Default: none.
    pub policies: Setting<SpannedMap<Spanned<TunnelPolicyDocument>>>,
    /// The agents: id → proofs and services. An id has 1 to 128 letters, digits and `-._~:@`, with regard to case; a name
    /// that ends with `*` is a pattern for many agents, and the longest one that fits applies. Required.
    pub agents: Setting<SpannedMap<Spanned<AgentDocument>>>,
    /// Limits of all agents; an agent may have its own.
    pub limits: Setting<TunnelLimitsDocument>,
    /// The handshake of Azure IoT Hub device streams. Default: off.
    pub device_streams: Setting<DeviceStreamsDocument>,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum StreamLogFormatDocument {
    #[default]
    Own,
    Azure,
}

/// Device streams: service applications request them over HTTP, devices answer over MQTT.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceStreamsDocument {
    /// The names of the hub: the hosts that tokens are signed for, and that user names of MQTT begin with. Required.
    pub host_names: List<String>,
    /// Where service applications and devices open bridges: `ws(s)://host[:port]`. Never taken from a request. Required.
    pub public_url: Setting<String>,
    /// How long a request waits for a device that is not connected, unless it has its own time. 0s to 5m. Default: `60s`.
    pub connect_timeout: Setting<DurationText>,
    /// How long a request waits for the answer of the device, unless it has its own time. 0s to 5m. Default: `60s`.
    pub response_timeout: Setting<DurationText>,
    /// The time in which both sides of a bridge must connect. 1s to 5m. Default: `60s`.
    pub handshake_timeout: Setting<DurationText>,
    /// `Azure`: a log line for each handshake in the shape of Azure IoT Hub, in addition to the own one. Default: `Own`.
    pub log_format: Setting<StreamLogFormatDocument>,
}

/// What a policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TunnelRight {
    ServiceConnect,
    DeviceConnect,
    RegistryRead,
}

/// Keys with rights.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TunnelPolicyDocument {
    /// `ServiceConnect`: request streams; `DeviceConnect`: be any agent; `RegistryRead`: see the list of agents. At least
    /// one. Required.
    pub rights: List<TunnelRight>,
    /// One or two keys of 32 to 128 bytes in Base64, such as `"${SERVICE_KEY}"`; an empty text is no key. Required.
    pub keys: List<Secret>,
}

/// An agent, or many of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentDocument {
    /// At most two keys of 32 to 128 bytes in Base64, such as `"${DEV1_KEY}"`; an empty text is no key. The key of each agent
    /// of a pattern is the Base64 of HMAC-SHA256(key, id). `Keys`, `Certificates` or `Subjects` is required. Default: none.
    pub keys: List<Secret>,
    /// Client certificates: SHA-256 in 64 hexadecimal digits, or `name:NAME` for a verified certificate with this DNS or
    /// common name; `name:{id}` for the id of the agent. Default: none.
    pub certificates: List<String>,
    /// Values of the claim `sub` of the authenticated caller of the route. Default: none.
    pub subjects: List<String>,
    /// Whether the agent may connect; `false` ends its connections too. Default: true.
    pub enabled: Setting<bool>,
    /// The services that may be offered: 1 to 64 letters, digits and `-_.`; `*` is any. Default: `["*"]`.
    pub services: List<String>,
    /// Who may request streams: `policy:NAME` (`policy:*`: every policy with the right), `sub:VALUE` (the claim of the caller),
    /// `routes` (routes of this configuration), `*` (everyone that the route admits). Default: `["policy:*", "routes"]`.
    pub connect: List<String>,
    /// How many processes may be this agent at the same time; one more replaces the oldest. 1 to 1000. Default: 1.
    pub instances: Setting<i64>,
    /// Limits of this agent. Default: those of `Tunnels.Limits`.
    pub limits: Setting<TunnelLimitsDocument>,
}

/// Limits of tunnels.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TunnelLimitsDocument {
    /// Maximum number of connected agents; beyond it 503 with `limit.agents`. Not for one agent. 1 or more. Default: 10000.
    pub max_agents: Setting<i64>,
    /// Maximum number of open streams of all agents; beyond it 503 with `agent.stream_limit`. Not for one agent. 1 or more.
    /// Default: 10000.
    pub max_streams: Setting<i64>,
    /// Maximum number of open streams of an agent; beyond it 503 with `agent.stream_limit`. 1 to 1024. Default: 256.
    pub max_streams_per_agent: Setting<i64>,
    /// New streams of an agent per second, which is the burst too; beyond it 503 with `agent.stream_limit`. 1 or more.
    /// Default: 100.
    pub new_streams_per_second: Setting<i64>,
    /// Bytes per second of a stream. 1KiB or more. Default: no limit.
    pub bytes_per_second: Setting<SizeText>,
    /// Bytes of an agent on a day (UTC); beyond it its streams end. 1KiB or more. Default: no limit.
    pub bytes_per_day: Setting<SizeText>,
    /// A stream without traffic ends after this time. 1s to 30d. Default: `1h`.
    pub idle_timeout: Setting<DurationText>,
    /// A stream ends after this time. 1s to 30d. Default: no limit.
    pub max_stream_duration: Setting<DurationText>,
    /// The time in which the agent must connect to its service. 100ms to 1m. Default: `5s`.
    pub connect_timeout: Setting<DurationText>,
    /// The largest flow-control window of a stream. 64KiB to 64MiB. Default: `16MiB`.
    pub max_stream_window: Setting<SizeText>,
    /// The flow-control window of a connection. 1MiB to 1GiB. Default: `64MiB`.
    pub max_connection_window: Setting<SizeText>,
    /// How long a request waits for an agent that is not connected. 0s to 1m. Default: `0s`, it fails at once.
    pub wait_for_agent: Setting<DurationText>,
}
