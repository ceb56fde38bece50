//! Absolute `http` and `https` URLs, as written in settings.

use http::uri::{PathAndQuery, Uri};

/// An absolute URL: `http://host:port/path?query`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    pub tls: bool,
    /// A host name or an IP address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query, never empty.
    pub target: String,
}

impl HttpUrl {
    /// Parses a URL; the error describes the problem in a few words.
    pub fn parse(text: &str) -> Result<HttpUrl, &'static str> {
        if text.bytes().any(|b| b <= b' ' || b >= 0x7f) {
            return Err("it contains spaces or other characters that must be escaped");
        }
        let uri: Uri = text.parse().map_err(|_| "its host or port is malformed")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err("its scheme is neither http nor https"),
            None => return Err("it has no scheme"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it contains a user name");
        }
        if authority.host().is_empty() {
            return Err("it has no host");
        }
        let port = match &authority.as_str()[authority.host().len()..] {
            "" if tls => 443,
            "" => 80,
            rest => rest.strip_prefix(':').and_then(|port| port.parse().ok()).unwrap_or(0),
        };
        if port == 0 {
            return Err("its port must be 1 to 65535");
        }
        let bare = authority.host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_err()) {
            return Err("its host is not an IPv6 address");
        }
        let host = bare.unwrap_or(authority.host()).to_owned();
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(HttpUrl { tls, host, port, target: format!("{slash}{target}") })
    }

    /// The same URL with a path appended; the query is dropped.
    pub fn join_path(&self, path: &str) -> HttpUrl {
        let own = self.target.split('?').next().unwrap_or_default().trim_end_matches('/');
        HttpUrl { target: format!("{own}/{path}"), ..self.clone() }
    }

    /// Whether the host is a loopback address.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl std::fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_printed() {
        for (text, printed) in [
            ("http://localhost:9105/jwks.json", "http://localhost:9105/jwks.json"),
            ("HTTPS://id.example", "https://id.example/"),
            ("https://id.example:443/a?b=c#d", "https://id.example/a?b=c"),
            ("http://[::1]:80?x", "http://[::1]/?x"),
            ("http://a?b", "http://a/?b"),
            ("http://a#b", "http://a/"),
        ] {
            assert_eq!(HttpUrl::parse(text).map(|url| url.to_string()).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn invalid_urls_are_rejected() {
        for text in [
            "",
            "id.example",
            "ftp://a/",
            "http://",
            "http://a:b/",
            "http://a:0/",
            "http://u@a/",
            "http://:80/",
            "http://a:/",
            "http://a:65536/",
            "http://a::80/",
            "http://[x]/",
            "http://[::1]x/",
            "http://a b/",
        ] {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
        assert!(HttpUrl::parse("http://[::1").is_err());
    }

    #[test]
    fn a_joined_path_keeps_the_base_path() {
        let url = HttpUrl::parse("https://id.example/realms/a/").unwrap();
        assert_eq!(url.join_path(".well-known/x").target, "/realms/a/.well-known/x");
        assert!(!url.is_loopback() && HttpUrl::parse("http://127.0.0.1/").unwrap().is_loopback());
    }
}
