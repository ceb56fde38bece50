//! HTTP/1.1 client for the gateway's own requests: signing keys, service registries, configuration stores, health checks
//! (Envoy: async client). With or without TLS, bounded in time and size; redirects are not followed.
//!
//! Entry points: [`Client::send`], [`Client::lines`] for watches, [`tcp_probe`]. Called in the background by
//! authentication, discovery, health checks and configuration stores, never on the path of a request; there each connection
//! serves one request. [`KeepAliveClient`] keeps idle connections, for calls that requests wait for. Nothing outlives a
//! reload but the clients that callers keep.

mod client;
mod connection;
mod keep_alive;
mod lines;
mod request;
#[cfg(test)]
mod tests;

pub use client::{Client, Response, get, tcp_probe};
pub use keep_alive::KeepAliveClient;
pub use lines::LineStream;
pub use request::{ConnectOptions, PeerAddr, Request, RequestLimits};
