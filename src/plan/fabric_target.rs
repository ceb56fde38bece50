//! Routes to services with partitions: the target, the naming interface, and the description for `explain`.

use super::{
    blueprint::{
        Blueprint, RouteBlueprint,
        fabric::{FabricBlueprint, NamingBlueprint},
    },
    compiled::Target,
    process_state::ProcessState,
};
use crate::{
    backend::{
        attempt::AttemptConfig,
        fabric::{FabricRoute, Resolver, naming::NamingContext},
    },
    pipeline::error::ErrorCode,
};
use std::{sync::Arc, time::Duration};

/// Opens the resolvers: what they know outlives plans.
pub fn open_resolvers(blueprint: &Blueprint, process_state: &ProcessState) -> Box<[Arc<Resolver>]> {
    let ProcessState { background, metrics, .. } = process_state;
    let open = |config| process_state.fabric.open(config, background, metrics);
    blueprint.resolvers.iter().map(open).collect()
}

fn resolver<'r>(resolvers: &'r [Arc<Resolver>], name: &str) -> Option<&'r Arc<Resolver>> {
    resolvers.iter().find(|resolver| *resolver.config.name == *name)
}

/// The target of a route to services.
pub fn target(
    route: &RouteBlueprint,
    fabric: &FabricBlueprint,
    terms: AttemptConfig,
    resolvers: &[Arc<Resolver>],
    process_state: &ProcessState,
) -> Target {
    let Some(resolver) = resolver(resolvers, &fabric.resolver) else {
        return missing_resolver(&fabric.resolver);
    };
    Target::Fabric(Arc::new(FabricRoute {
        // The time of a request is limited by its attempts.
        terms: AttemptConfig { timeout: fabric.config.max_timeout + Duration::from_secs(1), ..terms },
        config: fabric.config.clone(),
        resolver: resolver.clone(),
        transports: process_state.fabric.transports(&fabric.transport, &process_state.names),
        attempts: process_state.metrics.cluster(&route.name),
        metrics: process_state.metrics.fabric_route(&route.name),
    }))
}

/// The target of a route to the naming interface of a resolver.
pub fn naming_target(
    naming: &NamingBlueprint,
    service: &str,
    timeout: Duration,
    resolvers: &[Arc<Resolver>],
    process_state: &ProcessState,
) -> Target {
    match (resolver(resolvers, &naming.resolver), process_state.services.get(service)) {
        (Some(resolver), Some(service)) => {
            let context = NamingContext { resolver: resolver.clone(), is_strict: naming.is_strict };
            Target::Internal { service: service.with_extension(context), timeout }
        }
        _ => missing_resolver(&naming.resolver),
    }
}

fn missing_resolver(name: &str) -> Target {
    Target::Fail(ErrorCode::GatewayInternal, format!("the plan has no resolver \"{name}\""))
}
