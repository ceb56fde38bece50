//! Workers, accept, the exchange loop, relay: where requests enter and answers leave.

pub mod aggregate;
pub mod dispatch;
pub mod connection;
pub mod context;
pub mod gateway;
pub mod listeners;
pub mod internal;
pub mod internal_client;
pub mod internal_gateway;
#[cfg(test)]
mod scripted_client;
pub mod relay;
pub mod run;
pub mod http1;
pub mod exchange;
pub mod respond;
pub mod http2;
pub mod websocket;
pub mod worker;

pub use gateway::Gateway;
