//! A shop behind an agent (docs/tunnels.md): its till listens on a port that only the agent knows, and the gateway reaches it by
//! name.

use super::services::{not_found, reply};
use crate::{cli::agent, net::listener::Address, pipeline::sas::SasKey};
use axum::{Router, routing::any};
use http::StatusCode;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The id of the agent; `gateway.json` has the pattern `shop-*`.
const AGENT: &str = "shop-1";
/// The sample key of the pattern; `gateway.json` has the same default.
const SAMPLE_KEY: &str = "bWFyZ2F5IHNhbXBsZSBrZXkgb2Ygc2hvcHMsIG5vdCBmb3IgcHJvZHVjdGlvbg==";
/// The listener of `gateway.json`.
const DEFAULT_GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The till: a page for `/till`.
pub fn router() -> Router {
    let till = || async { reply(StatusCode::OK, json!({ "till": AGENT, "open": true })) };
    Router::new().route("/till", any(till)).fallback(not_found)
}

/// Starts the agent of the shop. `listen` are the addresses that replace the configured ones.
pub fn start_agent(
    till: &str,
    listen: &[Address],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let key = environment("SHOPS_KEY").filter(|key| !key.is_empty());
    let key = SasKey::parse(key.as_deref().unwrap_or(SAMPLE_KEY))
        .ok_or("SHOPS_KEY is not the Base64 of 32 to 128 bytes: create it with openssl rand -base64 32")?;
    let Some(gateway) = gateway(listen) else { return Ok(()) };
    let gateway = format!("http://{gateway}/_agents");
    agent::start(AGENT, &gateway, &format!("till={till}"), key.derive(AGENT))
}

/// Where the agent finds the gateway; `None`: it listens on Unix domain sockets only.
fn gateway(listen: &[Address]) -> Option<SocketAddr> {
    let mut addresses = listen.iter().filter_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Udp(_) | Address::Unix(_) => None,
    });
    let mut gateway = if listen.is_empty() { DEFAULT_GATEWAY } else { addresses.next()? };
    if gateway.ip().is_unspecified() {
        gateway.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Some(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_finds_the_gateway_on_this_machine() {
        let found = |texts: &[&str]| {
            let addresses: Vec<Address> =
                texts.iter().map(|text| crate::cli::args::address(text).unwrap()).collect();
            gateway(&addresses).map(|address| address.to_string())
        };
        assert_eq!(found(&[]).as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(found(&["unix:/tmp/margay", "0.0.0.0:81"]).as_deref(), Some("127.0.0.1:81"));
        assert_eq!(found(&["unix:/tmp/margay"]), None);
    }

    #[test]
    fn a_key_that_is_none_names_its_variable() {
        let error = start_agent("http://127.0.0.1:1", &[], |_| Some("short".into())).unwrap_err();
        assert!(error.starts_with("SHOPS_KEY"), "{error}");
    }
}
