//! The compiler of one route. Each group of settings is compiled in its own file.

use super::aggregate_members::AggregateMembers;
use super::clusters::Clusters;
use super::fabric_resolvers::FabricResolvers;
use crate::config::{Diagnostics, OcelotTolerated, Span, Spanned};
use crate::plan::blueprint::{Sourced, UnservableRoute, discovery::Registry};
use crate::plan::check::CheckContext;
use crate::plan::document::{RouteDocument, Setting};
use crate::plan::hubs::HubsBlueprint;
use crate::stages::feature::{CompileContext, RouteFacts};

/// The parts of a document that routes refer to.
pub struct DocumentContext<'d> {
    /// The registry of the document.
    pub registry: Option<Registry>,
    /// The names of the listeners.
    pub listeners: Vec<String>,
    /// The routes that are parts of aggregates.
    pub members: AggregateMembers<'d>,
    /// The named clusters.
    pub clusters: Clusters<'d>,
    /// The resolvers of services with partitions.
    pub resolvers: FabricResolvers,
    /// Backends get `X-Forwarded-*`.
    pub adds_forwarded_fields: bool,
    /// The hub services.
    pub hubs: HubsBlueprint,
}

/// Compiles the settings of one route.
pub struct RouteCompiler<'s, 'd, 'o> {
    /// The document.
    pub scope: &'s CheckContext<'d>,
    /// The route.
    pub document: &'s Spanned<RouteDocument>,
    /// Receives the errors.
    pub diagnostics: &'o mut Diagnostics,
    /// Set if Ocelot would start and could not serve the route.
    pub unservable: Option<UnservableRoute>,
}

impl RouteCompiler<'_, '_, '_> {
    /// The value, or a report of its error; the first status that Ocelot would respond with is retained.
    pub(super) fn accept<T>(&mut self, span: Span, read: Result<T, OcelotTolerated>) -> Option<T> {
        let error = match read {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        UnservableRoute::record(&mut self.unservable, &error, self.scope.ocelot);
        error.report(self.diagnostics, self.scope.ocelot, span);
        None
    }

    /// Whether the backend receives the Host of the client.
    pub(super) fn preserve_host(&self) -> Sourced<bool> {
        let setting = self.document.preserve_host.as_ref().or(self.scope.global.preserve_host.as_ref());
        Sourced::new(setting.is_some_and(|on| on.value), setting.map(|on| on.span))
    }

    /// The context of the compilers of option objects.
    pub(super) fn context<'c>(&'c mut self, route: RouteFacts<'c>) -> CompileContext<'c> {
        CompileContext {
            gateway: &self.scope.gateway,
            route,
            own_span: None,
            global_span: None,
            diagnostics: self.diagnostics,
            unservable: &mut self.unservable,
        }
    }
}

/// A text as written; empty when it is absent.
pub fn text(set: &Setting<String>) -> Sourced<String> {
    match set {
        Some(text) => Sourced::new(text.value.clone(), Some(text.span)),
        None => Sourced::new(String::new(), None),
    }
}
