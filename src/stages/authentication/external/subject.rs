//! What an authorizer gets to know about a request: a copy, because the exchange is not available while it is called.

use crate::pipeline::{
    exchange::Exchange,
    head::{KnownHeader, Version},
};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

/// The fields that are never sent: they are those of the connection or of the body, or make the response conditional.
const OMITTED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request to be authorized.
#[derive(Debug)]
pub struct AuthorizationSubject {
    pub method: String,
    /// Path and query as received.
    pub target: String,
    pub scheme: &'static str,
    pub host: String,
    /// Lowercase names; several lines of one name are joined.
    pub headers: Vec<(String, String)>,
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub version: Version,
    /// The length of the body; `None`: unknown.
    pub body_length: Option<u64>,
    pub request_id: String,
    /// The user that a scheme authenticated before.
    pub principal: String,
}

impl AuthorizationSubject {
    /// Copies what the authorizer gets: the named fields, or all of them.
    pub fn new(exchange: &Exchange, names: Option<&[String]>) -> AuthorizationSubject {
        let request = &exchange.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let user = exchange.client.user.as_deref();
        AuthorizationSubject {
            method: text(request.method()),
            target: text(request.original_target()),
            scheme: if exchange.client.is_tls { "https" } else { "http" },
            host: text(request.get_known(KnownHeader::Host).unwrap_or_default()),
            headers: copied_fields(exchange, names),
            client: SocketAddr::new(exchange.client.ip, exchange.client.peer.address.port()),
            local: exchange.client.peer.local_address,
            version: request.version,
            body_length: exchange.body.framing.length(),
            request_id: text(&exchange.record.id),
            principal: user.and_then(|user| user.claim_value("sub")).unwrap_or_default().to_owned(),
        }
    }
}

fn copied_fields(exchange: &Exchange, names: Option<&[String]>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (known, name, value) in exchange.request.fields() {
        let is_copied = match names {
            Some(names) => names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)),
            None => !known.is_proxy_provided(),
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if !is_copied || OMITTED.contains(&name.as_str()) || name.starts_with("if-") {
            continue;
        }
        let value = String::from_utf8_lossy(value);
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, joined)) => {
                *joined += if name == "cookie" { "; " } else { ", " };
                *joined += &value;
            }
            None => headers.push((name, value.into_owned())),
        }
    }
    headers
}

/// A digest of everything on which a decision depends.
pub fn decision_key(exchange: &Exchange, names: &[String]) -> [u8; 32] {
    let request = &exchange.request;
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    let user = exchange.client.user.as_deref();
    add(request.method());
    add(request.original_target());
    add(request.get_known(KnownHeader::Host).unwrap_or_default());
    add(&[u8::from(exchange.client.is_tls)]);
    add(user.and_then(|user| user.claim_value("sub")).unwrap_or_default().as_bytes());
    for name in names {
        add(name.as_bytes());
        request.get_all(name.as_bytes()).for_each(&mut add);
    }
    digest.finalize().into()
}
