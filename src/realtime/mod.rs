//! Realtime hubs: routes that end in this process, for clients of Azure Web PubSub.
//!
//! | folder or file | contents |
//! |---|---|
//! | `config.rs` | the compiled settings of services, hubs and event handlers |
//! | `context.rs` | a service of a plan with the backends of its event handlers; what a connection refers to |
//! | `names.rs` | which hub, group and user names are valid |
//! | `message.rs` | what clients send and receive, independent of the subprotocol |
//! | `payload.rs`, `json_text.rs` | payloads whose content matches their kind |
//! | `operation.rs` | what servers do with connections: send, close, groups, permissions, queries; executed on every node |
//! | `protocols/` | the subprotocols: bytes of WebSocket messages to messages and back; pure |
//! | `permissions.rs` | roles, patterns and grants |
//! | `filter/` | filter expressions of the data plane |
//! | `tokens/` | tokens of clients and of servers |
//! | `session/` | one connection as a state machine: queue, numbers, acks, groups, streams; no sockets, no clock |
//! | `engine/` | hubs, their connections by worker, fan-out, timers, recovery |
//! | `events/` | event handlers: requests to backends |
//! | `rest/` | the data plane |
//! | `signalr/` | clients of SignalR over three transports |
//! | `user_groups.rs`, `shared_groups.rs` | groups of users, which later connections join: of one node, and of all nodes |
//! | `negotiate/` | tokens that a route issues |
//! | `backplane/` | several nodes |
//! | `service/` | the entry point: a request of a route becomes a handshake, a call of the data plane or a negotiation |

pub mod backplane;
pub mod config;
pub mod context;
pub mod engine;
pub mod events;
pub mod filter;
pub mod hub_user;
pub mod json_text;
pub mod message;
pub mod names;
pub mod negotiate;
pub mod operation;
pub mod payload;
pub mod permissions;
pub mod protocols;
pub mod rest;
pub mod service;
pub mod session;
pub mod shared_groups;
pub mod signalr;
pub mod tokens;
pub mod user_groups;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod pattern_tests;
