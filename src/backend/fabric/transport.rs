//! The backend endpoint of a listener of a replica: made by the first request that uses it, then shared by all requests
//! with the same settings of connections.

use super::address::{EndpointScheme, ListenerEndpoint};
use crate::{
    backend::endpoint::{Endpoint, EndpointRegistry, EndpointTransport, Instance, TlsMode},
    net::{connection_limit::PoolConfig, resolver::Resolver, tls::client::ClientTls},
};
use std::{collections::BTreeMap, sync::Arc};

/// The settings of connections to services; equal settings share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransportConfig {
    pub tls: ClientTls,
    pub pooling: PoolConfig,
    /// The host of an address → the host to connect to.
    pub host_map: BTreeMap<Box<str>, Box<str>>,
}

/// The connections of routes with the same settings.
#[derive(Debug)]
pub struct Transports {
    config: TransportConfig,
    registry: Arc<EndpointRegistry>,
}

impl Transports {
    /// Connections whose host names are resolved by `resolver`.
    pub fn new(config: TransportConfig, resolver: Resolver) -> Transports {
        Transports { config, registry: Arc::new(EndpointRegistry::new(resolver)) }
    }

    /// The backend endpoint of a listener.
    pub fn endpoint(&self, listener: &ListenerEndpoint, scheme: EndpointScheme) -> Arc<Endpoint> {
        let is_secure = scheme == EndpointScheme::Https;
        listener.transport.get(&self.registry, is_secure, || self.build(listener, scheme))
    }

    fn build(&self, listener: &ListenerEndpoint, scheme: EndpointScheme) -> Arc<Endpoint> {
        let mapped = self.config.host_map.get(&listener.host);
        let host = mapped.map_or(&*listener.host, |host| host);
        let instance = Instance::new(host, listener.port_for(scheme));
        let mode = match scheme {
            EndpointScheme::Http => TlsMode::Plain,
            EndpointScheme::Https => TlsMode::Always(Box::new(self.tls_for(listener))),
        };
        let built = self.registry.get("service-fabric", &instance, &mode, self.config.pooling);
        let authority = listener.authority(scheme);
        Arc::new(Endpoint {
            port: built.port,
            label: built.label.clone(),
            weight: built.weight,
            primary: EndpointTransport {
                transport: built.primary.transport.clone(),
                authority: authority.into_bytes().into(),
            },
            tls_variant: None,
            state: built.state.clone(),
        })
    }

    /// The name to verify is the host of the address, whatever host is connected to.
    fn tls_for(&self, listener: &ListenerEndpoint) -> ClientTls {
        let tls = self.config.tls.clone();
        let is_mapped = self.config.host_map.contains_key(&listener.host);
        match tls.name {
            None if is_mapped => ClientTls { name: Some(listener.host.to_string()), ..tls },
            _ => tls,
        }
    }
}
