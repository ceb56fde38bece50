//! The table of what this version does not support. A setting that would enable such a feature is refused, never
//! ignored; when the feature is built, its line is removed.

use super::CheckContext;
use crate::config::options::merge;
use crate::config::{Code, Diagnostics, Span, codes};
use crate::plan::clusters::ClusterOptions;
use crate::plan::document::*;
use crate::stages::authentication::options::ResolvedAuthentication;

/// A route with its options inherited.
pub struct EffectiveOptions<'d> {
    pub route: &'d RouteDocument,
    pub authentication: Option<ResolvedAuthentication>,
    pub clusters: ClusterOptions<'d>,
    /// Set while the route is compiled: its HTTP version is HTTP/3 or later.
    pub newer_http: bool,
}

impl<'d> EffectiveOptions<'d> {
    /// Merges the options of the route with the global groups that apply to it.
    pub fn new(scope: &'d CheckContext<'d>, route: &'d RouteDocument) -> Self {
        let key = route.key.as_ref().map(|key| key.as_str());
        let authentication = merge(&route.authentication, scope.stages.authentication.as_ref(), key);
        EffectiveOptions {
            route,
            authentication: authentication.map(|options| ResolvedAuthentication::resolve(&options)),
            clusters: ClusterOptions::of_route(route, &scope.clusters),
            newer_http: false,
        }
    }
}

/// One unsupported feature: its code and its name.
type Capability = (Code, &'static str);

const HTTP3: Capability = (codes::PENDING_PROTOCOLS, "HTTP/3");

/// What a route may request: the setting, the feature, the span that requests it, and the alternative.
type Row = (&'static str, Capability, fn(&EffectiveOptions) -> Option<Span>, &'static str);

#[rustfmt::skip]
const ROUTE: &[Row] = &[
    ("DownstreamHttpVersion", HTTP3, |r| newer_http(r), "use \"2.0\", or the policy \"RequestVersionOrLower\""),
];

fn newer_http(route: &EffectiveOptions) -> Option<Span> {
    route.route.http_version.as_ref().filter(|_| route.newer_http).map(|version| version.span)
}

/// Refuses what a route requests and this version does not support.
pub fn route(route: &EffectiveOptions, diagnostics: &mut Diagnostics) {
    for (setting, capability, requested, instead) in ROUTE {
        if let Some(span) = requested(route) {
            report_unsupported(diagnostics, span, setting, *capability, instead);
        }
    }
}

fn report_unsupported(
    diagnostics: &mut Diagnostics,
    span: Span,
    setting: &str,
    capability: Capability,
    instead: &str,
) {
    let message = format!("not supported yet: \"{setting}\" would enable {}", capability.1);
    diagnostics.error(capability.0, span, message).help(instead);
}
