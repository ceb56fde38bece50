//! `DownstreamHubService`: a route to a hub service. It has no endpoints, so settings of endpoints have no effect.

use super::{
    blueprint::{HubRouteBlueprint, HubsBlueprint},
    negotiation,
};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::Sourced;
use crate::plan::check::non_blank;
use crate::plan::document::RouteDocument;

/// The settings of a route that its hub service depends on.
pub struct RouteSettings<'r> {
    pub route: &'r Spanned<RouteDocument>,
    pub is_authenticated: bool,
}

impl RouteSettings<'_> {
    /// The hub service of the route, if it has one.
    pub fn compile(&self, hubs: &HubsBlueprint, diagnostics: &mut Diagnostics) -> Option<HubRouteBlueprint> {
        let route = self.route;
        let Some(name) = non_blank(&route.hub_service) else {
            if let Some(options) = &route.negotiate {
                let message = "NegotiateOptions on a route without DownstreamHubService";
                diagnostics
                    .error(codes::BAD_NEGOTIATION, options.span, message)
                    .help("set DownstreamHubService, or remove NegotiateOptions");
            }
            return None;
        };
        self.report_conflicts(diagnostics);
        let service = hubs.service(name);
        if service.is_none() {
            report_unknown(name, hubs, diagnostics);
        }
        let negotiate =
            route.negotiate.as_ref().and_then(|options| negotiation::compile(options, service, diagnostics));
        if let Some(options) = route.negotiate.as_ref().filter(|_| !self.is_authenticated) {
            let message = "NegotiateOptions without AuthenticationOptions: every caller gets a token";
            diagnostics
                .warning(codes::OPEN_NEGOTIATION, options.span, message)
                .help("add AuthenticationOptions to the route");
        }
        Some(HubRouteBlueprint { service: Sourced::new(name.value.clone(), Some(name.span)), negotiate })
    }

    /// Settings that have no effect on a hub.
    fn report_conflicts(&self, diagnostics: &mut Diagnostics) {
        for (setting, span) in self.conflicts() {
            let Some(span) = span else { continue };
            diagnostics
                .error(
                    codes::HUB_SERVICE_AND_ENDPOINTS,
                    span,
                    format!("{setting} has no effect on a route with DownstreamHubService"),
                )
                .help(format!("remove {setting} or DownstreamHubService"));
        }
    }

    fn conflicts(&self) -> [(&'static str, Option<Span>); 16] {
        let route = self.route;
        let accept_any = route.accept_any_certificate.as_ref().map(|s| s.span);
        [
            ("DownstreamHostAndPorts", route.endpoints.as_ref().filter(|l| !l.is_empty()).map(|l| l.span)),
            ("DownstreamCluster", non_blank(&route.cluster).map(|s| s.span)),
            ("DownstreamService", non_blank(&route.service).map(|s| s.span)),
            ("ServiceName", non_blank(&route.service_name).map(|s| s.span)),
            ("DownstreamScheme", non_blank(&route.scheme).map(|s| s.span)),
            ("DownstreamHttpVersion", non_blank(&route.http_version).map(|s| s.span)),
            ("LoadBalancerOptions", route.load_balancer.as_ref().map(|s| s.span)),
            ("HealthCheckOptions", route.health.as_ref().map(|s| s.span)),
            ("HttpHandlerOptions", route.http_handler.as_ref().map(|s| s.span)),
            ("TlsOptions", route.tls.as_ref().map(|s| s.span)),
            ("DangerousAcceptAnyServerCertificateValidator", accept_any),
            ("QoSOptions", route.qos.as_ref().map(|s| s.span)),
            ("RetryOptions", route.retry.as_ref().map(|s| s.span)),
            ("FallbackOptions", route.fallback.as_ref().map(|s| s.span)),
            ("CacheOptions", route.cache.as_ref().map(|s| s.span)),
            ("CompressionOptions", route.compression.as_ref().map(|s| s.span)),
        ]
    }
}

fn report_unknown(name: &Spanned<String>, hubs: &HubsBlueprint, diagnostics: &mut Diagnostics) {
    let message = format!("unknown hub service \"{}\"", name.value);
    let diagnostic = diagnostics.error(codes::UNKNOWN_HUB_SERVICE, name.span, message);
    let names = hubs.services.iter().map(|service| &*service.config.name);
    match suggest::closest_match(name, names) {
        Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
        None => diagnostic.help(format!(
            "hub services are defined at the top level: \"HubServices\": {{ \"{}\": {{ \"Type\": \"WebPubSub\" }} }}",
            name.value
        )),
    };
}
