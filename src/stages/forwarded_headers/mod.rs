//! `ForwardedHeaders`: the address, scheme and host of the client from `X-Forwarded-*` or `Forwarded` (RFC 7239) of trusted
//! proxies (nginx `realip`, ASP.NET forwarded headers middleware), and the fields that the backend gets.
//!
//! Trusted fields take effect before routing ([`TrustedProxies::apply`]): the route is matched by the host that the backend
//! gets. The stage only writes the fields.

use super::feature::{BuildContext, RouteRole, StageConfig};
use crate::{
    base::{bytes::comma_list, ip_set::IpSet},
    pipeline::{
        exchange::Exchange,
        head::{Head, KnownHeader},
        stage::{BoxStage, Stage, Step},
    },
};
use node::parse_address;
use std::{io::Write, net::IpAddr};

mod node;
mod rfc7239;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "forwarded-headers";

/// The proxies in front of the gateway, and which of their fields are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub proxies: IpSet,
    pub trust_for: bool,
    pub trust_proto: bool,
    pub trust_host: bool,
    /// `Forwarded`: address, scheme and host.
    pub trust_forwarded: bool,
}

impl TrustedProxies {
    /// Whether the peer of this exchange is one of them.
    pub fn contains(&self, exchange: &Exchange) -> bool {
        !self.proxies.is_empty() && self.proxies.contains(exchange.client.peer.ip())
    }

    /// Whether the field is trusted from a trusted proxy. Fields that the gateway does not evaluate are the backend's to trust.
    pub fn trusts(&self, field: KnownHeader) -> bool {
        match field {
            KnownHeader::XForwardedFor => self.trust_for,
            KnownHeader::XForwardedProto => self.trust_proto,
            KnownHeader::XForwardedHost => self.trust_host,
            KnownHeader::Forwarded => self.trust_forwarded,
            _ => true,
        }
    }

    /// Whether a proxy may state the scheme of the client.
    pub fn may_change_scheme(&self) -> bool {
        (self.trust_proto || self.trust_forwarded) && !self.proxies.is_empty()
    }

    /// Takes address, scheme and host of the client from the fields of a trusted proxy.
    pub fn apply(&self, exchange: &mut Exchange) {
        if self.trust_forwarded && exchange.request.get_known(KnownHeader::Forwarded).is_some() {
            return self.apply_forwarded(exchange);
        }
        if self.trust_for {
            exchange.client.ip = self.client_address(&exchange.request).unwrap_or(exchange.client.ip);
        }
        if self.trust_proto {
            let last = exchange.request.get_known(KnownHeader::XForwardedProto);
            set_scheme(exchange, last.and_then(|v| comma_list(v).last()).map(is_secure));
        }
        if self.trust_host {
            let host = exchange.request.get_known(KnownHeader::XForwardedHost);
            set_host(exchange, host.and_then(|v| comma_list(v).last()).map(<[u8]>::to_vec));
        }
    }

    fn apply_forwarded(&self, exchange: &mut Exchange) {
        let lines: Vec<&[u8]> = exchange.request.get_all_known(KnownHeader::Forwarded).collect();
        let Some(client) = rfc7239::client(&lines, |address| self.proxies.contains(address)) else { return };
        exchange.client.ip = client.address.unwrap_or(exchange.client.ip);
        set_scheme(exchange, client.proto.as_deref().map(is_secure));
        set_host(exchange, client.host);
    }

    /// From the nearest proxy outward: the first address that is not a trusted proxy is the client.
    fn client_address(&self, request: &Head) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = request.get_all_known(KnownHeader::XForwardedFor).collect();
        let mut client = None;
        for item in lines.iter().rev().flat_map(|line| comma_list(line).collect::<Vec<_>>().into_iter().rev())
        {
            let Some(address) = parse_address(item) else { break };
            client = Some(address);
            if !self.proxies.contains(address) {
                break;
            }
        }
        client
    }
}

fn is_secure(proto: &[u8]) -> bool {
    proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss")
}

fn set_scheme(exchange: &mut Exchange, is_tls: Option<bool>) {
    exchange.client.is_tls = is_tls.unwrap_or(exchange.client.is_tls);
}

fn set_host(exchange: &mut Exchange, host: Option<Vec<u8>>) {
    if let Some(host) = host.filter(|host| is_authority(host)) {
        exchange.request.set(b"Host", &host);
    }
}

/// `ForwardedHeaders` of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedHeaders {
    pub proxies: TrustedProxies,
    /// Names that untrusted clients may send nevertheless.
    pub allow_from_clients: Vec<String>,
    /// Send the fields to the backend.
    pub add_to_request: bool,
}

impl StageConfig for ForwardedHeaders {
    type State = ();

    /// The parts of an aggregate add the fields, not the aggregate.
    fn build(&self, (): &(), context: &BuildContext) -> Vec<BoxStage> {
        let add_to_request = self.add_to_request && context.role != RouteRole::Aggregate;
        add_to_request.then(|| Box::new(AddForwarded) as BoxStage).into_iter().collect()
    }
}

/// Writes `X-Forwarded-*` for the backend. The fields of untrusted clients were removed before routing.
#[derive(Debug)]
pub struct AddForwarded;

impl Stage for AddForwarded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Exchange { request, client, scratch, .. } = exchange;
        if client.ip != client.peer.ip() && request.get_known(KnownHeader::XForwardedFor).is_none() {
            // The proxy stated it in another field.
            scratch.clear();
            let _ = write!(scratch, "{}", client.ip);
            request.append(b"X-Forwarded-For", scratch);
        }
        request.append(b"X-Forwarded-For", client.peer.ip_text());
        if request.get_known(KnownHeader::XForwardedHost).is_none() {
            request.append_copy(b"X-Forwarded-Host", KnownHeader::Host);
        }
        if request.get_known(KnownHeader::XForwardedProto).is_none() {
            request.append(b"X-Forwarded-Proto", if client.is_tls { b"https" } else { b"http" });
        }
        Step::Next
    }

    fn describe(&self) -> String {
        "adds X-Forwarded-For, -Host, -Proto".to_owned()
    }
}

/// Whether the value is safe as `Host`: only bytes of a host and port.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(b))
}

#[cfg(test)]
mod tests;
