//! Addresses in the fields of proxies.

use std::net::{IpAddr, SocketAddr};

/// Parses an item of `X-Forwarded-For`: an address, optionally in brackets or with a port.
pub(super) fn parse_address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?;
    let unbracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = unbracketed.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}
