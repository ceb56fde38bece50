//! margay, an API gateway and reverse proxy: one binary, configured by one JSON file.
//!
//! The crate is built in floors, listed here from the top down. A floor may use the floors below it, never a floor above
//! it and never its sibling on the same level; `tests/architecture.rs` enforces this.
//!
//! | level | floor | contents |
//! |---|---|---|
//! | 9 | [`cli`] | the commands: run, check, explain, import, client of a running gateway, ...; [`Builder`] and [`Gateway`] for embedding |
//! | 8 | [`control`] | what replaces the plan: file watch, Consul KV, SIGHUP; the administration address |
//! | 7 | [`server`] | workers, accept, connection loops for HTTP/1.1 and HTTP/2, the exchange, relay, WebSocket, aggregates |
//! | 6 | [`plan`] | document to plan: checks, compilation, route table, explain |
//! | 5 | [`stages`] | the steps of a route (CORS, rate limits, authentication, cache, ...) and their order |
//! | 4 | [`state`] | the state that several gateways share, on Redis |
//! | 5 | [`realtime`] | hubs: connections, groups, permissions, subprotocols, event handlers, the data plane |
//! | 4 | [`backend`] | clusters, endpoints, load balancing, health checks, discovery, retries, circuit breakers |
//! | 3 | [`net`] | the only floor that names pingora: HTTP/1.1 and HTTP/2 codecs, TLS, connect, DNS, connection pools |
//! | 2 | [`pipeline`] | exchange, head, body, the contract of stages, errors and their responses; no sockets |
//! | 1 | [`telemetry`] | metrics and the access log |
//! | 1 | [`config`] | text to document: parser with spans, merge, placeholders, policies, diagnostics, JSON Schema |
//! | 0 | [`base`] | units, byte tables, clocks, hashes, secrets |
//!
//! `ARCHITECTURE.md` describes the path of a request through the floors; `docs/development.md` lists the files to edit
//! for a new stage, load balancer, discovery provider, listener option, diagnostic or error code.

// Input from the network must not stop the process; standard output is reserved for data and the access log.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

pub mod cli;
pub mod control;
pub mod server;
pub mod plan;
pub mod stages;
pub mod realtime;
pub mod backend;
pub mod state;
pub mod net;
pub mod pipeline;
pub mod waf;
pub mod telemetry;
pub mod config;
pub mod base;

pub use cli::{Builder, Gateway};
