//! Agents: processes next to services that cannot be reached. Each keeps outbound connections to the gateway, on which the
//! gateway opens streams (Envoy: reverse connections; Azure Relay: hybrid connections; rathole, frp: the server's side).
//!
//! An agent sends an HTTP/1.1 request with `Upgrade: margay-agent/1`; then the connection is HTTP/2 with the roles turned
//! round: the gateway is the client, and a stream to a service is a `CONNECT` (RFC 9113 8.5). Entry points:
//! [`connection::serve`] for an accepted connection, called by the service `Agents` of `control`, and
//! [`registry::AgentRegistry::open`], called where connections to endpoints are opened. `margay agent` uses [`dial`],
//! [`relay`] and [`stream`] for its side. The registry is one for the process; connections outlive a reload unless it
//! removes their agent.

pub mod access;
pub mod agent_side;
pub mod address;
pub mod config;
pub mod connection;
pub mod connector;
pub mod connector_side;

pub mod device_streams;
pub mod dial;
pub mod duplex;
pub mod endpoint;
pub mod entry;
pub mod error;
pub mod http_upgrade;
pub mod keepalive;
pub mod log;
pub mod names;
pub mod open;
pub mod registry;
pub mod relay;
mod renew;
pub mod service_target;
pub mod socket;
pub mod stream;
pub mod throttle;
pub mod usage;
pub mod virtual_stream;

#[cfg(test)]
mod tests;
