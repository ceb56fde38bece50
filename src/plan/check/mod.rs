//! The rules of a document that reach across its parts (Ocelot's validation, and ours).
//!
//! Nothing here stops at the first mistake and nothing here touches the world: every rule reads the document and
//! adds diagnostics. A value that Ocelot refuses is an error always; one that Ocelot starts with is an error for us
//! and, under Ocelot compatibility, a warning that says what Ocelot does with it.

pub mod aggregates;
pub mod duplicates;
pub mod options;
pub mod unsupported;
pub mod template;
pub mod values;

pub use crate::config::values::{items, non_blank};
pub use crate::config::{OcelotBehavior, OcelotTolerated};

use super::clusters::ClusterGroups;
use super::document::*;
use super::stage_options::StageGroups;
use crate::config::{Diagnostic, Diagnostics, Node, ReferencedFiles, Sources, Spanned};
use crate::stages::custom::StageRegistry;
use crate::stages::feature::GatewayFacts;

/// What every rule may look at.
pub struct CheckContext<'d> {
    pub document: &'d Document,
    pub global: &'d GlobalDocument,
    /// The groups of `GlobalConfiguration`.
    pub stages: StageGroups<'d>,
    pub clusters: ClusterGroups<'d>,
    pub sources: &'d Sources,
    pub ocelot: bool,
    pub gateway: GatewayFacts,
    /// The stages of the user's own, and the tree in which their settings stand.
    pub handlers: Option<(&'d StageRegistry, &'d Node)>,
    /// The names of the internal services.
    pub services: &'d [&'d str],
    /// What the files hold that settings name.
    pub attached: Option<&'d ReferencedFiles>,
}

impl<'d> CheckContext<'d> {
    /// `nothing` stands in for an absent `GlobalConfiguration`.
    pub fn new(
        document: &'d Document,
        nothing: &'d GlobalDocument,
        sources: &'d Sources,
        gateway: GatewayFacts,
    ) -> Self {
        let global = document.global_configuration.as_ref().map_or(nothing, |global| &global.value);
        CheckContext {
            document,
            global,
            stages: StageGroups::new(global),
            clusters: ClusterGroups::new(global),
            sources,
            ocelot: gateway.ocelot,
            gateway,
            handlers: None,
            services: &[],
            attached: None,
        }
    }

    /// The same without global options, which apply to routes, not to aggregates (docs/ocelot-behavior.md, section 2.4).
    pub fn for_aggregates<'n>(&self, nothing: &'n GlobalDocument) -> CheckContext<'n>
    where
        'd: 'n,
    {
        CheckContext {
            document: self.document,
            global: nothing,
            stages: StageGroups::new(nothing),
            clusters: ClusterGroups::new(nothing),
            sources: self.sources,
            ocelot: self.ocelot,
            gateway: self.gateway.clone(),
            handlers: None,
            services: self.services,
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

fn add(said: &mut Diagnostic, text: String) {
    said.help(text);
}

/// The rules that look at the document as a whole; those of single routes run while the routes are compiled.
pub fn check_document(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    if scope.routes().is_empty()
        && scope.aggregates().is_empty()
        && scope.global.discovery.is_none()
        && non_blank(&scope.document.configuration_store).is_none()
    {
        let place = scope.document.routes.as_ref().map(|routes| routes.span);
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
