//! The input of the rules: the document and facts about it.

use super::{items, non_blank};
use crate::config::policies::Policies;
use crate::config::{Node, ReferencedFiles, Sources, Spanned};
use crate::plan::clusters::ClusterGroups;
use crate::plan::document::{AggregateDocument, Document, GlobalDocument, RouteDocument};
use crate::plan::roles::RolesBlueprint;
use crate::plan::stage_options::StageGroups;
use crate::stages::custom::StageRegistry;
use crate::stages::feature::GatewayFacts;
use crate::stages::waf::WafPolicySet;
use std::sync::Arc;

/// The input of all rules.
pub struct CheckContext<'d> {
    /// The document.
    pub document: &'d Document,
    /// `GlobalConfiguration`; empty if the document has none.
    pub global: &'d GlobalDocument,
    /// The groups of `GlobalConfiguration`.
    pub stages: StageGroups<'d>,
    /// The groups of cluster options in `GlobalConfiguration`.
    pub clusters: ClusterGroups<'d>,
    /// The files of the document.
    pub sources: &'d Sources,
    /// Ocelot compatibility is on.
    pub ocelot: bool,
    /// Facts that compilers of options need.
    pub gateway: GatewayFacts,
    /// The policies of the web application firewall.
    pub waf: Arc<WafPolicySet>,
    /// The custom stages, and the tree that contains their settings.
    pub handlers: Option<(&'d StageRegistry, &'d Node)>,
    /// The names of the internal services.
    pub services: &'d [&'d str],
    /// The content of the referenced files.
    pub attached: Option<&'d ReferencedFiles>,
    /// The policy files.
    pub policies: Option<&'d Policies>,
    /// The roles of the document.
    pub roles: Option<&'d RolesBlueprint>,
}

impl<'d> CheckContext<'d> {
    /// `nothing` replaces an absent `GlobalConfiguration`.
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
            waf: Arc::default(),
            handlers: None,
            services: &[],
            attached: None,
            policies: None,
            roles: None,
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
            waf: self.waf.clone(),
            handlers: None,
            services: self.services,
            attached: self.attached,
            policies: None,
            roles: self.roles,
        }
    }

    /// The routes of the document.
    pub fn routes(&self) -> &'d [Spanned<RouteDocument>] {
        items(&self.document.routes)
    }

    /// The aggregates of the document.
    pub fn aggregates(&self) -> &'d [Spanned<AggregateDocument>] {
        items(&self.document.aggregates)
    }

    /// The gateway's own public address.
    pub fn base_url(&self) -> String {
        let url = non_blank(&self.global.base_url).or(non_blank(&self.document.base_url));
        url.map_or_else(|| "http://localhost:5000".to_owned(), |url| url.value.clone())
    }
}
