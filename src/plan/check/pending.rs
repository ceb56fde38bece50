//! What this version cannot do yet: the one table of it. A setting that would switch such a thing on is refused,
//! never ignored; when the thing is built, its line goes.

use super::{Scope, add};
use crate::config::document::*;
use crate::config::{Code, Diagnostics, Span, codes};
use crate::plan::inherit::{Authentication, Balancing, HttpClient, Quality, merged};

/// A route with its options inherited.
pub struct Effective<'d> {
    pub route: &'d RouteDocument,
    pub authentication: Option<Authentication>,
    pub quality: Option<Quality>,
    pub balancing: Option<Balancing>,
    pub client: Option<HttpClient>,
    /// Set while the route is compiled: the version it speaks is HTTP/3 or later.
    pub newer_http: bool,
}

impl<'d> Effective<'d> {
    pub fn new(scope: &'d Scope<'d>, route: &'d RouteDocument) -> Self {
        let groups = &scope.groups;
        let key = route.key.as_ref().map(|key| key.as_str());
        Effective {
            route,
            authentication: merged(&route.authentication, groups.authentication.as_ref(), key)
                .map(|options| Authentication::of(&options)),
            quality: merged(&route.qos, groups.qos.as_ref(), key).map(|options| Quality::of(&options)),
            balancing: merged(&route.load_balancer, groups.load_balancer.as_ref(), key)
                .map(|options| Balancing::of(&options)),
            client: merged(&route.http_handler, groups.http_handler.as_ref(), key)
                .map(|options| HttpClient::of(&options)),
            newer_http: false,
        }
    }
}

/// One thing that this version cannot do: its code and its name.
type Capability = (Code, &'static str);

const NEWER_HTTP: Capability = (codes::PENDING_PROTOCOLS, "HTTP/3");

/// What a route may ask for: the setting, what it would switch on, the place that asks for it, and what to write
/// instead.
type Row = (&'static str, Capability, fn(&Effective) -> Option<Span>, &'static str);

#[rustfmt::skip]
const ROUTE: &[Row] = &[
    ("DownstreamHttpVersion", NEWER_HTTP, |r| newer_http(r), "use \"2.0\", or the policy \"RequestVersionOrLower\""),
];

fn newer_http(route: &Effective) -> Option<Span> {
    route.route.http_version.as_ref().filter(|_| route.newer_http).map(|version| version.span)
}

/// Refuses what a route asks for and this version cannot do.
pub fn route(route: &Effective, out: &mut Diagnostics) {
    for (setting, capability, asked, instead) in ROUTE {
        if let Some(span) = asked(route) {
            refuse(out, span, setting, *capability, instead);
        }
    }
}

fn refuse(out: &mut Diagnostics, span: Span, setting: &str, capability: Capability, instead: &str) {
    let message = format!("not supported yet: \"{setting}\" would switch on {}", capability.1);
    add(out.error(capability.0, span, message), instead.to_owned());
}
