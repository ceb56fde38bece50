//! The address of a backend.

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A host name or an IP address; an IPv6 address without brackets.
    pub host: String,
    /// `None`: the port of the listener (Ocelot).
    pub port: Option<u16>,
    /// Its weight in load balancing, 1 or more.
    pub weight: u32,
}
