//! Validation of instances from registries: their hosts end up in requests.

use crate::backend::endpoint::Instance;

/// The maximum length of a host name (RFC 1035 2.3.4).
const MAX_HOST_LEN: usize = 253;

/// A host name or IP address that is valid in a URL; returned without the brackets of IPv6.
pub fn parse_host(text: &str) -> Option<&str> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let named = !text.is_empty() && text.len() <= MAX_HOST_LEN && text.bytes().all(name);
    (named || bare.parse::<std::net::Ipv6Addr>().is_ok()).then_some(bare)
}

/// An instance if the host is valid and the port is 1 to 65535.
pub fn to_instance(host: &str, port: i64) -> Option<Instance> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some(Instance::new(parse_host(host)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_ip_addresses_and_ports_are_in_range() {
        for (text, bare) in [("orders.example", "orders.example"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(to_instance(text, 80).map(|i| i.host).as_deref(), Some(bare), "{text}");
        }
        for text in ["", "http://orders", "a b", "a\r\nX: y", "a/b", "[::1", &"a".repeat(254), "käse"] {
            assert!(parse_host(text).is_none(), "{text}");
        }
        for port in [0, -1, 65_536, i64::MAX] {
            assert!(to_instance("orders", port).is_none(), "{port}");
        }
    }
}
