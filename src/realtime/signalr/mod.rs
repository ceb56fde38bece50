//! SignalR clients of serverless hubs: connections over WebSockets, server-sent events and long polling.
//!
//! | file | contents |
//! |---|---|
//! | `token.rs` | connection tokens: what a negotiation grants, without state |
//! | `link.rs` | a connection of a client over its transport, from the first request to the end |
//! | `table.rs` | all links by token |
//! | `input.rs`, `calls.rs` | what a client has sent and what it waits for |
//! | `receive.rs` | handshake, numbers and messages of a client |
//! | `invocations.rs` | calls of event handlers, one after the other |
//! | `groups.rs` | groups of a user that change while a connection opens |
//! | `timing.rs` | pings, and the end of silent connections |
//! | `socket.rs`, `event_stream.rs`, `poll.rs` | the transports |
//!
//! The engine has a connection from its handshake on: groups, users, queue and fan-out are those of all hubs. Locks are taken in
//! the order input, hub, state of the link, session.

mod calls;
pub mod event_stream;
mod groups;
mod input;
mod invocations;
pub mod link;
pub mod poll;
pub mod receive;
pub mod socket;
pub mod table;
#[cfg(test)]
mod tests;
mod timing;
pub mod token;
