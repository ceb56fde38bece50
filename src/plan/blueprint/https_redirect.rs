//! The redirect of a plain listener to https, and the hosts that requests are redirected to.

use crate::net::tls::sni::matches_host;

/// `RedirectToHttps` and `RedirectHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    pub port: u16,
    /// Host names and patterns in lower case; `None`: every host.
    pub hosts: Option<Box<[String]>>,
}

impl HttpsRedirect {
    /// Whether requests for this host (without its port) are redirected: a client must not be sent to a host that is not the
    /// gateway's.
    pub fn permits(&self, host: &[u8]) -> bool {
        let Some(hosts) = &self.hosts else { return true };
        let host = std::str::from_utf8(host).unwrap_or_default();
        hosts.iter().any(|pattern| pattern == "*" || matches_host(pattern, host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_wildcards_of_one_level_or_all() {
        let permits = |hosts: &[&str], host: &str| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            HttpsRedirect { port: 443, hosts: Some(hosts) }.permits(host.as_bytes())
        };
        for host in ["gw.test", "GW.test", "gw.test.", "api.gw.test"] {
            assert!(permits(&["gw.test", "*.gw.test"], host), "{host}");
        }
        for host in ["evil.test", "a.b.gw.test", "gw.test.evil.test", "", "."] {
            assert!(!permits(&["gw.test", "*.gw.test"], host), "{host}");
        }
        assert!(permits(&["*"], "evil.test") && !permits(&[], "gw.test"));
    }
}
