//! The PROXY protocol, versions 1 and 2: a header with the client's addresses in front of a proxied connection (HAProxy,
//! doc/proxy-protocol.txt; nginx: `proxy_protocol`, Envoy: PROXY protocol listener filter and transport socket).
//!
//! Entry points: [`ProxyProtocolConfig::receive`] on listeners, called by `server`; [`write_proxy`] and [`write_local`] on
//! connections to backends, called by `net::connect` and the health checks. It owns no state: nothing outlives a reload but
//! the header that a backend connection was opened with.

mod header;
mod parse;
mod receive;
#[cfg(test)]
mod tests;
mod write;

pub use header::{MAX_V2_LEN, ProxyAddresses};
pub use parse::{ParseError, Parsed, parse};
pub use receive::{Mode, ProxyProtocolConfig, ReceiveError};
pub use write::{ProxyHeader, Version, write_local, write_proxy};
