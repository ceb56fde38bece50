//! `Administration` and `Health` → addresses, tokens and TLS.

use super::limits::report_duplicate_address;
use super::listeners::administration_tls;
use super::unix_sockets::address;
use crate::config::{Diagnostics, ReferencedFiles, Sources, Span, Spanned, codes, values::value_or_default};
use crate::net::listener::Address;
use crate::plan::administration::{AdminToken, Administration};
use crate::plan::blueprint::Listener;
use crate::plan::check::{items, non_blank};
use crate::plan::document::{AdminTokenDocument, AdministrationDocument, Document};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The default address of the administration.
pub const DEFAULT_ADMINISTRATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The scheme of a hash.
const SHA256: &str = "sha256:";

/// The administration, next to the listeners for traffic and the public ports of instances.
pub fn administration(
    document: &Document,
    (listeners, public): (&[Listener], &[(Address, Option<Span>)]),
    sources: &Sources,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Administration {
    let nothing = AdministrationDocument::default();
    let section = document.administration.as_ref().map_or(&nothing, |section| &section.value);
    let health = document.health.as_ref().and_then(|health| health.address.as_ref());
    let parsed = section.address.as_ref().and_then(|text| address(text, sources, diagnostics));
    let (tls, hsts) = administration_tls(&section.tls, sources, attached, diagnostics);
    let compiled = Administration {
        address: parsed.unwrap_or(Address::Tcp(DEFAULT_ADMINISTRATION)),
        allowed_hosts: items(&section.allowed_hosts).iter().map(|name| name.value.clone()).collect(),
        tokens: tokens(items(&section.tokens), diagnostics),
        certificate_role: value_or_default(&section.certificate_role),
        tls,
        hsts,
        health: health.and_then(|text| address(text, sources, diagnostics)),
    };
    let admin_span = section.address.as_ref().map(|text| text.span);
    let listeners = listeners.iter().map(|listener| (&listener.address, listener.span));
    let mut all: Vec<_> = listeners.chain(public.iter().map(|(address, span)| (address, *span))).collect();
    // The later one of the document is reported.
    all.sort_by_key(|(_, span)| *span);
    let health = compiled.health.iter().map(|address| (address, health.map(|text| text.span)));
    report_duplicate_address(
        all.into_iter().chain([(&compiled.address, admin_span)]).chain(health),
        diagnostics,
    );
    report_exposure(section, &compiled, admin_span, diagnostics);
    compiled
}

/// An address that other machines can reach needs credentials, and those need TLS.
fn report_exposure(
    section: &AdministrationDocument,
    compiled: &Administration,
    span: Option<Span>,
    diagnostics: &mut Diagnostics,
) {
    if compiled.address.is_local() {
        return;
    }
    if items(&section.tokens).is_empty() && !compiled.accepts_certificates() {
        let message = format!("the administration address {} has no credentials", compiled.address);
        diagnostics
            .error(codes::ADMINISTRATION_UNPROTECTED, span, message)
            .help("add Tokens, or Tls with ClientCertificates, or use a loopback address or a Unix domain socket")
            .help("for /live, /ready and /metrics alone: \"Health\": { \"Address\": \"0.0.0.0:8082\" }");
    } else if compiled.tls.is_none() {
        let message = "tokens are sent over plain HTTP, and can be read on the network";
        diagnostics
            .warning(codes::ADMINISTRATION_PLAIN, span, message)
            .help("add Tls, or use a loopback address behind an encrypted tunnel");
    }
}

fn tokens(documents: &[Spanned<AdminTokenDocument>], diagnostics: &mut Diagnostics) -> Vec<AdminToken> {
    let mut compiled: Vec<AdminToken> = Vec::with_capacity(documents.len());
    for document in documents {
        let Some(token) = token(document, diagnostics) else { continue };
        let double = compiled.iter().find(|known| known.name == token.name || known.hash == token.hash);
        if let Some(known) = double {
            let message =
                format!("the tokens \"{}\" and \"{}\" have the same Name or Hash", known.name, token.name);
            diagnostics
                .error(codes::BAD_ADMIN_TOKEN, document.span, message)
                .help("give each token its own Name and Hash");
        }
        compiled.push(token);
    }
    compiled
}

fn token(document: &Spanned<AdminTokenDocument>, diagnostics: &mut Diagnostics) -> Option<AdminToken> {
    const EMPTY_HELP: &str =
        "TOKEN was not set: TOKEN=$(openssl rand -hex 32), then printf %s \"$TOKEN\" | sha256sum";
    const HELP: &str = "set Hash to sha256: and 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum";
    let Some(name) = non_blank(&document.name) else {
        diagnostics
            .error(codes::BAD_ADMIN_TOKEN, document.span, "the token has no Name")
            .help("set one, such as \"Name\": \"deploy\"");
        return None;
    };
    let Some(text) = non_blank(&document.hash) else {
        let message = format!("the token \"{}\" has no Hash", name.value);
        diagnostics.error(codes::BAD_ADMIN_TOKEN, document.span, message).help(HELP);
        return None;
    };
    let Some(hash) = text.trim().strip_prefix(SHA256).and_then(parse_hash) else {
        let message = format!("invalid Hash of the token \"{}\"", name.value);
        diagnostics.error(codes::BAD_ADMIN_TOKEN, text.span, message).help(HELP);
        return None;
    };
    if hash == <[u8; 32]>::from(Sha256::digest(b"")) {
        let message = format!("the Hash of the token \"{}\" is that of an empty text", name.value);
        diagnostics.error(codes::BAD_ADMIN_TOKEN, text.span, message).help(EMPTY_HELP);
        return None;
    }
    Some(AdminToken { name: name.trim().into(), hash, role: value_or_default(&document.role) })
}

/// 64 hexadecimal digits.
fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}
