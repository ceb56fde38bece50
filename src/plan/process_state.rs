//! The state of the process that outlives every plan: connection pools, cluster, cache and rate limit state, TLS tickets.

use super::roles::RoleState;
use crate::{
    backend::{attempt::ResilienceState, cluster::ClusterStates, discovery::Registries, fabric::Resolvers},
    base::{budget::Budget, clock::Clock, weak_map::WeakMap},
    net::{
        agents::registry::AgentRegistry,
        background::BackgroundRuntime,
        devices::hub::DeviceHub,
        listener::Address,
        otlp,
        resolver::Resolver,
        tls::server::{ClientAuth, TicketKeys},
    },
    pipeline::internal::ServiceRegistry,
    realtime::{engine::Engine, signalr::table::LinkTable},
    stages::{StageState, program::ProgramState},
    state::SharedStates,
    telemetry::{Metrics, TelemetryState},
};
use std::sync::{Arc, OnceLock};

/// The engine of the process; created by the first plan with a hub service.
pub type EngineSlot = Arc<OnceLock<Arc<Engine>>>;

/// State that plans share and that survives a reload. Unchanged parts of a new plan find their state by key.
#[derive(Clone, Debug)]
pub struct ProcessState {
    pub cluster_states: Arc<ClusterStates>,
    pub names: Resolver,
    /// Circuit breakers and retry budgets.
    pub attempts: Arc<ResilienceState>,
    pub background: BackgroundRuntime,
    /// State of the stages.
    pub stage_state: Arc<StageState>,
    /// Memory for bodies that wait for a slow client, or to be sent again; its capacity is that of the current plan.
    pub buffering_memory: Arc<Budget>,
    /// Discovery providers.
    pub registries: Arc<Registries>,
    /// Resolvers of services with partitions.
    pub fabric: Arc<Resolvers>,
    pub clock: Clock,
    /// TLS session ticket keys, by listener address and client authentication.
    pub tls_tickets: Arc<WeakMap<(Address, Option<ClientAuth>), TicketKeys>>,
    pub metrics: Arc<Metrics>,
    /// The access logs and exporters that plans hold.
    pub telemetry: Arc<TelemetryState>,
    /// The connections to Redis that plans hold.
    pub shared_states: Arc<SharedStates>,
    /// Realtime hubs; empty until a plan has a hub service.
    pub hub_engine: EngineSlot,
    /// The transports of SignalR clients.
    pub signalr_links: Arc<LinkTable>,
    /// Internal services of the process that routes may name.
    pub services: ServiceRegistry,
    /// The agents that are connected to this process.
    pub agents: Arc<AgentRegistry>,
    /// The devices that are connected over MQTT.
    pub devices: Arc<DeviceHub>,
    /// The counters of policy programs, and the keys that verify their tokens.
    pub programs: Arc<ProgramState>,
    /// Registrations and public ports of the instances of roles.
    pub roles: Arc<RoleState>,
    /// Maximum number of connections if the document sets no limit.
    pub connections: usize,
}

impl ProcessState {
    /// Empty state, with a background runtime that is not attached yet.
    pub fn new(metrics: Arc<Metrics>, connections: usize) -> ProcessState {
        let (background, stage_state, clock) =
            (BackgroundRuntime::default(), Arc::<StageState>::default(), Clock::default());
        stage_state.maintain(&background, &clock);
        let agents = AgentRegistry::new(metrics.clone());
        let names = Resolver::new(background.clone()).with_agents(agents.clone());
        ProcessState {
            cluster_states: ClusterStates::with_runtime(
                names.clone(),
                background.clone(),
                Some(metrics.clone()),
            ),
            registries: Arc::new(Registries::new(background.clone(), names.dns().clone(), metrics.clone())),
            fabric: Arc::default(),
            names,
            attempts: Arc::default(),
            background,
            stage_state,
            buffering_memory: Budget::new(usize::MAX),
            clock,
            tls_tickets: Arc::default(),
            telemetry: Arc::new(TelemetryState::new(metrics.clone(), None)),
            shared_states: Arc::new(SharedStates::inactive(metrics.shared_state().clone())),
            devices: DeviceHub::new(agents.clone()),
            agents,
            metrics,
            hub_engine: EngineSlot::default(),
            signalr_links: Arc::default(),
            services: ServiceRegistry::default(),
            programs: Arc::default(),
            roles: Arc::default(),
            connections,
        }
    }

    /// The same state for a process that serves: its plans open access logs and connections to collectors.
    #[must_use]
    pub fn with_telemetry(self) -> ProcessState {
        let telemetry = Arc::new(TelemetryState::new(self.metrics.clone(), Some(otlp::connect)));
        ProcessState { telemetry, ..self }
    }

    /// The same state for a process whose plans connect to the shared state.
    #[must_use]
    pub fn with_shared_state(self) -> ProcessState {
        let shared_states = Arc::new(SharedStates::active(self.metrics.shared_state().clone()));
        ProcessState { shared_states, ..self }
    }

    /// The same state with internal services.
    #[must_use]
    pub fn with_services(self, services: ServiceRegistry) -> ProcessState {
        ProcessState { services, ..self }
    }
}
