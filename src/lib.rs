//! margay, an API gateway: this file is the map of the house.
//!
//! The floors, from the roof down. A floor may name the floors below it, never a floor above or a sibling;
//! `tests/architecture.rs` holds the house to that.

/// 4: clusters, endpoints, balancing, attempts.
pub mod backend;
/// 0: words everyone uses: units, host names, byte tables.
pub mod base;
/// 9: the commands: run, demo, check, explain, schema.
pub mod cli;
/// 1: text → document and diagnostics; merge, placeholders, policies, JSON Schema.
pub mod config;
/// 8: who may change the plan: the file watch, signals, the administration address.
pub mod control;
/// 7: workers, accept, the exchange loop, relay.
pub mod edge;
/// 2: head, exchange, stage contract, outcome, rescue; no sockets.
pub mod pipeline;
/// 6: document → plan: cross checks, route table, routes, the current plan, explain.
pub mod plan;
/// 5: one file a stage; `mod.rs` is the table of stages.
pub mod stages;
/// 1: metric handles and the access record.
pub mod telemetry;
/// 3: the only floor that names pingora: HTTP/1.1 codec, listeners, dial, DNS, pools.
pub mod wire;
