//! Open connections and UDP sessions of transport routes.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::server::l4::OpenSummary;
use axum::extract::State;
use serde::Serialize;

/// How many are listed.
const MAX_LISTED: usize = 100;

/// The open connections and UDP sessions, the oldest first.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ConnectionList {
    /// The number of open ones; at most 100 are listed.
    pub open: usize,
    pub connections: Vec<OpenEntry>,
}

/// An open connection or UDP session.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OpenEntry {
    /// The id in the access log.
    pub id: String,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    pub listener: String,
    pub client: String,
    pub route: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Absent until a connection to the service is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Bytes from the client to the service.
    pub bytes_in: u64,
    /// Bytes from the service to the client.
    pub bytes_out: u64,
    pub seconds: u64,
}

impl From<OpenSummary> for OpenEntry {
    fn from(open: OpenSummary) -> OpenEntry {
        OpenEntry {
            id: format!("{:016x}", open.id),
            protocol: open.protocol,
            listener: open.listener.to_string(),
            client: open.client.to_string(),
            route: open.route.to_string(),
            role: open.role.to_string(),
            endpoint: open.endpoint.map(|endpoint| endpoint.to_string()),
            bytes_in: open.bytes[0],
            bytes_out: open.bytes[1],
            seconds: open.seconds,
        }
    }
}

/// The open connections and UDP sessions of transport routes, the oldest first, at most 100.
#[utoipa::path(get, path = "/connections", tag = "clusters", responses((status = 200, body = ConnectionList)))]
pub async fn connections(
    State(context): State<AdminContext>,
) -> Result<JsonPage<ConnectionList>, AdminError> {
    let (listed, open) = context.gateway()?.transport.summaries(MAX_LISTED);
    Ok(JsonPage(ConnectionList { open, connections: listed.into_iter().map(OpenEntry::from).collect() }))
}
