//! Listeners of a blueprint → listeners that can be served: TLS put to work, with what is kept of it from plan to plan.

use super::{
    blueprint::{self, Blueprint, Listener},
    build::ProcessState,
    compiled::{ListenerPlan, ListenerTls},
};
use crate::{
    net::tls::{certificate::certificate_info, server::ListenerCertificate, trust::certificates},
    telemetry::CertificateExpiry,
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// All listeners; an error is a certificate that was not checked before.
pub fn listeners(blueprint: &Blueprint, ground: &ProcessState) -> Result<Box<[ListenerPlan]>, String> {
    blueprint.listeners.iter().map(|listener| self::listener(listener, ground)).collect()
}

fn listener(listener: &Listener, ground: &ProcessState) -> Result<ListenerPlan, String> {
    let tls = listener.tls.as_ref().map(|tls| tls_listener(listener, tls, ground)).transpose()?;
    let (name, address) = (listener.name.as_str().into(), listener.address.clone());
    let (mode, redirect) = (listener.mode, listener.redirect);
    Ok(ListenerPlan { name, address, mode, proxy: listener.proxy.clone(), tls, redirect })
}

fn tls_listener(
    listener: &Listener,
    tls: &blueprint::ListenerTls,
    ground: &ProcessState,
) -> Result<ListenerTls, String> {
    let tickets = ground
        .tls_tickets
        .get_or_insert_with((listener.address.clone(), tls.server.client_auth.clone()), Default::default);
    Ok(ListenerTls {
        tls_acceptor: Arc::new(tls.server.compile(tickets)?),
        metrics: ground.metrics.tls.handle(&listener.name),
        hsts: tls.hsts.as_deref().map(Into::into),
    })
}

/// When the certificates of the listeners end. Those whose time is not now are told of.
pub fn certificate_expiries(blueprint: &Blueprint) -> Vec<CertificateExpiry> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let shown = |listener: &Listener| {
        let all = listener.tls.as_ref().map_or(&[][..], |tls| &tls.server.certificates);
        all.iter().filter_map(|shown| expiry(listener, shown, now)).collect::<Vec<_>>()
    };
    blueprint.listeners.iter().flat_map(shown).collect()
}

fn expiry(listener: &Listener, shown: &ListenerCertificate, now: i64) -> Option<CertificateExpiry> {
    let facts = certificate_info(certificates(&shown.certified_key.chain).ok()?.first()?)?;
    let wrong = match now {
        now if now > facts.not_after => Some("has expired"),
        now if now < facts.not_before => Some("is not valid yet"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        log::warn!("the certificate {} of the listener {} {wrong}", shown.label, listener.name);
    }
    let (listener, certificate) = (listener.name.clone(), shown.label.clone());
    Some(CertificateExpiry { listener, certificate, not_after: facts.not_after })
}
