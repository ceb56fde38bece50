//! Routes to the naming interface of a resolver, and what both kinds of routes with `ServiceFabricOptions` share.

use super::fabric_resolvers::FabricResolvers;
use super::route_compiler::RouteCompiler;
use crate::backend::fabric::SourceConfig;
use crate::config::codes;
use crate::config::values::non_blank;
use crate::plan::blueprint::fabric::NamingBlueprint;
use std::time::Duration;

/// The name of the internal service that is the naming interface of a registry.
const NAMING_SERVICE: &str = "ServiceFabricNaming";
/// The default `Timeout` of routes to services, that of the original.
const DEFAULT_FABRIC_TIMEOUT: Duration = Duration::from_secs(120);

impl RouteCompiler<'_, '_, '_> {
    /// The naming interface that the route leads to, if it does.
    pub(super) fn naming(&mut self, resolvers: &FabricResolvers) -> Option<NamingBlueprint> {
        let service = non_blank(&self.document.service)?;
        let options = self.document.fabric.as_ref();
        if service.value != NAMING_SERVICE {
            if let Some(options) = options {
                let message =
                    format!("ServiceFabricOptions has no effect with the service \"{}\"", service.value);
                self.diagnostics
                    .error(codes::FABRIC_CONFLICT, options.span, message)
                    .help("remove ServiceFabricOptions or DownstreamService");
            }
            return None;
        }
        let place = options.map_or(service.span, |options| options.span);
        let name = options.and_then(|options| non_blank(&options.resolver));
        let (resolver, config) = resolvers.get(name, place, self.diagnostics)?;
        if config.is_some_and(|config| matches!(config.source, SourceConfig::Cluster(_))) {
            let message =
                format!("the resolver \"{resolver}\" is a cluster, which has its own naming interface");
            self.diagnostics
                .error(codes::FABRIC_OPTIONS, place, message)
                .help("use a resolver of type Registry");
        }
        let strict = options.and_then(|options| options.strict.as_ref());
        Some(NamingBlueprint { resolver, is_strict: strict.is_some_and(|on| on.value) })
    }

    /// The timeout of a route to services that has no `Timeout`.
    pub(super) fn default_fabric_timeout(&self, has_timeout: bool) -> Option<Duration> {
        let is_internal = non_blank(&self.document.service).is_some();
        let is_default = !has_timeout && self.document.fabric.is_some() && !is_internal;
        is_default.then_some(DEFAULT_FABRIC_TIMEOUT)
    }
}
