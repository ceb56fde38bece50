//! `ForwardedHeaders`: who the client is as seen through trusted proxies, and what the service is told about it.

use crate::{
    base::{bytes::comma_list, ip_set::IpSet},
    pipeline::{
        exchange::Exchange,
        head::KnownHeader,
        stage::{Stage, Step},
    },
};
use std::net::{IpAddr, SocketAddr};

pub const NAME: &str = "forwarded-headers";

/// Believes `X-Forwarded-*` of trusted proxies only, and writes them anew for the service.
#[derive(Debug)]
pub struct ForwardedHeaders {
    /// Proxies whose word counts.
    pub trusted: IpSet,
    pub trust_for: bool,
    pub trust_proto: bool,
    pub trust_host: bool,
    /// The fields are sent to the service; else they pass as they came.
    pub add_to_request: bool,
}

impl Stage for ForwardedHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let trusted = !self.trusted.is_empty() && self.trusted.contains(exchange.client.peer.ip());
        if trusted {
            self.apply_trusted(exchange);
        }
        if self.add_to_request {
            write_forwarded(exchange, trusted);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        let told = if self.add_to_request {
            "adds X-Forwarded-For, -Host, -Proto"
        } else {
            "passes X-Forwarded-* as they are"
        };
        let believed =
            if self.trusted.is_empty() { "believes nobody" } else { "believes the trusted proxies" };
        format!("{told}; {believed}")
    }
}

impl ForwardedHeaders {
    fn apply_trusted(&self, exchange: &mut Exchange) {
        if self.trust_for {
            exchange.client.ip = self.client_address(exchange).unwrap_or(exchange.client.ip);
        }
        if self.trust_proto {
            let last =
                exchange.request.get_known(KnownHeader::XForwardedProto).and_then(|v| comma_list(v).last());
            exchange.client.is_tls = last.map_or(exchange.client.is_tls, |proto| {
                proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss")
            });
        }
        if self.trust_host {
            let host = exchange
                .request
                .get_known(KnownHeader::XForwardedHost)
                .and_then(|v| comma_list(v).last())
                .map(<[u8]>::to_vec);
            if let Some(host) = host.filter(|host| is_authority(host)) {
                exchange.request.set(b"Host", &host);
            }
        }
    }

    /// From the nearest proxy outwards: the first address that is no trusted proxy is the client.
    fn client_address(&self, exchange: &Exchange) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = exchange.request.get_all_known(KnownHeader::XForwardedFor).collect();
        let mut client = None;
        for entry in
            lines.iter().rev().flat_map(|line| comma_list(line).collect::<Vec<_>>().into_iter().rev())
        {
            let Some(address) = address(entry) else { break };
            client = Some(address);
            if !self.trusted.contains(address) {
                break;
            }
        }
        client
    }
}

/// An entry of `X-Forwarded-For`: an address, IPv6 perhaps in brackets, perhaps with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// Good enough a host to be put where the router looks: no byte that means something else there.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(b))
}

/// What an untrusted client says of itself is not passed on as if it were known.
fn write_forwarded(exchange: &mut Exchange, trusted: bool) {
    let Exchange { request, client, .. } = exchange;
    if !trusted {
        request.remove_if(|known, _| {
            matches!(
                known,
                KnownHeader::XForwardedFor
                    | KnownHeader::XForwardedHost
                    | KnownHeader::XForwardedProto
                    | KnownHeader::Forwarded
            )
        });
    }
    request.append(b"X-Forwarded-For", client.peer.ip_text());
    if request.get_known(KnownHeader::XForwardedHost).is_none() {
        request.append_copy(b"X-Forwarded-Host", KnownHeader::Host);
    }
    if request.get_known(KnownHeader::XForwardedProto).is_none() {
        request.append(b"X-Forwarded-Proto", if client.is_tls { b"https" } else { b"http" });
    }
}
