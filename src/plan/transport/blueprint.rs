//! A transport route of the blueprint: plain data.

use super::{access::Admission, config::TransportConfig, router::RouteConditions};
use crate::config::Span;
use crate::plan::blueprint::ClusterBlueprint;
use std::sync::Arc;

/// One transport route, everything resolved.
#[derive(Clone, Debug)]
pub struct TransportRouteBlueprint {
    /// Where the route is written.
    pub span: Span,
    /// The name in logs and metrics, unique among transport routes.
    pub name: String,
    /// The names of its listeners.
    pub listeners: Vec<String>,
    pub conditions: RouteConditions,
    pub is_udp: bool,
    /// Whether the TLS of the client ends at the gateway; `None`: if the listener has TLS.
    pub terminates: Option<bool>,
    pub cluster: Arc<ClusterBlueprint>,
    pub admission: Admission,
    pub config: TransportConfig,
    /// What is added to the port that the client connected to, for endpoints without a port of their own.
    pub port_offset: i32,
    /// `Role.Endpoint`, if the route leads to an internal endpoint that traffic rules protect.
    pub guarded_endpoint: Option<String>,
}
