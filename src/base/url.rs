//! Absolute `http` and `https` URLs, as written in settings.

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
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither http nor https"),
        };
        if text.bytes().any(|b| b <= b' ' || b >= 0x7f) {
            return Err("it contains spaces or other characters that must be escaped");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let (host, port) = authority_parts(authority, if tls { 443 } else { 80 })?;
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

fn authority_parts(text: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    if text.contains('@') {
        return Err("it contains a user name");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its IPv6 address has no closing ]")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "its host is not an IPv6 address")?;
            (host, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("its port must be 1 to 65535")?,
        None => return Err("its host is malformed"),
    };
    Ok((host.to_owned(), port))
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
