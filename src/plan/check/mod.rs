//! The rules of a document that reach across its parts (Ocelot's validation, and ours).
//!
//! Nothing here stops at the first mistake and nothing here touches the world: every rule reads the document and
//! adds diagnostics. A value that Ocelot refuses is an error always; one that Ocelot starts with is an error for us
//! and, under Ocelot compatibility, a warning that says what Ocelot does with it.

pub mod aggregates;
pub mod claims;
pub mod duplicates;
pub mod options;
pub mod pending;
pub mod template;
pub mod values;

use super::inherit::Group;
use crate::config::document::*;
use crate::config::{Attached, Code, Diagnostic, Diagnostics, Node, Sources, Span, Spanned};
use crate::stages::custom::Catalogue;
use std::collections::HashSet;

/// What every rule may look at.
pub struct Scope<'d> {
    pub document: &'d Document,
    pub global: &'d GlobalDocument,
    pub groups: Groups<'d>,
    /// The names of `AuthenticationSchemes`.
    pub schemes: HashSet<&'d str>,
    pub sources: &'d Sources,
    pub ocelot: bool,
    /// The stages of the user's own, and the tree in which their settings stand.
    pub handlers: Option<(&'d Catalogue, &'d Node)>,
    /// What the files hold that settings name.
    pub attached: Option<&'d Attached>,
}

/// The groups of global options.
pub struct Groups<'d> {
    pub authentication: Option<Group<'d, AuthenticationOptions>>,
    pub cache: Option<Group<'d, CacheOptions>>,
    pub http_handler: Option<Group<'d, HttpHandlerOptions>>,
    pub load_balancer: Option<Group<'d, LoadBalancerOptions>>,
    pub health: Option<Group<'d, HealthCheckOptions>>,
    pub qos: Option<Group<'d, QosOptions>>,
    pub tls: Option<Group<'d, TlsOptions>>,
    pub retry: Option<Group<'d, RetryOptions>>,
    pub fallback: Option<Group<'d, FallbackOptions>>,
    pub rate_limit: Option<Group<'d, RateLimitOptions>>,
    pub concurrency: Option<Group<'d, ConcurrencyLimitOptions>>,
    pub cors: Option<Group<'d, CorsOptions>>,
    pub compression: Option<Group<'d, CompressionOptions>>,
    pub request_size: Option<Group<'d, RequestSizeOptions>>,
}

impl<'d> Groups<'d> {
    pub fn new(global: &'d GlobalDocument) -> Self {
        Groups {
            authentication: Group::new(&global.authentication),
            cache: Group::new(&global.cache),
            http_handler: Group::new(&global.http_handler),
            load_balancer: Group::new(&global.load_balancer),
            health: Group::new(&global.health),
            qos: Group::new(&global.qos),
            tls: Group::new(&global.tls),
            retry: Group::new(&global.retry),
            fallback: Group::new(&global.fallback),
            rate_limit: Group::new(&global.rate_limit),
            concurrency: Group::new(&global.concurrency),
            cors: Group::new(&global.cors),
            compression: Group::new(&global.compression),
            request_size: Group::new(&global.request_size),
        }
    }
}

impl<'d> Scope<'d> {
    /// `nothing` stands in for an absent `GlobalConfiguration`.
    pub fn new(
        document: &'d Document,
        nothing: &'d GlobalDocument,
        sources: &'d Sources,
        ocelot: bool,
    ) -> Self {
        let global = document.global_configuration.as_ref().map_or(nothing, |global| &global.value);
        let schemes = document.authentication_schemes.iter().flat_map(|map| map.iter());
        Scope {
            document,
            global,
            groups: Groups::new(global),
            schemes: schemes.map(|(name, _)| name.as_str()).collect(),
            sources,
            ocelot,
            handlers: None,
            attached: None,
        }
    }

    /// The same without global options: those are for routes, not for aggregates (spec section 2.4).
    pub fn without_global<'n>(&self, nothing: &'n GlobalDocument) -> Scope<'n>
    where
        'd: 'n,
    {
        Scope {
            document: self.document,
            global: nothing,
            groups: Groups::new(nothing),
            schemes: self.schemes.clone(),
            sources: self.sources,
            ocelot: self.ocelot,
            handlers: None,
            attached: self.attached,
        }
    }

    pub fn routes(&self) -> &'d [Spanned<RouteDocument>] {
        items(&self.document.routes)
    }

    pub fn aggregates(&self) -> &'d [Spanned<AggregateDocument>] {
        items(&self.document.aggregates)
    }
}

/// The items of a list; none when it is absent.
pub fn items<T>(list: &List<T>) -> &[Spanned<T>] {
    list.as_ref().map_or(&[], |list| &list.value)
}

/// The text, unless absent or blank.
pub fn filled(text: &Set<String>) -> Option<&Spanned<String>> {
    text.as_ref().filter(|text| !text.trim().is_empty())
}

/// A value that Ocelot starts with, but that means nothing good.
#[derive(Debug)]
pub struct Wrong {
    pub code: Code,
    pub message: String,
    pub help: Vec<String>,
    /// What Ocelot does with it.
    pub result: Outcome,
}

/// What Ocelot does with a value that it starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every request of the route is answered with this status.
    Answers(u16),
    /// What the sentence says.
    Does(&'static str),
}

impl Wrong {
    pub fn new(code: Code, result: Outcome, message: impl Into<String>) -> Self {
        Wrong { code, message: message.into(), help: Vec::new(), result }
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// "did you mean", when there is something to mean.
    pub fn meant(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.help(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }

    /// Says it: an error, or under Ocelot compatibility a warning with Ocelot's result.
    pub fn report(self, out: &mut Diagnostics, ocelot: bool, span: Span) {
        let said = out.lenient(ocelot, self.code, span, self.message);
        said.help.extend(self.help);
        match self.result {
            _ if !ocelot => {}
            Outcome::Answers(status) => add(said, format!("as in Ocelot, the route answers {status}")),
            Outcome::Does(what) => add(said, format!("as in Ocelot, {what}")),
        }
    }
}

fn add(said: &mut Diagnostic, text: String) {
    said.help(text);
}

/// The rules that look at the document as a whole; those of single routes run while the routes are compiled.
pub fn document(scope: &Scope, out: &mut Diagnostics) {
    if scope.routes().is_empty()
        && scope.aggregates().is_empty()
        && scope.global.discovery.is_none()
        && filled(&scope.document.configuration_store).is_none()
    {
        let place = scope.document.routes.as_ref().map(|routes| routes.span);
        out.warning(
            crate::config::codes::NO_ROUTES,
            place,
            "there are no routes: every request is answered with 404",
        );
    }
    duplicates::check(scope, out);
    aggregates::check(scope, out);
    options::global(scope, out);
}
