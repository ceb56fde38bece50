//! `ForwardedHeaders`: the address, scheme and host of the client from `X-Forwarded-*` of trusted proxies (nginx `realip`,
//! ASP.NET forwarded headers middleware), and the fields that the backend gets.

use super::feature::{BuildContext, RouteRole, StageConfig};
use crate::{
    base::{bytes::comma_list, ip_set::IpSet},
    pipeline::{
        exchange::Exchange,
        head::KnownHeader,
        stage::{BoxStage, Stage, Step},
    },
};
use std::net::{IpAddr, SocketAddr};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "forwarded-headers";

/// Reads `X-Forwarded-*` of trusted proxies only, and writes them for the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedHeaders {
    /// Trusted proxies.
    pub trusted: IpSet,
    pub trust_for: bool,
    pub trust_proto: bool,
    pub trust_host: bool,
    /// Send the fields to the backend; otherwise they pass unchanged.
    pub add_to_request: bool,
}

impl StageConfig for ForwardedHeaders {
    type State = ();

    /// The parts of an aggregate add the fields, not the aggregate.
    fn build(&self, (): &(), context: &BuildContext) -> Vec<BoxStage> {
        let add_to_request = self.add_to_request && context.role != RouteRole::Aggregate;
        let stage = (add_to_request || !self.trusted.is_empty())
            .then(|| Box::new(ForwardedHeaders { add_to_request, ..self.clone() }) as BoxStage);
        stage.into_iter().collect()
    }
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
        let forwarded = if self.add_to_request {
            "adds X-Forwarded-For, -Host, -Proto"
        } else {
            "passes X-Forwarded-* unchanged"
        };
        let trusted =
            if self.trusted.is_empty() { "trusts no proxy" } else { "trusts the configured proxies" };
        format!("{forwarded}; {trusted}")
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

    /// From the nearest proxy outward: the first address that is not a trusted proxy is the client.
    fn client_address(&self, exchange: &Exchange) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = exchange.request.get_all_known(KnownHeader::XForwardedFor).collect();
        let mut client = None;
        for item in lines.iter().rev().flat_map(|line| comma_list(line).collect::<Vec<_>>().into_iter().rev())
        {
            let Some(address) = parse_address(item) else { break };
            client = Some(address);
            if !self.trusted.contains(address) {
                break;
            }
        }
        client
    }
}

/// Parses an item of `X-Forwarded-For`: an address, optionally in brackets or with a port.
fn parse_address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?;
    let unbracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = unbracketed.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// Whether the value is safe as `Host`: only bytes of a host and port.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(b))
}

/// Writes the fields for the backend. Those of an untrusted client are removed first.
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
