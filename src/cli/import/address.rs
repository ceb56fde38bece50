//! Addresses of backends as URLs.

/// A URL of a backend, in parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendUrl {
    /// `http`, `https`, `ws` or `wss`.
    pub scheme: String,
    /// Without brackets.
    pub host: String,
    /// `None`: the usual port of the scheme.
    pub port: Option<u16>,
    /// Without a trailing slash; empty for the root.
    pub path: String,
    /// Whether the URL has parts that a backend address does not have: user name, query or fragment.
    pub has_more: bool,
}

impl BackendUrl {
    /// Parses an absolute URL; the error is the reason.
    pub fn parse(text: &str) -> Result<BackendUrl, String> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("expected an absolute URL, found \"{text}\""));
        };
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss") {
            return Err(format!("unsupported scheme \"{scheme}\": expected http, https, ws or wss"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (authority, has_user) = match authority.rsplit_once('@') {
            Some((_, authority)) => (authority, true),
            None => (authority, false),
        };
        let (host, port) = split_port(authority)?;
        let path_end = tail.find(['?', '#']).unwrap_or(tail.len());
        let path = normal_path(&tail[..path_end]);
        Ok(BackendUrl { scheme, host, port, path, has_more: has_user || path_end < tail.len() })
    }

    /// Scheme, host and port, which identify a backend.
    pub fn origin(&self) -> String {
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.scheme, self.host)
    }

    /// The port of the scheme unless another one is set.
    pub fn effective_port(&self) -> u16 {
        let usual = if matches!(self.scheme.as_str(), "https" | "wss") { 443 } else { 80 };
        self.port.unwrap_or(usual)
    }
}

/// Host and port of an authority.
pub fn split_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let invalid = || format!("invalid host \"{authority}\": must be a host name or an IP address");
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(invalid)?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (authority, None),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_valid =
        host.parse::<std::net::Ipv6Addr>().is_ok() || !host.is_empty() && host.chars().all(is_name);
    if !is_valid {
        return Err(invalid());
    }
    match port.filter(|port| !port.is_empty()) {
        None => Ok((host.to_owned(), None)),
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok((host.to_owned(), Some(port))),
            _ => Err(format!("invalid port \"{port}\": must be 1 to 65535")),
        },
    }
}

/// A path with one leading slash and without a trailing one or repeated ones; empty for the root.
pub fn normal_path(path: &str) -> String {
    path.split('/').filter(|segment| !segment.is_empty()).map(|segment| format!("/{segment}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_an_origin_and_a_path() {
        let url = BackendUrl::parse("HTTPS://u:p@api.example.com:8443/v1//x/?q=1").unwrap();
        assert_eq!((url.origin().as_str(), url.path.as_str()), ("https://api.example.com:8443", "/v1/x"));
        assert!(url.has_more);
        let url = BackendUrl::parse("http://[::1]").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", None, ""));
        assert_eq!(url.effective_port(), 80);
    }

    #[test]
    fn an_unusable_url_has_a_reason() {
        for (text, reason) in [
            ("/v1", "absolute URL"),
            ("ftp://a", "unsupported scheme"),
            ("http://", "invalid host"),
            ("http://a b", "invalid host"),
            ("http://a:0", "invalid port"),
            ("http://a:99999", "invalid port"),
        ] {
            assert!(BackendUrl::parse(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
