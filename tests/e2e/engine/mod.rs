//! The engine on a socket, one sentence a test.

mod administration;
mod access_log;
mod admission;
mod aggregate;
mod api_management;
mod api_management_documents;
mod api_management_store;
mod attempts;
mod authentication_live;
mod balance;
mod bff;
mod blame;
mod bodies;
mod budgets;
mod cache;
mod cache_poison;
mod cache_scan;
mod cache_suite;
mod compression;
mod config_commands;
mod config_store;
mod connections;
mod custom;
mod discovery;
mod discovery_providers;
mod disks;
mod dns;
mod external_authorization;
mod fabric;
mod fabric_failover;
mod failures;
mod fallback;
mod forged_fields;
mod grpc;
mod grpc_peers;
mod h2;
mod h2_backends;
mod h2_heads;
mod h2_hostile;
mod h2_limits;
mod h2_secure;
mod headers;
mod hub_attacks;
mod health;
mod informational;
mod internal;
mod lifecycle;
mod limits;
mod listeners;
mod load_mix;
mod loss_free;
mod overlays;
mod prometheus;
mod proxy_protocol;
mod proxy_protocol_out;
mod refusals;
mod reload;
mod request_targets;
mod resilience;
mod safe_change;
mod secure_backends;
mod secure_listeners;
mod shared_cache;
mod shared_state;
mod slow_peers;
mod streaming_memory;
mod streams;
mod tracing;
mod transforms;
mod trust;
mod tunnels;
mod waf;
mod waf_clients;
mod waf_replay;
mod waf_uploads;
mod unix_sockets;
mod websocket;
mod websocket_conformance;
mod websocket_limits;

use crate::support::gateway::Gateway;
use serde_json::{Value, json};

/// A route from every path to one backend.
fn to(port: u16) -> Value {
    json!({
        "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": port }],
    })
}

/// Merges one JSON object over another.
fn over(mut base: Value, more: &Value) -> Value {
    let into = base.as_object_mut().expect("an object");
    for (key, value) in more.as_object().expect("an object") {
        into.insert(key.clone(), value.clone());
    }
    base
}

/// A document whose only route leads to one backend, with more settings of the route and of the document.
fn document(port: u16, route: &Value, rest: &Value) -> Value {
    over(json!({ "Routes": [over(to(port), route)] }), rest)
}

/// A gateway in front of one backend.
fn gateway(port: u16) -> Gateway {
    Gateway::with(&document(port, &json!({}), &json!({})))
}

/// The same with `Limits`.
fn limited(port: u16, limits: &Value) -> Gateway {
    Gateway::with(&document(port, &json!({}), &json!({ "Limits": limits })))
}

/// The same with Ocelot's statuses and bodies.
fn ocelot() -> Value {
    json!({ "GlobalConfiguration": { "Compatibility": "Ocelot" } })
}
