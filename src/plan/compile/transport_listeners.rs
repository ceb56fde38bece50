//! Listeners with `Protocol` `Tcp` and `Udp`: their addresses, ranges of ports, and the settings that they do not have.

use super::listener_name::listener_name;
use super::unix_sockets;
use crate::base::port_range::PortRange;
use crate::config::{Diagnostics, Sources, Span, Spanned, codes};
use crate::net::listener::Address;
use crate::plan::blueprint::{Listener, ListenerProtocol};
use crate::plan::check::non_blank;
use crate::plan::document::ListenerDocument;
use std::net::SocketAddr;

/// Maximum number of ports of one listener.
pub const MAX_PORTS: usize = 1024;
/// Maximum length of an ALPN protocol (RFC 7301 3.1).
const MAX_ALPN_BYTES: usize = 255;

/// `Protocol`; reports settings that the protocol does not have.
pub fn protocol(document: &Spanned<ListenerDocument>, diagnostics: &mut Diagnostics) -> ListenerProtocol {
    const PROTOCOLS: [ListenerProtocol; 4] =
        [ListenerProtocol::Http, ListenerProtocol::Tcp, ListenerProtocol::Udp, ListenerProtocol::Mqtt];
    let Some(name) = non_blank(&document.protocol) else { return ListenerProtocol::Http };
    let Some(protocol) = PROTOCOLS.into_iter().find(|known| known.name().eq_ignore_ascii_case(name.trim()))
    else {
        let message = format!("unknown Protocol \"{}\"", name.value);
        let names = PROTOCOLS.map(ListenerProtocol::name);
        diagnostics.error(codes::UNKNOWN_CHOICE, name.span, message).expected(name, &names);
        return ListenerProtocol::Http;
    };
    if protocol != ListenerProtocol::Http {
        report_http_settings(document, protocol, diagnostics);
    }
    protocol
}

fn report_http_settings(
    document: &ListenerDocument,
    protocol: ListenerProtocol,
    diagnostics: &mut Diagnostics,
) {
    let tls = document.tls.as_ref();
    let hsts = tls.and_then(|tls| tls.strict_transport_security.as_ref()).map(|set| set.span);
    let http: [(&str, Option<Span>); 4] = [
        ("RedirectToHttps", document.redirect_to_https.as_ref().map(|set| set.span)),
        ("RedirectHosts", document.redirect_hosts.as_ref().map(|set| set.span)),
        ("PathWithEscapedSeparators", document.path_with_escaped_separators.as_ref().map(|set| set.span)),
        ("StrictTransportSecurity", hsts),
    ];
    let udp: [(&str, Option<Span>); 3] = [
        ("Tls", tls.map(|set| set.span)),
        ("ProxyProtocol", document.proxy_protocol.as_ref().map(|set| set.span)),
        ("UnixMode", document.unix_mode.as_ref().map(|set| set.span)),
    ];
    let udp = udp.into_iter().filter(|_| protocol == ListenerProtocol::Udp);
    for (setting, span) in http.into_iter().chain(udp) {
        if let Some(span) = span {
            let message = format!("{setting} has no effect on a listener with Protocol {}", protocol.name());
            diagnostics.error(codes::TRANSPORT_LISTENER, span, message).help(format!("remove {setting}"));
        }
    }
}

/// The address of a TCP or UDP listener; of a range of ports the first.
pub fn address(
    text: &Spanned<String>,
    protocol: ListenerProtocol,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Address> {
    let first = match split_ports(text) {
        Some((host, ports)) => Spanned::new(format!("{host}:{}", ports.first), text.span),
        None => text.clone(),
    };
    match (unix_sockets::address(&first, sources, diagnostics)?, protocol) {
        (Address::Tcp(address), ListenerProtocol::Udp) => Some(Address::Udp(address)),
        (Address::Unix(_), ListenerProtocol::Udp) => {
            diagnostics
                .error(codes::TRANSPORT_LISTENER, text.span, "a UDP listener cannot use a Unix domain socket")
                .help("set an address such as 127.0.0.1:53");
            None
        }
        (address, _) => Some(address),
    }
}

/// The host and the ports of an address with a range.
fn split_ports(text: &str) -> Option<(&str, PortRange)> {
    let (host, ports) = text.trim().rsplit_once(':')?;
    let ports = ports.contains('-').then(|| PortRange::parse(ports))??;
    Some((host, ports))
}

/// The listener for each port of its range.
pub fn each_port(
    document: &ListenerDocument,
    listener: Listener,
    diagnostics: &mut Diagnostics,
) -> Vec<Listener> {
    let Some(text) = &document.address else { return Vec::new() };
    let range = split_ports(text).filter(|_| listener.protocol != ListenerProtocol::Http);
    let Some((_, range)) = range else { return vec![listener] };
    if range.len() > MAX_PORTS {
        let message = format!("{} ports of one listener", range.len());
        diagnostics
            .error(codes::PORT_RANGE, text.span, message)
            .help(format!("must be at most {MAX_PORTS} ports"));
        return vec![listener];
    }
    let with_port = |port: u16| {
        let address = match &listener.address {
            Address::Tcp(address) => Address::Tcp(SocketAddr::new(address.ip(), port)),
            Address::Udp(address) => Address::Udp(SocketAddr::new(address.ip(), port)),
            Address::Unix(path) => Address::Unix(path.clone()),
        };
        Listener { address, ..listener.clone() }
    };
    range.ports().map(with_port).collect()
}

/// The ALPN protocols of a TCP listener: any, and none by default.
pub fn alpn(protocols: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Vec<String> {
    for name in protocols.iter().filter(|name| !is_alpn(name)) {
        diagnostics
            .error(codes::BAD_PROTOCOL, name.span, format!("invalid ALPN protocol \"{}\"", name.value))
            .help("must have 1 to 255 bytes");
    }
    protocols.iter().map(|name| name.value.clone()).collect()
}

/// Whether a text can be an ALPN protocol.
fn is_alpn(name: &str) -> bool {
    (1..=MAX_ALPN_BYTES).contains(&name.len())
}

/// The names of listeners as the document has them, each with its protocol and whether it has TLS. A name of several ports
/// occurs once.
pub fn declared(documents: &[Spanned<ListenerDocument>]) -> Vec<DeclaredListener> {
    let declare = |document: &Spanned<ListenerDocument>| {
        Some(DeclaredListener {
            name: listener_name(document)?,
            protocol: protocol(document, &mut Diagnostics::default()),
            has_tls: document.tls.is_some(),
            span: document.address.as_ref().map_or(document.span, |address| address.span),
        })
    };
    documents.iter().filter_map(declare).collect()
}

/// A listener as the document declares it.
#[derive(Clone, Debug)]
pub struct DeclaredListener {
    pub name: String,
    pub protocol: ListenerProtocol,
    pub has_tls: bool,
    pub span: Span,
}
