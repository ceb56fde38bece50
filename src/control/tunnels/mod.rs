//! The services `Agents` and `DeviceStreams`: what agents, connectors, service applications and devices request over HTTP.
//! Routes name them in `DownstreamService`; listener, TLS, limits and access log are those of every route.
//!
//! Entry points: [`agents::router`] and [`device_streams::router`], called by `services`. The connections that follow an
//! upgrade are served by `net::agents` and `net::devices`; the registries live in the process state and outlive a reload.

pub mod agents;
mod azure_log;
mod caller;
pub mod device_streams;
mod refusal;
