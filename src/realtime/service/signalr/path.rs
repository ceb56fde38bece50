//! Paths and queries of a SignalR service.

use crate::pipeline::error::{ErrorCode, GatewayError};
use crate::realtime::service::path::QueryPairs;

/// The path of clients; negotiations are below it.
pub const CLIENT_PATH: &str = "/client";

/// What a path within a SignalR service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRPath {
    /// Requests of a connection.
    Client,
    Negotiation,
    /// The data plane.
    Api,
    Unknown,
}

impl SignalRPath {
    /// Reads a path without its query.
    pub fn parse(path: &str) -> SignalRPath {
        match path.strip_suffix('/').unwrap_or(path) {
            CLIENT_PATH => SignalRPath::Client,
            "/client/negotiate" => SignalRPath::Negotiation,
            _ if path.starts_with("/api/") => SignalRPath::Api,
            _ => SignalRPath::Unknown,
        }
    }
}

/// Names of parameters are case-insensitive.
pub fn lower_case_names(query: QueryPairs) -> QueryPairs {
    query.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// The one value of `hub`.
pub fn hub_name(query: &QueryPairs) -> Result<String, GatewayError> {
    let mut hubs = query.iter().filter(|(name, _)| name == "hub").map(|(_, value)| value);
    match (hubs.next(), hubs.next()) {
        (Some(hub), None) if !hub.is_empty() => Ok(hub.to_ascii_lowercase()),
        (_, Some(_)) => {
            Err(GatewayError::new(ErrorCode::HubInvalidName, "the parameter `hub` occurs more than once"))
        }
        _ => Err(GatewayError::new(ErrorCode::HubInvalidName, "the request has no hub name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_azure_signalr() {
        for (path, expected) in [
            ("/client/", SignalRPath::Client),
            ("/client", SignalRPath::Client),
            ("/client/negotiate", SignalRPath::Negotiation),
            ("/api/hubs/chat/:send", SignalRPath::Api),
            ("/api/health", SignalRPath::Api),
            ("/client/hubs/chat", SignalRPath::Unknown),
            ("/", SignalRPath::Unknown),
        ] {
            assert_eq!(SignalRPath::parse(path), expected, "{path}");
        }
    }
}
