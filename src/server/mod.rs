//! The data plane: accepts connections and serves exchanges (Envoy: listener manager, HTTP connection manager and
//! workers; nginx: worker processes; YARP: Kestrel with the proxy middleware).
//!
//! Entry point: [`run::run`], called by `control::process`; a connection goes from [`listeners`] to [`http1`] or
//! [`http2`], each request from [`exchange`] to [`dispatch`] and back through [`respond`] and [`relay`]. The server
//! owns the worker threads, listening sockets, client connections, and the current plan ([`Gateway`]). Listening
//! sockets, connections and metrics outlive a reload; an exchange keeps the plan it started with.

mod accepted;
pub mod accounting;
pub mod aggregate;
pub mod dispatch;
pub mod coroutines;
pub mod connection;
pub mod context;
pub mod drain;
pub mod gateway;
pub mod listeners;
mod hub;
pub mod internal;
pub mod internal_gateway;
pub mod l4;
#[cfg(test)]
mod scripted_client;
pub mod part_trace;
pub mod read_ahead;
pub mod relay;
pub mod run;
pub mod http1;
pub mod exchange;
pub mod respond;
pub mod http2;
pub mod trace;
pub mod websocket;
pub mod worker;

pub use gateway::Gateway;
