//! `DownstreamService`: a route to a service of this process. It has no endpoints, so settings of endpoints have no
//! effect.

use super::route_compiler::RouteCompiler;
use crate::config::{Span, codes, suggest};
use crate::plan::blueprint::Sourced;
use crate::plan::check::non_blank;

impl RouteCompiler<'_, '_, '_> {
    /// The internal service of the route, if it has one.
    pub(super) fn internal_service(&mut self) -> Option<Sourced<String>> {
        let name = non_blank(&self.document.service)?;
        for (setting, span) in self.endpoint_settings() {
            let Some(span) = span else { continue };
            let message = format!("{setting} has no effect on a route with DownstreamService");
            self.diagnostics
                .error(codes::SERVICE_AND_ENDPOINTS, span, message)
                .help(format!("remove {setting} or DownstreamService"));
        }
        let known = self.scope.services;
        if !known.contains(&name.as_str()) {
            let message = format!("unknown internal service \"{}\"", name.value);
            let diagnostic = self.diagnostics.error(codes::UNKNOWN_SERVICE, name.span, message);
            match suggest::closest_match(name, known.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                None => diagnostic.help(format!("expected {}", suggest::one_of(known))),
            };
        }
        Some(Sourced::new(name.value.clone(), Some(name.span)))
    }

    /// The settings that concern the endpoints of a route.
    pub(super) fn endpoint_settings(&self) -> [(&'static str, Option<Span>); 13] {
        let route = self.document;
        [
            ("DownstreamHostAndPorts", route.endpoints.as_ref().filter(|l| !l.is_empty()).map(|l| l.span)),
            ("DownstreamCluster", non_blank(&route.cluster).map(|s| s.span)),
            ("ServiceName", non_blank(&route.service_name).map(|s| s.span)),
            ("DownstreamScheme", non_blank(&route.scheme).map(|s| s.span)),
            ("DownstreamHttpVersion", non_blank(&route.http_version).map(|s| s.span)),
            ("LoadBalancerOptions", route.load_balancer.as_ref().map(|s| s.span)),
            ("HealthCheckOptions", route.health.as_ref().map(|s| s.span)),
            ("HttpHandlerOptions", route.http_handler.as_ref().map(|s| s.span)),
            ("TlsOptions", route.tls.as_ref().map(|s| s.span)),
            (
                "DangerousAcceptAnyServerCertificateValidator",
                route.accept_any_certificate.as_ref().map(|s| s.span),
            ),
            ("QoSOptions", route.qos.as_ref().map(|s| s.span)),
            ("RetryOptions", route.retry.as_ref().map(|s| s.span)),
            ("FallbackOptions", route.fallback.as_ref().map(|s| s.span)),
        ]
    }
}
