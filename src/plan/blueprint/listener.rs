//! The listeners of a blueprint and of a plan.

use super::https_redirect::HttpsRedirect;
use crate::config::Span;
use crate::net::{listener::Address, proxy_protocol::ProxyProtocolConfig, tls::server::ServerTls};
use crate::plan::routing::EscapedSeparators;
use std::sync::{Arc, atomic::AtomicBool};

/// What a listener accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerProtocol {
    #[default]
    Http,
    /// Connections that transport routes forward.
    Tcp,
    /// Datagrams that transport routes forward.
    Udp,
    /// MQTT connections of devices.
    Mqtt,
}

impl ListenerProtocol {
    /// The name in the document.
    pub fn name(self) -> &'static str {
        match self {
            ListenerProtocol::Http => "Http",
            ListenerProtocol::Tcp => "Tcp",
            ListenerProtocol::Udp => "Udp",
            ListenerProtocol::Mqtt => "Mqtt",
        }
    }
}

/// An address on which the gateway accepts requests, connections or datagrams. `Tls` is the configuration of TLS, in a plan
/// the acceptor built from it; `Handler` is what serves its connections before HTTP does, or instead of it.
#[derive(Clone, Debug)]
pub struct Listener<Tls = Arc<ServerTls>, Handler = ()> {
    pub name: Arc<str>,
    pub address: Address,
    /// Mode of the socket file; `None`: by the umask.
    pub mode: Option<u32>,
    /// The PROXY protocol, if enabled.
    pub proxy: Option<Arc<ProxyProtocolConfig>>,
    /// Where the document declares it; `None`: the default listener.
    pub span: Option<Span>,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// The value of `Strict-Transport-Security` in responses.
    pub hsts: Option<Box<str>>,
    /// Where every request is redirected to, over https.
    pub redirect: Option<HttpsRedirect>,
    /// Set when the listener is removed or its security settings change: open connections end with their next response.
    pub outdated: Arc<AtomicBool>,
    /// None: as the document has it.
    pub escaped_separators: Option<EscapedSeparators>,
    /// The number of connections of the gateway at which it stops accepting.
    pub max_connections: usize,
    pub protocol: ListenerProtocol,
    /// A proxy in front of the listener ends TLS.
    pub is_behind_tls: bool,
    /// In a plan: what serves its connections before HTTP does, or instead of it. `None`: HTTP alone.
    pub handler: Option<Handler>,
}

impl<Tls, Handler> Listener<Tls, Handler> {
    /// A plain HTTP listener.
    pub fn plain(name: impl Into<Arc<str>>, address: impl Into<Address>) -> Self {
        let (name, address) = (name.into(), address.into());
        Listener {
            name,
            address,
            mode: None,
            proxy: None,
            span: None,
            tls: None,
            hsts: None,
            redirect: None,
            outdated: Arc::default(),
            escaped_separators: None,
            max_connections: usize::MAX,
            protocol: ListenerProtocol::Http,
            is_behind_tls: false,
            handler: None,
        }
    }

    /// The same listener with other TLS and a handler.
    pub fn with_handles<Other, OtherHandler>(
        &self,
        tls: Option<Other>,
        handler: Option<OtherHandler>,
    ) -> Listener<Other, OtherHandler> {
        Listener {
            name: self.name.clone(),
            address: self.address.clone(),
            mode: self.mode,
            proxy: self.proxy.clone(),
            span: self.span,
            tls,
            hsts: self.hsts.clone(),
            redirect: self.redirect.clone(),
            outdated: Arc::default(),
            escaped_separators: self.escaped_separators,
            max_connections: self.max_connections,
            protocol: self.protocol,
            is_behind_tls: self.is_behind_tls,
            handler,
        }
    }
}
