//! `Host`, `Origin` and `Sec-Fetch-Site` of requests. A web page whose name resolves to this machine (DNS rebinding) could
//! read the pages otherwise: the browser takes them for its own site.

use super::access::Access;
use http::{HeaderMap, header};
use std::net::IpAddr;

/// The host of a request without its port.
pub fn host(fields: &HeaderMap) -> Option<&str> {
    Some(without_port(fields.get(header::HOST)?.to_str().unwrap_or_default()))
}

fn without_port(authority: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let split = authority.rsplit_once(':').filter(|(_, port)| is_port(port));
    split.map_or(authority, |(name, _)| name).trim_start_matches('[').trim_end_matches(']')
}

/// Whether a web page of another site cannot have this host. A web page cannot be served from an address of this machine
/// without a name, so that any address is accepted where clients are on other machines.
pub fn is_accepted(host: &str, access: Access, allowed: &[String]) -> bool {
    let is_address = |ip: IpAddr| ip.is_loopback() || access == Access::Remote;
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(is_address)
        || allowed.iter().any(|known| known.eq_ignore_ascii_case(host))
}

/// Whether no web page sends the request, or one of the administration itself.
pub fn is_same_site(fields: &HeaderMap) -> bool {
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some() && authority == fields.get(header::HOST).and_then(|host| host.to_str().ok())
    };
    let origin = fields.get(header::ORIGIN);
    let site = fields.get("sec-fetch-site");
    origin.is_none_or(|origin| origin.to_str().is_ok_and(is_own))
        && site.is_none_or(|site| site == "none" || site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted_where_clients_are_on_other_machines() {
        for (host, is_local, is_remote) in [
            ("localhost", true, true),
            ("127.9.9.9", true, true),
            ("::1", true, true),
            ("192.0.2.1", false, true),
            ("evil.example", false, false),
            ("admin.test", true, true),
            ("", false, false),
        ] {
            let allowed = ["Admin.test".to_owned()];
            let accepted = [Access::Local, Access::Remote].map(|access| is_accepted(host, access, &allowed));
            assert_eq!(accepted, [is_local, is_remote], "{host}");
        }
    }

    #[test]
    fn a_web_page_of_the_administration_itself_is_accepted() {
        let same_site = |fields: &[(&'static str, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
            is_same_site(&HeaderMap::from_iter(fields))
        };
        assert!(same_site(&[("host", "localhost:8081")]));
        assert!(same_site(&[("host", "localhost:8081"), ("origin", "http://localhost:8081")]));
        assert!(same_site(&[
            ("host", "[::1]:1"),
            ("origin", "http://[::1]:1"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!same_site(&[("host", "localhost:8081"), ("origin", "http://localhost:3000")]));
        assert!(!same_site(&[("host", "localhost"), ("origin", "null")]));
        assert!(!same_site(&[("host", "localhost"), ("sec-fetch-site", "same-site")]));
        assert!(!same_site(&[("origin", "http://a")]));
    }
}
