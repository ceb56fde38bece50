//! A route of a plan: its stages, URL template and target.

use super::aggregate::{AggregateConfig, PartTerms};
use super::routing::{EscapedSeparators, Target as RequestTarget, UrlTemplate};
use super::tunnels::target::AgentTarget;
use crate::{
    backend::{Cluster, affinity::ConnectionAffinity, attempt::AttemptConfig, fabric::FabricRoute},
    base::{data_rate::MinDataRate, hash::stable_hash},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Routing},
        internal::InternalService,
        stage::StageEntry,
    },
    realtime::service::HubTarget,
    stages::program::run::RouteProgram,
    telemetry::RouteMetrics,
};
use std::{sync::Arc, time::Duration};

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    pub label: Arc<str>,
    /// The path template of clients.
    pub template: Box<str>,
    pub stages: Box<[StageEntry]>,
    /// Whether it responds to CORS preflight requests.
    pub preflight: bool,
    /// What is done with escaped separators in paths; `None`: as the listener or the plan has it.
    pub escaped_separators: Option<EscapedSeparators>,
    /// The target of the request to the backend.
    pub url: UrlTemplate,
    /// The path placeholder that is the hash key of the load balancer.
    pub affinity: Option<PathHashKey>,
    pub target: Target,
    /// The affinity of SignalR connections to endpoints of the cluster.
    pub connections: Option<Box<ConnectionAffinity>>,
    /// The policy program around the target.
    pub program: Option<Arc<RouteProgram>>,
    /// The template matches every path: APIs come first.
    pub is_catch_all: bool,
    pub pace: ClientPace,
    pub metrics: Arc<RouteMetrics>,
}

/// How slow a client may be.
#[derive(Clone, Copy, Debug)]
pub struct ClientPace {
    /// How much of a response is received ahead of it.
    pub response_buffer_bytes: usize,
    /// The minimum rates of its bodies; `None`: no minimum.
    pub min_request_rate: Option<MinDataRate>,
    pub min_response_rate: Option<MinDataRate>,
}

/// A hash key taken from a path placeholder.
#[derive(Debug)]
pub struct PathHashKey {
    pub name: Box<str>,
    /// Its index among the path parameters of the route.
    pub index: Option<usize>,
}

/// The target of a route.
#[derive(Debug)]
pub enum Target {
    Cluster {
        cluster: Arc<Cluster>,
        terms: AttemptConfig,
    },
    /// Services of agents that the path names.
    Agent(Arc<AgentTarget>),
    /// Services with partitions.
    Fabric(Arc<FabricRoute>),
    /// A service of this process.
    Internal {
        service: InternalService,
        timeout: Duration,
    },
    /// A hub service of this process.
    Hub(Box<HubTarget>),
    /// Several routes, whose responses are composed to one.
    Aggregate(Box<Aggregate>),
    /// A route that Ocelot accepts but cannot serve: the error of every request.
    Fail(ErrorCode, String),
}

impl Target {
    /// The same target for another route.
    pub fn clone_for_part(&self) -> Target {
        match self {
            Target::Cluster { cluster, terms } => {
                Target::Cluster { cluster: cluster.clone(), terms: terms.clone() }
            }
            Target::Agent(agent) => Target::Agent(agent.clone()),
            Target::Fabric(fabric) => Target::Fabric(fabric.clone()),
            Target::Internal { service, timeout } => {
                Target::Internal { service: service.clone(), timeout: *timeout }
            }
            Target::Fail(code, detail) => Target::Fail(*code, detail.clone()),
            Target::Hub(_) => Target::Fail(
                ErrorCode::GatewayInternal,
                "a hub service cannot be a part of an aggregate".into(),
            ),
            Target::Aggregate(_) => Target::Fail(
                ErrorCode::GatewayInternal,
                "an aggregate cannot be a part of another aggregate".into(),
            ),
        }
    }
}

/// A compiled aggregate.
#[derive(Debug)]
pub struct Aggregate {
    /// In the order of the response.
    pub parts: Box<[AggregatePart]>,
    pub shape: AggregateConfig,
    /// Idle timeout of bodies.
    pub body_idle: Duration,
}

/// A part of an aggregate.
#[derive(Debug)]
pub struct AggregatePart {
    pub route: Arc<Route>,
    /// The index of that route in the plan.
    pub index: usize,
    /// The names of its path parameters: those of the aggregate, then its parameter, if any.
    pub names: Box<[Box<str>]>,
    pub terms: PartTerms,
}

impl Route {
    /// Rewrites the request target from the client's to that of the backend.
    pub fn rewrite(&self, exchange: &mut Exchange) -> Result<(), GatewayError> {
        if let Some(affinity) = &self.affinity {
            exchange.routing.balancer_key = affinity.of(exchange);
        }
        if let Target::Agent(agent) = &self.target {
            exchange.routing.agent_hosts = agent.hosts(exchange)?;
        }
        let Exchange { request, routing, scratch, .. } = exchange;
        let Routing { path_params, path_len, query, spelled_path, .. } = routing;
        scratch.clear();
        // Services get the path in normal form.
        let spelling: &[u8] = if matches!(self.target, Target::Fabric(_)) { &[] } else { spelled_path };
        let target = RequestTarget::from_normalized(request.target(), *path_len).with_spelling(spelling);
        self.url
            .build_with(path_params, &target, if query.is_empty() { target.query() } else { query }, scratch)
            .map_err(|_| GatewayError::new(ErrorCode::RouteMisconfigured, "the rewritten path is empty"))?;
        request.rewrite_target(scratch);
        Ok(())
    }
}

impl PathHashKey {
    /// The hash of the value, computed before the path is rewritten.
    fn of(&self, exchange: &Exchange) -> Option<u64> {
        let own = exchange.routing.path_params.get_override(&self.name);
        let value =
            own.or_else(|| exchange.routing.path_params.get(self.index?, exchange.request.target()))?;
        (!value.bytes.is_empty()).then(|| stable_hash(value.bytes))
    }
}

impl Route {
    /// The cluster of the route, or the error of a route without one.
    pub fn cluster(&self) -> Result<(&Arc<Cluster>, &AttemptConfig), GatewayError> {
        match &self.target {
            Target::Cluster { cluster, terms } => Ok((cluster, terms)),
            Target::Fail(code, detail) => Err(GatewayError::new(*code, detail.clone())),
            Target::Agent(_) => {
                Err(GatewayError::new(ErrorCode::GatewayInternal, "the cluster depends on the request"))
            }
            Target::Fabric(_) => {
                Err(GatewayError::new(ErrorCode::GatewayInternal, "a route to services has no cluster"))
            }
            Target::Internal { .. } | Target::Hub(_) => {
                Err(GatewayError::new(ErrorCode::GatewayInternal, "an internal service has no cluster"))
            }
            Target::Aggregate(_) => {
                Err(GatewayError::new(ErrorCode::GatewayInternal, "an aggregate has no backend"))
            }
        }
    }
}
