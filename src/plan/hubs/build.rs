//! Hub services of a plan: the backends of event handlers, the engine of the process, the targets of routes.

use super::blueprint::{HubRouteBlueprint, HubsBlueprint};
use crate::{
    backend::{Cluster, attempt::AttemptConfig},
    plan::{
        blueprint::ClusterBlueprint,
        process_state::{EngineSlot, ProcessState},
    },
    realtime::{
        config::RealtimeConfig,
        context::{HandlerBackend, HubService, ServerAuthenticator},
        engine::Engine,
        events::EventHandlers,
        operation::Operations,
        service::{HubTarget, data_plane},
        signalr::table::LinkTable,
    },
    stages::authentication::{BearerAuthenticator, settings::SchemeConfig},
    state::SharedState,
};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// The hub services of a plan.
#[derive(Debug, Default)]
pub struct PlanHubs {
    pub config: RealtimeConfig,
    pub services: Vec<Arc<HubService>>,
    /// `None`: the plan has no hub service.
    pub engine: Option<Arc<Engine>>,
    /// Connects the nodes; `None`: there is one.
    pub shared_state: Option<Arc<SharedState>>,
    /// The transports of SignalR clients.
    pub links: Arc<LinkTable>,
}

/// Builds the services; `cluster` returns the cluster of an event handler.
pub fn services(
    blueprint: &HubsBlueprint,
    shared_state: Option<&Arc<SharedState>>,
    process_state: &ProcessState,
    mut backend: impl FnMut(&Arc<ClusterBlueprint>, &str) -> (Arc<Cluster>, AttemptConfig),
) -> PlanHubs {
    let mut services = Vec::with_capacity(blueprint.services.len());
    for service in &blueprint.services {
        let label = format!("hub:{}", service.config.name);
        let backends = service.backends.iter().map(|cluster| {
            let (cluster, terms) = backend(cluster, &label);
            HandlerBackend { cluster, terms }
        });
        let backends = backends.collect();
        let server_schemes = server_schemes(&service.server_schemes, process_state);
        services.push(Arc::new(HubService { config: service.config.clone(), backends, server_schemes }));
    }
    let engine = (!services.is_empty()).then(|| engine(blueprint, process_state));
    let shared_state = shared_state.filter(|_| blueprint.realtime.is_shared).cloned();
    PlanHubs {
        config: blueprint.realtime.clone(),
        services,
        engine,
        shared_state,
        links: process_state.signalr_links.clone(),
    }
}

/// Authenticates servers with the schemes of `ServerSchemes`.
#[derive(Debug)]
struct SchemeAuthenticator(BearerAuthenticator);

impl ServerAuthenticator for SchemeAuthenticator {
    fn is_accepted(&self, token: &str) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let (schemes, token) = (self.0.clone(), token.to_owned());
        Box::pin(async move { schemes.is_accepted(&token).await })
    }
}

fn server_schemes(
    schemes: &[Arc<SchemeConfig>],
    process_state: &ProcessState,
) -> Option<Arc<dyn ServerAuthenticator>> {
    let state = &process_state.stage_state.authentication;
    let create = || BearerAuthenticator::new(schemes, state, &process_state.background, &process_state.clock);
    (!schemes.is_empty()).then(|| Arc::new(SchemeAuthenticator(create())) as Arc<dyn ServerAuthenticator>)
}

fn engine(blueprint: &HubsBlueprint, process_state: &ProcessState) -> Arc<Engine> {
    let metrics = process_state.metrics.hubs().clone();
    let create = || {
        let events = EventHandlers::new(metrics.clone());
        Engine::new(process_state.metrics.workers(), events, metrics.clone(), blueprint.realtime.clone())
    };
    process_state.hub_engine.get_or_init(create).clone()
}

impl PlanHubs {
    /// The target of a route; `None`: the plan has no such service, which is reported when the document is compiled.
    pub fn target(&self, route: &HubRouteBlueprint, has_cors: bool, timeout: Duration) -> Option<HubTarget> {
        let service = self.services.iter().find(|known| *known.config.name == *route.service.value)?;
        let engine = self.engine.as_ref()?;
        let operations: Arc<dyn Operations> = engine.clone();
        Some(HubTarget {
            service: service.clone(),
            engine: engine.clone(),
            links: self.links.clone(),
            data_plane: data_plane(&engine.data_plane, service, operations),
            negotiation: route.negotiate.clone(),
            has_cors,
            timeout,
        })
    }

    /// Applies the settings to open connections, once the plan is active.
    pub fn activate(&self, slot: &EngineSlot) {
        if let Some(engine) = slot.get() {
            engine.connect_nodes(self.shared_state.as_ref());
            engine.configure(&self.config, &self.services);
        }
    }
}
