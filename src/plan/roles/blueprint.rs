//! The roles of a blueprint: plain data.

use super::matrix::TrafficMatrix;
use crate::base::port_range::PortRange;
use crate::config::{Span, Spanned};
use crate::net::listener::Address;
use crate::plan::blueprint::ClusterBlueprint;
use crate::plan::blueprint::Listener;
use crate::plan::transport::{Admission, TransportConfig};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All roles of a document.
#[derive(Clone, Debug, Default)]
pub struct RolesBlueprint {
    /// In the order of the document.
    pub roles: Vec<RoleBlueprint>,
    pub options: RoleOptions,
    pub matrix: Arc<TrafficMatrix>,
    /// Endpoints with a public port for each instance.
    pub instance_inputs: Vec<InstanceInput>,
}

/// One role.
#[derive(Clone, Debug)]
pub struct RoleBlueprint {
    pub name: Arc<str>,
    pub instances: Vec<RoleInstance>,
    pub endpoints: Vec<RoleEndpoint>,
}

/// An instance of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleInstance {
    pub id: Arc<str>,
    pub host: String,
    /// The ports of endpoints whose port is dynamic.
    pub ports: BTreeMap<String, u16>,
    pub fault_domain: i64,
    pub update_domain: i64,
    pub identity: InstanceIdentity,
    pub is_busy: bool,
}

/// How an instance is recognized as a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceIdentity {
    pub certificate_names: Vec<String>,
    /// Networks: address and prefix length.
    pub networks: Vec<(IpAddr, u8)>,
    pub subjects: Vec<String>,
}

impl InstanceIdentity {
    /// The identity of an instance without one: its host, if that is an address.
    pub fn of_host(host: &str) -> InstanceIdentity {
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let network = |address: IpAddr| (address, if address.is_ipv4() { 32 } else { 128 });
        InstanceIdentity { networks: address.map(network).into_iter().collect(), ..Default::default() }
    }

    /// Whether the instance is never recognized.
    pub fn is_empty(&self) -> bool {
        self.certificate_names.is_empty() && self.networks.is_empty() && self.subjects.is_empty()
    }
}

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    Input,
    InstanceInput,
    Internal,
}

impl EndpointKind {
    /// The name in the document.
    pub fn name(self) -> &'static str {
        match self {
            EndpointKind::Input => "Input",
            EndpointKind::InstanceInput => "InstanceInput",
            EndpointKind::Internal => "Internal",
        }
    }
}

/// The protocol of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointProtocol {
    Http,
    Https,
    Tcp,
    Udp,
    /// TCP and UDP.
    Any,
}

impl EndpointProtocol {
    /// The name in the document.
    pub fn name(self) -> &'static str {
        match self {
            EndpointProtocol::Http => "http",
            EndpointProtocol::Https => "https",
            EndpointProtocol::Tcp => "tcp",
            EndpointProtocol::Udp => "udp",
            EndpointProtocol::Any => "any",
        }
    }
}

/// The port of an endpoint on its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstancePort {
    Fixed(u16),
    /// Each instance has its own port, from `Ports` or a registration.
    Dynamic,
    /// Every port of the range.
    Range(PortRange),
}

/// An endpoint of a role.
#[derive(Clone, Debug)]
pub struct RoleEndpoint {
    pub role: Arc<str>,
    pub name: Arc<str>,
    /// `Role.Endpoint`, and where the endpoint is written.
    pub full_name: Spanned<String>,
    pub kind: EndpointKind,
    pub protocol: EndpointProtocol,
    pub instance_port: InstancePort,
    /// The public port of an Input endpoint.
    pub public_port: Option<u16>,
    /// The public ports of an InstanceInput endpoint.
    pub public_ports: Option<PortRange>,
    pub gateway_port: Option<u16>,
    /// Whether busy instances receive traffic too.
    pub ignores_status: bool,
    /// Whether TLS passes through an `https` endpoint.
    pub passes_through: bool,
    pub bind_address: IpAddr,
    /// Which clients the listener of the endpoint admits.
    pub admission: Admission,
}

impl RoleEndpoint {
    /// What callers of the directory see of it.
    pub fn summary(
        &self,
    ) -> (Arc<str>, EndpointKind, EndpointProtocol, InstancePort, [Option<PortRange>; 3]) {
        let single = |port: Option<u16>| port.map(|port| PortRange { first: port, last: port });
        let ports = [single(self.public_port), self.public_ports, single(self.gateway_port)];
        (self.name.clone(), self.kind, self.protocol, self.instance_port, ports)
    }

    /// `Role.Endpoint`.
    pub fn full_name(&self) -> String {
        self.full_name.value.clone()
    }

    /// What is added to a port of the gateway for the port of an instance.
    pub fn port_offset(&self) -> i32 {
        match (self.instance_port, self.gateway_port) {
            (InstancePort::Range(range), Some(first)) => i32::from(range.first) - i32::from(first),
            _ => 0,
        }
    }
}

/// An endpoint with a public port for each instance.
#[derive(Clone, Debug)]
pub struct InstanceInput {
    pub role: Arc<str>,
    pub endpoint: Arc<str>,
    pub full_name: String,
    pub span: Span,
    pub is_udp: bool,
    pub bind_address: IpAddr,
    pub public_ports: PortRange,
    /// The cluster of all instances; that of one instance has its settings.
    pub cluster: Arc<ClusterBlueprint>,
    pub admission: Admission,
    pub config: TransportConfig,
}

/// Who may write to the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    #[default]
    Off,
    SelfOnly,
    Any,
}

/// What a caller of the directory sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    #[default]
    Reachable,
    Original,
    All,
}

/// What all roles have in common.
#[derive(Clone, Debug)]
pub struct RoleOptions {
    pub bind_address: IpAddr,
    pub internal_bind_address: IpAddr,
    /// `None`: the default in the data directory.
    pub state_file: Option<PathBuf>,
    pub registration: Registration,
    pub registration_ttl: Duration,
    pub visibility: Visibility,
    pub internal_listener: Option<InternalListener>,
}

impl Default for RoleOptions {
    fn default() -> RoleOptions {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        RoleOptions {
            bind_address: loopback,
            internal_bind_address: loopback,
            state_file: None,
            registration: Registration::default(),
            registration_ttl: Duration::from_secs(30),
            visibility: Visibility::default(),
            internal_listener: None,
        }
    }
}

/// The one TLS port for all internal endpoints.
#[derive(Clone, Debug)]
pub struct InternalListener {
    pub domain: String,
    /// By `Role.Endpoint`.
    pub endpoints: BTreeMap<String, InternalEndpoint>,
}

/// What the one port needs of an internal endpoint.
#[derive(Clone, Debug)]
pub struct InternalEndpoint {
    pub cluster: Arc<ClusterBlueprint>,
    pub config: TransportConfig,
}

/// The name of the listener for all internal endpoints.
pub const INTERNAL_LISTENER: &str = "RoleOptions.InternalListener";

impl RolesBlueprint {
    /// Whether there are neither roles nor rules.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// All endpoints, role by role.
    pub fn endpoints(&self) -> impl Iterator<Item = &RoleEndpoint> {
        self.roles.iter().flat_map(|role| &role.endpoints)
    }

    /// The internal endpoint whose listener has this name.
    pub fn internal_endpoint(&self, listener: &str) -> Option<&RoleEndpoint> {
        let is_internal = |endpoint: &&RoleEndpoint| endpoint.kind == EndpointKind::Internal;
        let base = listener.strip_suffix(UDP_SUFFIX).unwrap_or(listener);
        self.endpoints().filter(is_internal).find(|endpoint| endpoint.full_name.value == base)
    }

    /// The listener of a public port of an instance.
    pub fn instance_listener(input: &InstanceInput, port: u16) -> Listener {
        let address = std::net::SocketAddr::new(input.bind_address, port);
        let address = if input.is_udp { Address::Udp(address) } else { Address::Tcp(address) };
        let plain = Listener::plain(input.full_name.as_str(), address);
        Listener { span: Some(input.span), protocol: input.protocol(), ..plain }
    }
}

/// The end of the name of the UDP listener of an endpoint of both transports.
pub const UDP_SUFFIX: &str = "/udp";

impl InstanceInput {
    fn protocol(&self) -> crate::plan::blueprint::ListenerProtocol {
        use crate::plan::blueprint::ListenerProtocol;
        if self.is_udp { ListenerProtocol::Udp } else { ListenerProtocol::Tcp }
    }
}
