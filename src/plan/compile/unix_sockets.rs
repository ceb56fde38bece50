//! Addresses of listeners and services that may be sockets of this machine, and who may say on a listener for whom he
//! comes.

use crate::base::ip_set::IpRange;
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, suggest};
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

/// The word in `Trusted` for everybody who comes through a socket of this machine.
const UNIX: &str = "unix";

/// The folder of the file in which something is written.
pub(super) fn base_dir(sources: &Sources, span: Span) -> Option<&Path> {
    sources.get(span.file)?.path.as_deref()?.parent()
}

/// An address and a port, or a socket of this machine.
pub(super) fn address(
    text: &Spanned<String>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Address> {
    match UnixAddress::parse(text, base_dir(sources, text.span)) {
        Some(Ok(place)) => Some(Address::Unix(place)),
        Some(Err(why)) => {
            diagnostics
                .error(codes::BAD_SOCKET, text.span, format!("\"{}\" is no socket: {why}", text.value))
                .help("write it like unix:/run/margay.sock, or unix:@margay for a name without a file");
            None
        }
        None => super::limits::address(text, diagnostics).map(Address::Tcp),
    }
}

/// A service behind a socket of this machine: `unix:` and where it is, from the root on. None where it is somewhere else.
pub(super) fn backend_socket(
    entry: &HostAndPort,
    host: &Spanned<String>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Option<String>> {
    let read = UnixAddress::parse(host, base_dir(sources, host.span))?;
    if let Some(port) = entry.port.as_ref().filter(|port| port.value != 0) {
        let message = format!("Port {} means nothing here: Host is a socket of this machine", port.value);
        diagnostics.error(codes::SOCKET_PORT, port.span, message).help("leave it out");
    }
    Some(match read {
        Ok(place) => Some(place.to_string()),
        Err(why) => {
            diagnostics
                .error(codes::BAD_SOCKET, host.span, format!("\"{}\" is no socket: {why}", host.value))
                .help("write it like unix:/run/app.sock, or unix:@app for a name without a file");
            None
        }
    })
}

/// Where services behind sockets are spoken to over TLS, it is known whose certificate they show.
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
    let spoken = match scheme {
        Scheme::Https => true,
        Scheme::SameAsClient => comes(),
        Scheme::Http => false,
    };
    if !spoken || tls.name.is_some() || tls.trust == TrustAnchors::DangerousAcceptAny {
        return;
    }
    let hosts = entries.iter().filter_map(|entry| non_blank(&entry.host));
    for host in hosts.filter(|host| UnixAddress::has_unix_scheme(host)) {
        let message = match scheme {
            Scheme::SameAsClient => "clients may come over https, and then the socket is spoken to over TLS",
            _ => "the socket is spoken to over TLS",
        };
        let message = format!("{message}, and nothing says for whom its certificate is");
        diagnostics.error(codes::NO_SERVER_NAME, host.span, message).help(
            "write \"TlsOptions\": { \"ServerName\": \"app.example\" }, or \"DownstreamScheme\": \"http\"",
        );
    }
}

/// The mode of the file, in octal as chmod has it.
pub(super) fn parse_mode(
    document: &ListenerDocument,
    address: &Address,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let text = non_blank(&document.unix_mode)?;
    if !matches!(address, Address::Unix(UnixAddress::Path(_))) {
        let message = format!("UnixMode means nothing here: no file stands for {address}");
        diagnostics.error(codes::BAD_UNIX_MODE, text.span, message).help("leave it out");
    }
    let digits = text.trim();
    let read = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777 && digits.len() >= 3);
    if read.is_none() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        diagnostics
            .error(codes::BAD_UNIX_MODE, text.span, format!("UnixMode \"{}\" is no mode", text.value))
            .help("write three or four octal digits, such as \"0660\" for owner and group");
    }
    read
}

/// Who may say for whom he comes. The time was read by others.
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
        let place = document.trusted.as_ref().map_or(document.span, |list| list.span);
        let help = match is_unix {
            true => "write \"Trusted\": [\"unix\"]",
            false => "name the proxies in front: \"Trusted\": [\"10.0.0.0/8\"]",
        };
        let message = "ProxyProtocol has no Trusted: any peer could claim any address";
        diagnostics.error(codes::NO_TRUSTED, place, message).help(help);
    }
    ProxyProtocolConfig {
        trusted: ranges.into_iter().collect(),
        trust_unix: unix,
        mode: kind(&document.mode, diagnostics),
        timeout: limit,
    }
}

fn report_invalid_proxy(entry: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let message = format!("\"{}\" is not an address, a range or a network", entry.value);
    let help = "write 10.0.0.1, 10.0.0.0/8, ::1 or fd00::/8; \"unix\" for a listener that is a socket";
    diagnostics.error(codes::BAD_PROXY, entry.span, message).help(help);
}

fn report_unused_trust(entry: &Spanned<String>, address: &Address, diagnostics: &mut Diagnostics) {
    let (message, help) = match address {
        Address::Unix(_) => ("clients of a socket have no address to be trusted for", "write \"unix\""),
        Address::Tcp(_) => {
            ("\"unix\" is for listeners that are sockets", "name the addresses of the proxies")
        }
    };
    diagnostics.error(codes::USELESS_TRUST, entry.span, message).help(help);
}

fn kind(setting: &Setting<String>, diagnostics: &mut Diagnostics) -> Mode {
    const MODES: [(&str, Mode); 2] = [("Required", Mode::Required), ("Optional", Mode::Optional)];
    let Some(word) = non_blank(setting) else { return Mode::default() };
    match MODES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word.trim())) {
        Some((_, mode)) => *mode,
        None => {
            let message = format!("there is no Mode \"{}\" of ProxyProtocol", word.value);
            let said = diagnostics.error(codes::UNKNOWN_CHOICE, word.span, message);
            if let Some(meant) = suggest::closest_match(word, MODES.map(|(known, _)| known)) {
                said.help(format!("did you mean \"{meant}\"?"));
            }
            said.help("write \"Required\" or \"Optional\"");
            Mode::default()
        }
    }
}
