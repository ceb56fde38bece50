//! The plan: the checked, compiled, immutable form of one document. A request holds one from start to end.

use crate::{
    backend::{Cluster, attempt::Terms},
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        stage::BoxStage,
    },
    telemetry::RouteMetrics,
    wire::h1::client::ClientLimits,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Everything that a request may need to know, resolved.
#[derive(Debug)]
pub struct Plan {
    /// Names the content of the document.
    pub id: String,
    /// Ocelot's statuses and bodiless errors.
    pub ocelot: bool,
    pub limits: Limits,
    pub listeners: Box<[ListenerPlan]>,
    pub access_log: bool,
    pub routes: Box<[Arc<Route>]>,
}

/// Where the gateway accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerPlan {
    pub name: String,
    pub address: SocketAddr,
}

/// What a stranger may do, and how long we wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub client: ClientLimits,
    pub body_idle: Duration,
    pub backend_idle: Duration,
    pub drain: Duration,
    pub connections: usize,
    pub connections_per_client: usize,
    pub requests_per_connection: u32,
}

/// A match, the stages, and the target.
#[derive(Debug)]
pub struct Route {
    pub label: Arc<str>,
    pub stages: Box<[BoxStage]>,
    pub target: Target,
    pub metrics: Arc<RouteMetrics>,
}

/// What a route leads to.
#[derive(Debug)]
pub enum Target {
    Cluster {
        cluster: Cluster,
        terms: Terms,
    },
    /// What Ocelot starts with and cannot serve.
    Fail(Why, &'static str),
}

impl Plan {
    /// The route of a request; its path values are put into the exchange.
    pub fn find(&self, _x: &mut Exchange) -> Result<&Arc<Route>, Cause> {
        self.routes.first().ok_or(Cause::new(Why::RouteNone, "no route"))
    }
}
