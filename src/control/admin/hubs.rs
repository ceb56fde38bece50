//! Realtime hubs: services with their numbers, connections and groups of a hub.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::{PathParams, QueryParams},
    page::JsonPage,
};
use crate::{
    base::date::Timestamp,
    realtime::{
        engine::{ConnectionPage, ConnectionSummary, Engine, GroupSummary},
        operation::{Operation, Operations, Recipients, Selection},
    },
    server::Gateway,
};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The connections of one page.
const MAX_CONNECTIONS: usize = 100;
/// The groups of the page.
const MAX_GROUPS: usize = 1000;

/// All hub services.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubList {
    pub services: Vec<HubServiceStatus>,
    pub backplane: BackplaneStatus,
}

/// A hub service.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubServiceStatus {
    pub service: String,
    #[serde(rename = "type")]
    pub service_type: String,
    /// The hubs with connections, in the order of their names.
    pub hubs: Vec<HubStatus>,
}

/// The numbers of a hub on this node.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct HubStatus {
    /// In lower case.
    pub hub: String,
    /// Sessions without a socket included.
    pub connections: usize,
    /// Sessions without a socket.
    pub sessions: usize,
    pub groups: usize,
    pub users: usize,
    pub queued_bytes: usize,
}

/// The other nodes.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct BackplaneStatus {
    /// `Local`: there is one node.
    #[serde(rename = "type")]
    pub backplane_type: String,
    pub up: bool,
    /// The name of this node.
    pub node: String,
    /// The names of all live nodes.
    pub nodes: Vec<String>,
}

/// A connection.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubConnection {
    pub id: String,
    /// Absent without a user.
    pub user: Option<String>,
    /// The subprotocol, or `simple`.
    pub protocol: String,
    /// When the connection was opened, RFC 3339.
    pub since: String,
    pub queued_bytes: usize,
    pub groups: Vec<String>,
}

/// Connections of a hub on this node.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubConnectionList {
    pub connections: Vec<HubConnection>,
    /// The `after` of the next page; absent on the last one.
    pub next: Option<String>,
}

/// Groups of a hub on this node, the largest first.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubGroupList {
    pub groups: Vec<HubGroup>,
}

/// A group.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HubGroup {
    pub group: String,
    pub connections: usize,
}

/// Which connections are listed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionQuery {
    group: Option<String>,
    user: Option<String>,
    after: Option<String>,
}

/// The hub services, and their hubs with connections.
#[utoipa::path(get, path = "/hubs", tag = "hubs", responses((status = 200, body = HubList)))]
pub async fn list_hubs(State(context): State<AdminContext>) -> Result<JsonPage<HubList>, AdminError> {
    let gateway = context.gateway()?;
    let plan = gateway.plan.load();
    let mut hubs: BTreeMap<String, Vec<HubStatus>> = BTreeMap::new();
    for (service, hub) in plan.hubs.engine.iter().flat_map(|engine| engine.summaries()) {
        hubs.entry(service).or_default().push(HubStatus {
            hub: hub.name.to_string(),
            connections: hub.connections,
            sessions: hub.sessions,
            groups: hub.groups,
            users: hub.users,
            queued_bytes: hub.queued_bytes,
        });
    }
    let services = plan.hubs.services.iter().map(|service| HubServiceStatus {
        service: service.config.name.to_string(),
        service_type: service.config.service_type.name().to_owned(),
        hubs: hubs.remove(&*service.config.name).unwrap_or_default(),
    });
    let backplane = backplane_status(plan.hubs.engine.as_deref());
    Ok(JsonPage(HubList { services: services.collect(), backplane }))
}

fn backplane_status(engine: Option<&Engine>) -> BackplaneStatus {
    let node = engine.map(|engine| engine.shared.node.to_string()).unwrap_or_default();
    match engine.and_then(|engine| engine.shared.backplane()) {
        Some(backplane) => {
            let state = backplane.state();
            BackplaneStatus { backplane_type: "Redis".to_owned(), up: state.is_up, node, nodes: state.nodes }
        }
        None => {
            BackplaneStatus { backplane_type: "Local".to_owned(), up: true, nodes: vec![node.clone()], node }
        }
    }
}

/// Connections of a hub on this node in the order of their ids, 100 per page.
#[utoipa::path(get, path = "/hubs/{service}/{hub}/connections", tag = "hubs",
    params(
        ("service" = String, Path, description = "The name of the hub service."),
        ("hub" = String, Path, description = "The name of the hub."),
        ("group" = Option<String>, Query, description = "Only members of this group."),
        ("user" = Option<String>, Query, description = "Only connections of this user."),
        ("after" = Option<String>, Query, description = "Only connections behind this id.")),
    responses((status = 200, body = HubConnectionList)))]
pub async fn list_hub_connections(
    State(context): State<AdminContext>,
    PathParams((service, hub)): PathParams<(String, String)>,
    QueryParams(query): QueryParams<ConnectionQuery>,
) -> Result<JsonPage<HubConnectionList>, AdminError> {
    let (gateway, hub) = (context.gateway()?, hub.to_ascii_lowercase());
    let engine = engine_of(&gateway, &service, &hub)?;
    let recipients = match (&query.group, &query.user) {
        (Some(group), _) => Recipients::Group(group.as_str().into()),
        (None, Some(user)) => Recipients::User(user.as_str().into()),
        (None, None) => Recipients::All,
    };
    let page = match engine.find(&service, &hub) {
        Some(hub) => hub.connections_page(&recipients, query.after.as_deref(), MAX_CONNECTIONS),
        None => ConnectionPage::default(),
    };
    let connection = |one: ConnectionSummary| HubConnection {
        id: one.id.to_string(),
        user: one.user.map(|user| user.to_string()),
        protocol: one.protocol.to_owned(),
        since: Timestamp(one.opened_at).to_string(),
        queued_bytes: one.queued_bytes,
        groups: one.groups.iter().map(ToString::to_string).collect(),
    };
    let connections: Vec<_> = page.connections.into_iter().map(connection).collect();
    let next = connections.last().filter(|_| page.has_more).map(|last| last.id.clone());
    Ok(JsonPage(HubConnectionList { connections, next }))
}

/// The groups of a hub on this node, at most 1,000, the largest first.
#[utoipa::path(get, path = "/hubs/{service}/{hub}/groups", tag = "hubs",
    params(
        ("service" = String, Path, description = "The name of the hub service."),
        ("hub" = String, Path, description = "The name of the hub.")),
    responses((status = 200, body = HubGroupList)))]
pub async fn list_hub_groups(
    State(context): State<AdminContext>,
    PathParams((service, hub)): PathParams<(String, String)>,
) -> Result<JsonPage<HubGroupList>, AdminError> {
    let (gateway, hub) = (context.gateway()?, hub.to_ascii_lowercase());
    let engine = engine_of(&gateway, &service, &hub)?;
    let groups = engine.find(&service, &hub).map(|hub| hub.group_summaries(MAX_GROUPS)).unwrap_or_default();
    let group = |one: GroupSummary| HubGroup { group: one.name.to_string(), connections: one.connections };
    Ok(JsonPage(HubGroupList { groups: groups.into_iter().map(group).collect() }))
}

/// How many connections were closed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ClosedConnections {
    pub closed: u64,
}

/// Closes a connection of a hub. Its session ends; the client may open a new one.
#[utoipa::path(post, path = "/hubs/{service}/{hub}/connections/{id}/close", tag = "hubs",
    params(
        ("service" = String, Path, description = "The name of the hub service."),
        ("hub" = String, Path, description = "The name of the hub."),
        ("id" = String, Path, description = "The id of the connection.")),
    responses((status = 200, body = ClosedConnections)))]
pub async fn close_hub_connection(
    State(context): State<AdminContext>,
    PathParams((service, hub, id)): PathParams<(String, String, String)>,
) -> Result<JsonPage<ClosedConnections>, AdminError> {
    let (gateway, hub) = (context.gateway()?, hub.to_ascii_lowercase());
    let engine = engine_of(&gateway, &service, &hub)?;
    let whom = Selection::of(Recipients::Connection(id.as_str().into()));
    let operation = Operation::Close { whom, reason: "Closed by the administration".into() };
    let outcome = engine.execute(&service, &hub, operation).await;
    match outcome.map(|outcome| outcome.matched).unwrap_or_default() {
        0 => Err(AdminError::not_found(format!("the hub has no connection \"{id}\""))),
        closed => Ok(JsonPage(ClosedConnections { closed })),
    }
}

/// The engine, if the service has such a hub.
fn engine_of(gateway: &Gateway, service: &str, hub: &str) -> Result<Arc<Engine>, AdminError> {
    let plan = gateway.plan.load();
    let known = plan.hubs.services.iter().find(|known| &*known.config.name == service);
    let has_hub = known.is_some_and(|known| known.config.hub(hub).is_some());
    match &plan.hubs.engine {
        Some(engine) if has_hub => Ok(engine.clone()),
        _ => Err(AdminError::not_found(format!(
            "no hub \"{hub}\" of a service \"{service}\"; /hubs lists all"
        ))),
    }
}
