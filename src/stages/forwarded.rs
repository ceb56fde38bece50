//! `ForwardedHeaders`: who the client is as seen through trusted proxies, and what the service is told about it.

use crate::{
    base::{bytes::list, ip::IpSet},
    pipeline::{
        exchange::Exchange,
        head::Known,
        stage::{Stage, Step},
    },
};
use std::net::{IpAddr, SocketAddr};

pub const NAME: &str = "forwarded";

/// Believes `X-Forwarded-*` of trusted proxies only, and writes them anew for the service.
#[derive(Debug)]
pub struct Forwarded {
    /// Proxies whose word counts.
    pub trusted: IpSet,
    pub believe_for: bool,
    pub believe_proto: bool,
    pub believe_host: bool,
    /// The fields are sent to the service; else they pass as they came.
    pub add: bool,
}

impl Stage for Forwarded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let trusted = !self.trusted.is_empty() && self.trusted.contains(x.peer.ip());
        if trusted {
            self.believe(x);
        }
        if self.add {
            tell(x, trusted);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        let told =
            if self.add { "adds X-Forwarded-For, -Host, -Proto" } else { "passes X-Forwarded-* as they are" };
        let believed =
            if self.trusted.is_empty() { "believes nobody" } else { "believes the trusted proxies" };
        format!("{told}; {believed}")
    }
}

impl Forwarded {
    fn believe(&self, x: &mut Exchange) {
        if self.believe_for {
            x.client = self.client(x).unwrap_or(x.client);
        }
        if self.believe_proto {
            let last = x.req.known(Known::XForwardedProto).and_then(|v| list(v).last());
            x.secure = last.map_or(x.secure, |proto| {
                proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss")
            });
        }
        if self.believe_host {
            let host = x.req.known(Known::XForwardedHost).and_then(|v| list(v).last()).map(<[u8]>::to_vec);
            if let Some(host) = host.filter(|host| is_authority(host)) {
                x.req.set(b"Host", &host);
            }
        }
    }

    /// From the nearest proxy outwards: the first address that is no trusted proxy is the client.
    fn client(&self, x: &Exchange) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = x.req.all_known(Known::XForwardedFor).collect();
        let mut client = None;
        for entry in lines.iter().rev().flat_map(|line| list(line).collect::<Vec<_>>().into_iter().rev()) {
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
fn tell(x: &mut Exchange, trusted: bool) {
    let Exchange { req, peer, secure, .. } = x;
    if !trusted {
        req.remove_if(|known, _| {
            matches!(
                known,
                Known::XForwardedFor | Known::XForwardedHost | Known::XForwardedProto | Known::Forwarded
            )
        });
    }
    req.append(b"X-Forwarded-For", peer.ip_text());
    if req.known(Known::XForwardedHost).is_none() {
        req.append_value_of(b"X-Forwarded-Host", Known::Host);
    }
    if req.known(Known::XForwardedProto).is_none() {
        req.append(b"X-Forwarded-Proto", if *secure { b"https" } else { b"http" });
    }
}
