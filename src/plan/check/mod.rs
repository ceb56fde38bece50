//! The rules of a document that reach across its parts (Ocelot's validation, and ours).
//!
//! Nothing here stops at the first mistake and nothing here touches the world: every rule reads the document and
//! adds diagnostics. A value that Ocelot refuses is an error always; one that Ocelot starts with is an error for us
//! and, under Ocelot compatibility, a warning that says what Ocelot does with it.

pub mod aggregates;
pub mod claims;
pub mod duplicates;
pub mod options;
pub mod unsupported;
pub mod template;
pub mod values;

use super::inherit::GlobalGroup;
use crate::config::document::*;
use crate::config::{Code, Diagnostic, Diagnostics, Node, ReferencedFiles, Sources, Span, Spanned};
use crate::stages::custom::StageRegistry;
use std::collections::HashSet;

/// What every rule may look at.
pub struct CheckContext<'d> {
    pub check_document: &'d Document,
    pub global: &'d GlobalDocument,
    pub groups: OptionGroups<'d>,
    /// The names of `AuthenticationSchemes`.
    pub schemes: HashSet<&'d str>,
    pub sources: &'d Sources,
    pub ocelot: bool,
    /// The stages of the user's own, and the tree in which their settings stand.
    pub handlers: Option<(&'d StageRegistry, &'d Node)>,
    /// What the files hold that settings name.
    pub attached: Option<&'d ReferencedFiles>,
}

/// The groups of global options.
pub struct OptionGroups<'d> {
    pub authentication: Option<GlobalGroup<'d, AuthenticationOptions>>,
    pub cache: Option<GlobalGroup<'d, CacheOptions>>,
    pub http_handler: Option<GlobalGroup<'d, HttpHandlerOptions>>,
    pub load_balancer: Option<GlobalGroup<'d, LoadBalancerOptions>>,
    pub health: Option<GlobalGroup<'d, HealthCheckOptions>>,
    pub qos: Option<GlobalGroup<'d, QosOptions>>,
    pub tls: Option<GlobalGroup<'d, TlsOptions>>,
    pub retry: Option<GlobalGroup<'d, RetryOptions>>,
    pub fallback: Option<GlobalGroup<'d, FallbackOptions>>,
    pub rate_limit: Option<GlobalGroup<'d, RateLimitOptions>>,
    pub concurrency: Option<GlobalGroup<'d, ConcurrencyLimitOptions>>,
    pub cors: Option<GlobalGroup<'d, CorsOptions>>,
    pub compression: Option<GlobalGroup<'d, CompressionOptions>>,
    pub request_size: Option<GlobalGroup<'d, RequestSizeOptions>>,
}

impl<'d> OptionGroups<'d> {
    pub fn new(global: &'d GlobalDocument) -> Self {
        OptionGroups {
            authentication: GlobalGroup::new(&global.authentication),
            cache: GlobalGroup::new(&global.cache),
            http_handler: GlobalGroup::new(&global.http_handler),
            load_balancer: GlobalGroup::new(&global.load_balancer),
            health: GlobalGroup::new(&global.health),
            qos: GlobalGroup::new(&global.qos),
            tls: GlobalGroup::new(&global.tls),
            retry: GlobalGroup::new(&global.retry),
            fallback: GlobalGroup::new(&global.fallback),
            rate_limit: GlobalGroup::new(&global.rate_limit),
            concurrency: GlobalGroup::new(&global.concurrency),
            cors: GlobalGroup::new(&global.cors),
            compression: GlobalGroup::new(&global.compression),
            request_size: GlobalGroup::new(&global.request_size),
        }
    }
}

impl<'d> CheckContext<'d> {
    /// `nothing` stands in for an absent `GlobalConfiguration`.
    pub fn new(
        check_document: &'d Document,
        nothing: &'d GlobalDocument,
        sources: &'d Sources,
        ocelot: bool,
    ) -> Self {
        let global = check_document.global_configuration.as_ref().map_or(nothing, |global| &global.value);
        let schemes = check_document.authentication_schemes.iter().flat_map(|map| map.iter());
        CheckContext {
            check_document,
            global,
            groups: OptionGroups::new(global),
            schemes: schemes.map(|(name, _)| name.as_str()).collect(),
            sources,
            ocelot,
            handlers: None,
            attached: None,
        }
    }

    /// The same without global options: those are for routes, not for aggregates (spec section 2.4).
    pub fn for_aggregates<'n>(&self, nothing: &'n GlobalDocument) -> CheckContext<'n>
    where
        'd: 'n,
    {
        CheckContext {
            check_document: self.check_document,
            global: nothing,
            groups: OptionGroups::new(nothing),
            schemes: self.schemes.clone(),
            sources: self.sources,
            ocelot: self.ocelot,
            handlers: None,
            attached: self.attached,
        }
    }

    pub fn routes(&self) -> &'d [Spanned<RouteDocument>] {
        items(&self.check_document.routes)
    }

    pub fn aggregates(&self) -> &'d [Spanned<AggregateDocument>] {
        items(&self.check_document.aggregates)
    }
}

/// The items of a list; none when it is absent.
pub fn items<T>(list: &List<T>) -> &[Spanned<T>] {
    list.as_ref().map_or(&[], |list| &list.value)
}

/// The text, unless absent or blank.
pub fn non_blank(text: &Setting<String>) -> Option<&Spanned<String>> {
    text.as_ref().filter(|text| !text.trim().is_empty())
}

/// A value that Ocelot starts with, but that means nothing good.
#[derive(Debug)]
pub struct OcelotTolerated {
    pub code: Code,
    pub message: String,
    pub help: Vec<String>,
    /// What Ocelot does with it.
    pub result: OcelotBehavior,
}

/// What Ocelot does with a value that it starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcelotBehavior {
    /// Every request of the route is answered with this status.
    Status(u16),
    /// What the sentence says.
    Effect(&'static str),
}

impl OcelotTolerated {
    pub fn new(code: Code, result: OcelotBehavior, message: impl Into<String>) -> Self {
        OcelotTolerated { code, message: message.into(), help: Vec::new(), result }
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// "did you mean", when there is something to mean.
    pub fn did_you_mean(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.help(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }

    /// Says it: an error, or under Ocelot compatibility a warning with Ocelot's result.
    pub fn report(self, diagnostics: &mut Diagnostics, ocelot: bool, span: Span) {
        let said = diagnostics.error_or_ocelot_warning(ocelot, self.code, span, self.message);
        said.help.extend(self.help);
        match self.result {
            _ if !ocelot => {}
            OcelotBehavior::Status(status) => add(said, format!("as in Ocelot, the route answers {status}")),
            OcelotBehavior::Effect(what) => add(said, format!("as in Ocelot, {what}")),
        }
    }
}

fn add(said: &mut Diagnostic, text: String) {
    said.help(text);
}

/// The rules that look at the document as a whole; those of single routes run while the routes are compiled.
pub fn check_document(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    if scope.routes().is_empty()
        && scope.aggregates().is_empty()
        && scope.global.discovery.is_none()
        && non_blank(&scope.check_document.configuration_store).is_none()
    {
        let place = scope.check_document.routes.as_ref().map(|routes| routes.span);
        diagnostics.warning(
            crate::config::codes::NO_ROUTES,
            place,
            "there are no routes: every request is answered with 404",
        );
    }
    duplicates::check(scope, diagnostics);
    aggregates::check(scope, diagnostics);
    options::check_global(scope, diagnostics);
}
