//! The stages that are the same for all routes.

use super::super::{
    blueprint::Listener,
    check::CheckContext,
    document::{Document, TraceContextMode},
};
use super::limits;
use crate::config::Diagnostics;
use crate::stages::{
    GatewayStages, ascii_headers::AsciiHeaders, authentication::SessionCookies,
    client_certificate::ForwardClientCertificate, trace_context::Mode as TraceMode, via::Via,
};

/// The stages that all routes have. The fields of client certificates are removed from requests on every listener,
/// before routing.
pub fn gateway_stages(
    scope: &CheckContext,
    listeners: &[Listener],
    diagnostics: &mut Diagnostics,
) -> GatewayStages {
    let (document, ocelot) = (scope.document, scope.ocelot);
    let limits = document.limits.as_ref().map(|limits| &limits.value);
    let forwarded = document.forwarded_headers.as_ref().map(|forwarded| &forwarded.value);
    let mut tls = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let has_client_certificates = tls.any(|tls| tls.client_auth.is_some());
    GatewayStages {
        forwarded_headers: Some(limits::forwarded(forwarded, ocelot, diagnostics)),
        client_certificate: has_client_certificates.then_some(ForwardClientCertificate),
        trace_context: trace_context(document, ocelot),
        websocket_limit: limits::websockets_per_client(limits, diagnostics),
        session_cookies: SessionCookies::new(&scope.gateway.schemes),
        ascii_headers: ocelot.then_some(AsciiHeaders),
        via: (!ocelot).then_some(Via),
    }
}

/// Under Ocelot no trace context is added unless it or tracing is configured.
fn trace_context(document: &Document, ocelot: bool) -> Option<TraceMode> {
    match document.trace_context.as_ref().map(|mode| mode.value) {
        Some(TraceContextMode::Off) => None,
        None if ocelot && document.tracing.is_none() => None,
        Some(TraceContextMode::Start) => Some(TraceMode::Start),
        Some(TraceContextMode::Continue) | None => Some(TraceMode::Continue),
    }
}
