//! `Roles`, `RoleOptions` and `TrafficRules`: named sets of instances, their endpoints, and who may reach whom.

use super::{listener::ListenerTlsDocument, shared::*, transport::AccessRuleDocument};
use crate::base::units::DurationText;
use crate::config::values::{BoxedSetting, List, Setting};
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::Deserialize;

/// A role: instances that offer the same endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoleDocument {
    /// The instances. Default: `[]`; instances may also be registered in the directory.
    pub instances: List<RoleInstanceDocument>,
    /// Name → endpoint. Names have 1 to 63 letters, digits, `-` or `_`. Default: `{}`.
    pub endpoints: Setting<SpannedMap<Spanned<RoleEndpointDocument>>>,
}

/// An instance of a role.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoleInstanceDocument {
    /// Unique in the role; 1 to 128 letters, digits, `-`, `_` or `.`. Default: `{Role}_IN_{n}`, numbered from 0.
    pub id: Setting<String>,
    /// A host name or IP address. Required.
    pub host: Setting<String>,
    /// Endpoint → port, for endpoints whose port is dynamic. 1 to 65535. Default: `{}`.
    pub ports: Setting<SpannedMap<Option<Spanned<i64>>>>,
    /// A number that the directory reports. Default: 0.
    pub fault_domain: Setting<i64>,
    /// A number that the directory reports. Default: 0.
    pub update_domain: Setting<i64>,
    /// How the instance is recognized as the source of a connection. Default: its `Host`, if that is an address.
    pub identity: Setting<RoleIdentityDocument>,
    /// `Ready`, or `Busy`: no new connections are sent to it. Default: `Ready`.
    pub status: Setting<String>,
}

/// How an instance is recognized as a source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoleIdentityDocument {
    /// DNS or URI names of its client certificate, or its common name if it has no names. Default: `[]`.
    pub certificate_names: List<String>,
    /// Addresses and networks; the longest prefix decides. Default: `[]`.
    pub addresses: List<String>,
    /// Values of the claim `sub` of authenticated callers over HTTP. Default: `[]`.
    pub subjects: List<String>,
}

document! { transport:
    /// An endpoint of a role. It is also a cluster of the name `Role.Endpoint`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct RoleEndpointDocument {
        /// `Input`: public, balanced over the instances. `InstanceInput`: a public port for each instance. `Internal`: for
        /// other roles, as `TrafficRules` allow. Required.
        pub kind: Setting<String>,
        /// Input: `http`, `https`, `tcp` or `udp`; InstanceInput: `tcp` or `udp`; Internal: `http`, `tcp`, `udp` or `any` (TCP
        /// and UDP). Required.
        pub protocol: Setting<String>,
        /// Input: the public port. Internal: the port of the instances; without it and `PortRange` it is dynamic. 1 to 65535.
        pub port: Setting<i64>,
        /// Input: the port of the instances, or `"*"` if it is dynamic; default: `Port`. InstanceInput: required.
        pub local_port: Setting<PortText>,
        /// InstanceInput: the public ports, `"10105-10109"` or `"10105"`. Required there.
        pub public_ports: Setting<PortText>,
        /// Internal: every port of this range on every instance, `"8995-8999"`. Default: none.
        pub port_range: Setting<PortText>,
        /// Internal: the port of the gateway for callers, with `PortRange` the first one. Default: none, callers use
        /// `InternalListener` or connect directly.
        pub gateway_port: Setting<i64>,
        /// The address of the listener. Default: `RoleOptions.BindAddress`, for Internal `RoleOptions.InternalBindAddress`.
        pub bind_address: Setting<String>,
        /// Input with `https`: TLS of the listener. Required unless `TlsMode` is `Passthrough`.
        #[serde(rename = "Tls")]
        pub listener_tls: BoxedSetting<ListenerTlsDocument>,
        /// Input with `https`: `Terminate` or `Passthrough`. Default: `Terminate`.
        pub tls_mode: Setting<String>,
        /// Whether `Busy` instances receive traffic too. Default: false.
        pub ignore_instance_status: Setting<bool>,
        /// `tcp` or `tls`, `http` or `https`: how the gateway connects to the instances. Default: without TLS.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        use access_settings;
        use transport_settings;
    }
}

/// A port, a range of ports, or `*`; a number or a string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortText(pub String);

impl crate::base::from_text::FromText for PortText {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(PortText(text.trim().to_owned()))
    }
}

impl<'de> Deserialize<'de> for PortText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::base::from_text::deserialize(deserializer)
    }
}

impl JsonSchema for PortText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ports".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "examples": [8080, "8995-8999", "*"] })
    }
}

/// What all roles have in common.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoleOptionsDocument {
    /// The address of Input and InstanceInput endpoints. Default: `127.0.0.1`.
    pub bind_address: Setting<String>,
    /// The address of Internal endpoints. Default: `127.0.0.1`.
    pub internal_bind_address: Setting<String>,
    /// The file that remembers the public ports of instances; a relative path is resolved against the configuration file.
    /// Default: `role-ports.json` in `DataDirectory`.
    pub state_file: Setting<String>,
    /// Who may register instances and change their ports and status in the directory: `Off`, `Self` (an instance itself) or
    /// `Any` (whom the route admits). Default: `Off`.
    pub registration: Setting<String>,
    /// Time to live of registrations that name none. 10s to 1d. Default: `30s`.
    pub registration_ttl: Setting<DurationText>,
    /// What callers see in the directory: `Reachable` (their role, and roles with an internal endpoint that they may reach),
    /// `Original` (their role, and every role with an internal endpoint) or `All`. Default: `Reachable`.
    pub visibility: Setting<String>,
    /// One TLS port for all internal endpoints; the server name selects the endpoint. Default: none.
    pub internal_listener: Setting<InternalListenerDocument>,
}

/// One TLS port for all internal endpoints: `{endpoint}.{role}.{Domain}` leads to any instance,
/// `{id}.{endpoint}.{role}.{Domain}` to one, in lower case and with `-` for every other character.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct InternalListenerDocument {
    /// `host:port`. Required.
    pub address: Setting<String>,
    /// The domain of the server names. Required.
    pub domain: Setting<String>,
    /// TLS; `ClientCertificates` are required.
    pub tls: BoxedSetting<ListenerTlsDocument>,
}

/// Which roles may reach which internal endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TrafficRulesDocument {
    /// What applies to an endpoint that no rule names: `Deny` or `Allow`. Default: `Deny`.
    pub default_action: Setting<String>,
    /// Whether instances of one role reach each other: `ByRule` or `Allow`. Default: `ByRule`.
    pub same_role: Setting<String>,
    /// What applies to a source that is no instance: `Deny` or `Allow`. Default: `Deny`.
    pub unknown_source: Setting<String>,
    /// `Enforce`, or `Audit`: nothing is denied, and what would be is counted and logged. Default: `Enforce`.
    pub mode: Setting<String>,
    /// How long open connections go on that a change does not allow any more. 0s to 1h. Default: `0s`.
    pub revoke_grace: Setting<DurationText>,
    /// The rules; the first one that names the source and the destination decides. Default: `[]`.
    pub rules: List<TrafficRuleDocument>,
}

/// A rule: these roles may reach these endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TrafficRuleDocument {
    /// Names of roles, or `*` for every role. Required.
    pub from: List<String>,
    /// Internal endpoints `Role.Endpoint`, or `Role.*` for all of a role. Required.
    pub to: List<String>,
}
