//! The status of the process: version, configuration, listeners, connections.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::{
    base::date::Timestamp,
    plan::{Plan, blueprint::Blueprint},
    server::Gateway,
    stages::waf::WafRoute,
    state::SharedState,
    telemetry::{Metrics, Reload},
};
use axum::extract::State;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The status of the process.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Status {
    pub version: String,
    /// `ready`, or `draining` while the process shuts down.
    pub state: String,
    pub uptime_seconds: u64,
    pub config: ConfigStatus,
    pub listeners: Vec<ListenerStatus>,
    /// The number of threads that serve traffic.
    pub workers: usize,
    pub connections: ConnectionStatus,
    /// Absent without `SharedState`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_state: Option<SharedStateStatus>,
    /// The rule sets of the web application firewall that are in force; absent without a firewall.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub waf_rules: Vec<String>,
}

/// The state that several gateways share.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SharedStateStatus {
    /// `single`, `sentinel` or `cluster`.
    pub mode: String,
    /// As configured.
    pub servers: String,
    /// Whether there is a connection, and the circuit is closed.
    pub available: bool,
    /// What features do while it is not available: `Local` or `Refuse`.
    pub on_failure: String,
    /// The time without it since the start.
    pub degraded_seconds: u64,
}

/// The active configuration.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ConfigStatus {
    /// Identifies the content: equal files, variables and secrets have equal ids.
    pub id: String,
    /// RFC 3339.
    pub applied_at: String,
    pub routes: usize,
    pub clusters: usize,
    /// Whether the active configuration differs from the configuration files: a change was applied and not saved.
    pub unsaved: bool,
    /// Whether a change is being watched.
    pub watching: bool,
    pub reloads: ReloadCounts,
    /// The outcome of the last reload: `applied`, `unchanged` or `rejected`; absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
}

/// Reloads since the start, by outcome.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct ReloadCounts {
    pub applied: u64,
    pub unchanged: u64,
    /// The configuration had errors, and the active one stayed.
    pub rejected: u64,
}

/// A reload.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LastReload {
    pub outcome: String,
    /// RFC 3339.
    pub at: String,
}

/// A listener for traffic.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ListenerStatus {
    pub name: String,
    /// As configured.
    pub address: String,
    pub tls: bool,
}

/// Client connections.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct ConnectionStatus {
    pub open: u64,
    pub accepted_total: u64,
    /// The limit.
    pub max: u64,
}

/// The status of the process.
#[utoipa::path(get, path = "/v1/status", tag = "status", responses((status = 200, body = Status)))]
pub async fn status(State(context): State<AdminContext>) -> Result<JsonPage<Status>, AdminError> {
    let gateway = context.gateway()?;
    let (plan, metrics) = (gateway.plan.load(), gateway.metrics());
    let (accepted_total, open) = metrics.connection_totals();
    Ok(JsonPage(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: if gateway.drain.is_ready() { "ready" } else { "draining" }.to_owned(),
        uptime_seconds: context.shared.started_at.elapsed().as_secs(),
        config: config_status(&context, &gateway, &plan),
        listeners: listeners(&plan),
        workers: metrics.workers(),
        connections: ConnectionStatus {
            open,
            accepted_total,
            max: plan.limits.connections.unwrap_or(usize::MAX) as u64,
        },
        shared_state: plan.shared_state.as_deref().map(shared_state),
        waf_rules: context
            .candidate()
            .map_or_else(|_| Vec::new(), |active| waf_rules(active.blueprint.as_ref())),
    }))
}

fn waf_rules(blueprint: Option<&Blueprint>) -> Vec<String> {
    let routes = blueprint.into_iter().flat_map(|blueprint| &blueprint.routes);
    let policies = routes.filter_map(|route| route.stages.waf.as_ref()).flat_map(WafRoute::policies);
    let mut rules: Vec<String> = policies.map(|policy| policy.engine.rules.clone()).collect();
    rules.sort();
    rules.dedup();
    rules
}

fn shared_state(state: &SharedState) -> SharedStateStatus {
    SharedStateStatus {
        mode: state.config().mode.name().to_owned(),
        servers: state.config().servers_text(),
        available: state.is_available(),
        on_failure: state.on_failure().name().to_owned(),
        degraded_seconds: state.metrics().degraded().as_secs(),
    }
}

fn config_status(context: &AdminContext, gateway: &Gateway, plan: &Plan) -> ConfigStatus {
    let metrics = gateway.metrics();
    let last_reload = context.shared.active.last_reload().map(|last| LastReload {
        outcome: last.outcome.name().to_owned(),
        at: Timestamp(last.at).to_string(),
    });
    ConfigStatus {
        id: plan.id.clone(),
        applied_at: Timestamp(applied_at(metrics)).to_string(),
        routes: plan.routes.len(),
        clusters: plan.all_clusters().count(),
        reloads: ReloadCounts {
            applied: metrics.reload_total(Reload::Applied),
            unchanged: metrics.reload_total(Reload::Unchanged),
            rejected: metrics.reload_total(Reload::Rejected),
        },
        unsaved: metrics.config().is_unsaved(),
        watching: metrics.config().is_watching(),
        last_reload,
    }
}

fn applied_at(metrics: &Metrics) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(metrics.config_applied_at())
}

fn listeners(plan: &Plan) -> Vec<ListenerStatus> {
    let status = |listener: &crate::plan::ListenerPlan| ListenerStatus {
        name: listener.name.to_string(),
        address: listener.address.to_string(),
        tls: listener.tls.is_some(),
    };
    plan.listeners.iter().map(status).collect()
}
