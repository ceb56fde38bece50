//! Builds the listeners of a plan from its blueprint: TLS acceptors, whose session tickets outlive the plan, and
//! certificate expiry.

use super::{
    administration::Administration,
    blueprint::{Blueprint, ClusterBlueprint, Listener},
    cluster_builder::Clusters,
    compiled::{ListenerPlan, ListenerTls},
    process_state::ProcessState,
    roles::RolesPlan,
    transport::{
        TransportListener,
        build::{MakeCluster, TransportBuilder},
    },
};
use crate::{
    net::tls::{
        certificate::certificate_info,
        server::{ListenerCertificate, ServerTls},
        trust::certificates,
    },
    telemetry::CertificateExpiry,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The listeners, with the transport routes that name them.
///
/// # Errors
///
/// If a certificate is unusable, which compilation reports first.
pub fn of_blueprint(
    blueprint: &Blueprint,
    process_state: &ProcessState,
    roles: &Arc<RolesPlan>,
    clusters: &mut Clusters,
) -> Result<Box<[ListenerPlan]>, String> {
    let mut make =
        |cluster: &Arc<ClusterBlueprint>, route: &str| clusters.get(cluster, route, blueprint, process_state);
    let (routes, metrics) = (&blueprint.transport_routes, &process_state.metrics);
    let transport = TransportBuilder::new(routes, roles, metrics, &mut make);
    listeners(blueprint, &transport, &mut make, process_state)
}

/// Builds all listeners. Fails if a certificate is unusable, which compilation reports first.
fn listeners(
    blueprint: &Blueprint,
    transport: &TransportBuilder,
    make_cluster: MakeCluster,
    process_state: &ProcessState,
) -> Result<Box<[ListenerPlan]>, String> {
    let mut plans = Vec::with_capacity(blueprint.listeners.len());
    let mut handlers: HashMap<&str, Option<Arc<TransportListener>>> = HashMap::new();
    for listener in &blueprint.listeners {
        // The listeners of a range of ports have one name, and share everything.
        let handler = handlers.entry(&listener.name);
        let handler = handler.or_insert_with(|| transport.handler(listener, &mut *make_cluster)).clone();
        plans.push(self::listener(listener, handler, process_state)?);
    }
    for (listener, handler) in transport.instance_listeners(make_cluster) {
        plans.push(self::listener(&listener, Some(handler), process_state)?);
    }
    Ok(plans.into())
}

fn listener(
    listener: &Listener,
    handler: Option<Arc<TransportListener>>,
    process_state: &ProcessState,
) -> Result<ListenerPlan, String> {
    let tls = listener.tls.as_ref().map(|tls| tls_listener(listener, tls, process_state)).transpose()?;
    Ok(listener.with_handles(tls, handler))
}

/// The listener of the administration address, under a name.
///
/// # Errors
///
/// If a certificate is unusable, which compilation reports first.
pub fn administration_listener(
    name: &str,
    administration: &Administration,
    process_state: &ProcessState,
) -> Result<ListenerPlan, String> {
    listener(&as_listener(name, administration), None, process_state)
}

fn as_listener(name: &str, administration: &Administration) -> Listener {
    let Administration { address, tls, hsts, .. } = administration;
    Listener { tls: tls.clone(), hsts: hsts.clone(), ..Listener::plain(name, address.clone()) }
}

fn tls_listener(
    listener: &Listener,
    tls: &ServerTls,
    process_state: &ProcessState,
) -> Result<ListenerTls, String> {
    let tickets = process_state
        .tls_tickets
        .get_or_insert_with((listener.address.clone(), tls.client_auth.clone()), Default::default);
    Ok(ListenerTls {
        tls_acceptor: Arc::new(tls.compile(tickets)?),
        metrics: process_state.metrics.tls.handle(&listener.name),
    })
}

/// The expiry of all listener certificates; logs those that are expired or not yet valid.
pub fn certificate_expiries(blueprint: &Blueprint) -> Vec<CertificateExpiry> {
    let now_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let expiries = |listener: &Listener| {
        let all = listener.tls.as_ref().map_or(&[][..], |tls| &tls.certificates);
        all.iter().filter_map(|certificate| expiry(listener, certificate, now_unix)).collect::<Vec<_>>()
    };
    let administration = as_listener("administration", &blueprint.administration);
    blueprint.listeners.iter().chain([&administration]).flat_map(expiries).collect()
}

fn expiry(
    listener: &Listener,
    certificate: &ListenerCertificate,
    now_unix: i64,
) -> Option<CertificateExpiry> {
    let info = certificate_info(certificates(&certificate.certified_key.chain).ok()?.first()?)?;
    let problem = match now_unix {
        now if now > info.not_after => Some("has expired"),
        now if now < info.not_before => Some("is not yet valid"),
        _ => None,
    };
    if let Some(problem) = problem {
        log::warn!("certificate {} of listener {} {problem}", certificate.label, listener.name);
    }
    let (listener, certificate) = (listener.name.to_string(), certificate.label.clone());
    Some(CertificateExpiry { listener, certificate, not_after: info.not_after })
}
