//! The active form of a transport route: what `server::l4` reads for every connection and session.

use super::{access::Admission, config::TransportConfig};
use crate::{backend::Cluster, plan::roles::EndpointGuard, telemetry::TransportMetrics};
use std::{net::IpAddr, sync::Arc};

/// A transport route of a plan.
#[derive(Clone, Debug)]
pub struct TransportRoute {
    pub label: Arc<str>,
    /// The role of its endpoints; empty if they belong to none.
    pub role: Arc<str>,
    pub cluster: Arc<Cluster>,
    /// Whether the TLS of the client ends at the gateway.
    pub terminates: bool,
    pub admission: Admission,
    pub config: TransportConfig,
    /// What is added to the port that the client connected to, for endpoints without a port of their own.
    pub port_offset: i32,
    /// The port of the service, whatever port the client connected to.
    pub fixed_port: Option<u16>,
    /// Traffic rules, if the route leads to an internal endpoint.
    pub guard: Option<Arc<EndpointGuard>>,
    pub metrics: Arc<TransportMetrics>,
}

impl TransportRoute {
    /// The port of an endpoint for a client that connected to a port of the gateway.
    pub fn backend_port(&self, endpoint: Option<u16>, local: u16) -> u16 {
        let port = endpoint.or(self.fixed_port);
        port.unwrap_or_else(|| (i32::from(local) + self.port_offset).clamp(0, 65_535) as u16)
    }

    /// Whether the address may connect.
    pub fn admits(&self, client: IpAddr) -> bool {
        self.admission.admits(client)
    }
}
