//! margay, an API gateway: this file is the map of the house.
//!
//! The floors, from the roof down. A floor may name the floors below it, never a floor above or a sibling;
//! `tests/architecture.rs` holds the house to that.

// A stranger's bytes must not stop the process; standard output belongs to data and the access log.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// 9: the commands: run, demo, check, explain, schema.
pub mod cli;
// 8: who may change the plan: the file watch, signals, the administration address.
pub mod control;
// 7: workers, accept, the exchange loop, relay.
pub mod server;
// 6: document → plan: cross checks, route table, routes, the current plan, explain.
pub mod plan;
// 5: one file a stage; `mod.rs` is the table of stages.
pub mod stages;
// 4: clusters, endpoints, balancing, attempts.
pub mod backend;
// 3: the only floor that names pingora: HTTP/1.1 codec, listeners, dial, DNS, pools.
pub mod net;
// 2: head, exchange, stage contract, outcome, rescue; no sockets.
pub mod pipeline;
// 1: metric handles and the access record.
pub mod telemetry;
// 1: text → document and diagnostics; merge, placeholders, policies, JSON Schema.
pub mod config;
// 0: words everyone uses: units, host names, byte tables.
pub mod base;

pub use cli::{Builder, Gateway};
