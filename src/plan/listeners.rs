//! Builds the listeners and limits of a plan from its blueprint: TLS acceptors, whose session tickets outlive the plan,
//! certificate expiry, and the limits of connections.

use super::{
    blueprint::{self, Blueprint, Listener},
    compiled::{Limits, ListenerPlan, ListenerTls},
    process_state::ProcessState,
};
use crate::{
    net::{
        h1::{client::ClientLimits, parse::HeadLimits},
        h2,
        tls::{certificate::certificate_info, server::ListenerCertificate, trust::certificates},
    },
    telemetry::CertificateExpiry,
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Builds all listeners. Fails if a certificate is unusable, which compilation reports first.
pub fn listeners(blueprint: &Blueprint, process_state: &ProcessState) -> Result<Box<[ListenerPlan]>, String> {
    blueprint.listeners.iter().map(|listener| self::listener(listener, process_state)).collect()
}

fn listener(listener: &Listener, process_state: &ProcessState) -> Result<ListenerPlan, String> {
    let tls = listener.tls.as_ref().map(|tls| tls_listener(listener, tls, process_state)).transpose()?;
    let (name, address) = (listener.name.as_str().into(), listener.address.clone());
    let (mode, redirect) = (listener.mode, listener.redirect);
    Ok(ListenerPlan { name, address, mode, proxy: listener.proxy.clone(), tls, redirect })
}

fn tls_listener(
    listener: &Listener,
    tls: &blueprint::ListenerTls,
    process_state: &ProcessState,
) -> Result<ListenerTls, String> {
    let tickets = process_state
        .tls_tickets
        .get_or_insert_with((listener.address.clone(), tls.server.client_auth.clone()), Default::default);
    Ok(ListenerTls {
        tls_acceptor: Arc::new(tls.server.compile(tickets)?),
        metrics: process_state.metrics.tls.handle(&listener.name),
        hsts: tls.hsts.as_deref().map(Into::into),
    })
}

/// The expiry of all listener certificates; logs those that are expired or not yet valid.
pub fn certificate_expiries(blueprint: &Blueprint) -> Vec<CertificateExpiry> {
    let now_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let expiries = |listener: &Listener| {
        let all = listener.tls.as_ref().map_or(&[][..], |tls| &tls.server.certificates);
        all.iter().filter_map(|certificate| expiry(listener, certificate, now_unix)).collect::<Vec<_>>()
    };
    blueprint.listeners.iter().flat_map(expiries).collect()
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
    let (listener, certificate) = (listener.name.clone(), certificate.label.clone());
    Some(CertificateExpiry { listener, certificate, not_after: info.not_after })
}

/// The limits of a plan; `max_connections` is the limit of the process, which applies if the document sets none.
pub fn runtime_limits(limits: &blueprint::Limits, max_connections: usize) -> Limits {
    let count = |n: Option<u64>| n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let max_requests =
        limits.requests_per_connection.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
    Limits {
        http2: http2(limits.http2, max_requests),
        client: ClientLimits {
            head: HeadLimits {
                max_line_bytes: limits.request_line,
                max_fields_bytes: limits.headers_total,
                max_fields: limits.header_count,
            },
            body: limits.body.unwrap_or(u64::MAX),
            head_timeout: limits.headers_timeout,
            idle_timeout: limits.keep_alive_timeout,
        },
        body_idle: limits.body_idle_timeout,
        backend_idle: limits.backend_idle_timeout,
        drain: limits.drain_timeout,
        tunnel_idle: limits.websocket_idle_timeout,
        connections: limits.max_connections.map_or(max_connections, |n| count(Some(n))),
        connections_per_client: count(limits.connections_per_client),
        requests_per_connection: max_requests,
    }
}

fn http2(limits: blueprint::Http2Limits, max_requests: u32) -> h2::Limits {
    let blueprint::Http2Limits {
        streams,
        window,
        stream_resets_per_second: resets_per_second,
        control_frames_per_second,
    } = limits;
    h2::Limits {
        streams,
        window,
        frame_rate: h2::FrameRateLimits { resets_per_second, control_frames_per_second },
        requests: max_requests,
    }
}
