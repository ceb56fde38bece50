//! Addresses of listeners and endpoints that may be Unix domain sockets, and trusted PROXY protocol senders.

use crate::base::ip_set::IpRange;
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, suggest};
use crate::net::agents::address::AgentAddress;
use crate::net::listener::Address;
use crate::net::proxy_protocol::{Mode, ProxyProtocolConfig};
use crate::net::tls::client::ClientTls;
use crate::net::tls::trust::TrustAnchors;
use crate::net::unix_address::UnixAddress;
use crate::plan::blueprint::Scheme;
use crate::plan::check::{CheckContext, items, non_blank};
use crate::plan::document::{HostAndPort, ListenerDocument, ProxyProtocolDocument, Setting};
use std::path::Path;
use std::time::Duration;

/// The entry of `Trusted` for all clients of a Unix domain socket.
const UNIX: &str = "unix";

/// The folder of the file that contains a span.
pub(super) fn base_dir(sources: &Sources, span: Span) -> Option<&Path> {
    sources.get(span.file)?.path.as_deref()?.parent()
}

/// An address and a port, or a Unix domain socket.
pub(super) fn address(
    text: &Spanned<String>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Address> {
    match UnixAddress::parse(text, base_dir(sources, text.span)) {
        Some(Ok(address)) => Some(Address::Unix(address)),
        Some(Err(why)) => {
            diagnostics
                .error(
                    codes::BAD_SOCKET,
                    text.span,
                    format!("\"{}\" is not a Unix domain socket: {why}", text.value),
                )
                .help("expected unix:/run/margay.sock, or unix:@margay for an abstract socket");
            None
        }
        None => super::limits::address(text, diagnostics).map(Address::Tcp),
    }
}

/// An endpoint behind a Unix domain socket: `unix:` and its absolute path. `None` for other endpoints.
pub(super) fn backend_socket(
    entry: &HostAndPort,
    host: &Spanned<String>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Option<String>> {
    let read = UnixAddress::parse(host, base_dir(sources, host.span))?;
    if let Some(port) = entry.port.as_ref().filter(|port| port.value != 0) {
        let message = format!("Port {} has no effect: Host is a Unix domain socket", port.value);
        diagnostics.error(codes::SOCKET_PORT, port.span, message).help("remove it");
    }
    Some(match read {
        Ok(address) => Some(address.to_string()),
        Err(why) => {
            diagnostics
                .error(
                    codes::BAD_SOCKET,
                    host.span,
                    format!("\"{}\" is not a Unix domain socket: {why}", host.value),
                )
                .help("expected unix:/run/app.sock, or unix:@app for an abstract socket");
            None
        }
    })
}

/// TLS over a Unix domain socket requires a server name to verify the certificate.
pub(super) fn check_server_name(
    entries: &[Spanned<HostAndPort>],
    scheme: Scheme,
    tls: &ClientTls,
    scope: &CheckContext,
    diagnostics: &mut Diagnostics,
) {
    let document = scope.document;
    let comes = || {
        let proxies = document.forwarded_headers.as_ref().and_then(|set| set.trusted_proxies.as_ref());
        let listens = items(&document.listeners).iter().any(|listener| listener.tls.is_some());
        listens || proxies.is_some_and(|list| !list.is_empty())
    };
    let is_tls_used = match scheme {
        Scheme::Https => true,
        Scheme::SameAsClient => comes(),
        Scheme::Http => false,
    };
    if !is_tls_used || tls.name.is_some() || tls.trust == TrustAnchors::DangerousAcceptAny {
        return;
    }
    let hosts = entries.iter().filter_map(|entry| non_blank(&entry.host));
    let is_nameless = |host: &str| UnixAddress::has_unix_scheme(host) || AgentAddress::has_agent_scheme(host);
    for host in hosts.filter(|host| is_nameless(host)) {
        let message = match scheme {
            Scheme::SameAsClient => "requests of https clients use TLS over the socket or the agent",
            _ => "the socket or the agent uses TLS",
        };
        let message = format!("{message}, but there is no ServerName to verify its certificate");
        diagnostics.error(codes::NO_SERVER_NAME, host.span, message).help(
            "set \"TlsOptions\": { \"ServerName\": \"app.example\" }, or \"DownstreamScheme\": \"http\"",
        );
    }
}

/// The mode of the socket file, in octal as for chmod.
pub(super) fn parse_mode(
    document: &ListenerDocument,
    address: &Address,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let text = non_blank(&document.unix_mode)?;
    if !matches!(address, Address::Unix(UnixAddress::Path(_))) {
        let message = format!("UnixMode has no effect: {address} has no socket file");
        diagnostics.error(codes::BAD_UNIX_MODE, text.span, message).help("remove it");
    }
    let digits = text.trim();
    let read = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777 && digits.len() >= 3);
    if read.is_none() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        diagnostics
            .error(codes::BAD_UNIX_MODE, text.span, format!("invalid UnixMode \"{}\"", text.value))
            .help("must be three or four octal digits, such as \"0660\" for owner and group");
    }
    read
}

/// The settings of the PROXY protocol. The timeout is compiled elsewhere.
pub(super) fn proxy_protocol(
    document: &Spanned<ProxyProtocolDocument>,
    address: &Address,
    limit: Duration,
    diagnostics: &mut Diagnostics,
) -> ProxyProtocolConfig {
    let (mut ranges, mut unix) = (Vec::new(), false);
    let is_unix = matches!(address, Address::Unix(_));
    for entry in items(&document.trusted) {
        let is_word = entry.trim().eq_ignore_ascii_case(UNIX);
        match IpRange::parse(entry) {
            Some(range) => ranges.push(range),
            None if is_word => unix = true,
            None => {
                report_invalid_proxy(entry, diagnostics);
                continue;
            }
        }
        if is_word != is_unix {
            report_unused_trust(entry, address, diagnostics);
        }
    }
    if items(&document.trusted).is_empty() {
        let span = document.trusted.as_ref().map_or(document.span, |list| list.span);
        let help = match is_unix {
            true => "set \"Trusted\": [\"unix\"]",
            false => "list the trusted proxies: \"Trusted\": [\"10.0.0.0/8\"]",
        };
        let message = "ProxyProtocol without Trusted: any peer could claim any address";
        diagnostics.error(codes::NO_TRUSTED, span, message).help(help);
    }
    ProxyProtocolConfig {
        trusted: ranges.into_iter().collect(),
        trust_unix: unix,
        mode: kind(&document.mode, diagnostics),
        timeout: limit,
    }
}

fn report_invalid_proxy(entry: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let message = format!("invalid trusted proxy \"{}\"", entry.value);
    let help = "expected an address or network such as 10.0.0.1, 10.0.0.0/8, ::1 or fd00::/8; \"unix\" for a listener on a Unix domain socket";
    diagnostics.error(codes::BAD_PROXY, entry.span, message).help(help);
}

fn report_unused_trust(entry: &Spanned<String>, address: &Address, diagnostics: &mut Diagnostics) {
    let (message, help) = match address {
        Address::Unix(_) => ("clients of a Unix domain socket have no address", "use \"unix\""),
        Address::Tcp(_) | Address::Udp(_) => {
            ("\"unix\" applies to listeners on Unix domain sockets only", "list the addresses of the proxies")
        }
    };
    diagnostics.error(codes::USELESS_TRUST, entry.span, message).help(help);
}

fn kind(setting: &Setting<String>, diagnostics: &mut Diagnostics) -> Mode {
    const MODES: [(&str, Mode); 2] = [("Required", Mode::Required), ("Optional", Mode::Optional)];
    let Some(name) = non_blank(setting) else { return Mode::default() };
    match MODES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim())) {
        Some((_, mode)) => *mode,
        None => {
            let message = format!("unknown Mode \"{}\" of ProxyProtocol", name.value);
            let diagnostic = diagnostics.error(codes::UNKNOWN_CHOICE, name.span, message);
            if let Some(meant) = suggest::closest_match(name, MODES.map(|(known, _)| known)) {
                diagnostic.help(format!("did you mean \"{meant}\"?"));
            }
            diagnostic.help("expected \"Required\" or \"Optional\"");
            Mode::default()
        }
    }
}
