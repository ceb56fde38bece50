//! The address of the administration API.

use crate::net::unix_address::UnixAddress;
use std::path::PathBuf;

/// The address of a gateway without settings.
const DEFAULT_ADMIN: &str = "127.0.0.1:8081";

/// Where to connect to, and what to request there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTarget {
    pub transport: Transport,
    /// The value of the `Host` field.
    pub host: String,
    /// In front of every path; without a trailing slash.
    pub base_path: String,
    /// As the operator wrote it, for messages.
    pub text: String,
}

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp { host: String, port: u16, is_tls: bool },
    Unix(PathBuf),
}

impl AdminTarget {
    /// The flag, else the variable, else the default.
    pub fn select(flag: Option<&str>, variable: Option<&str>) -> Result<AdminTarget, String> {
        let set = |text: &&str| !text.trim().is_empty();
        match (flag, variable.filter(set)) {
            (Some(text), _) => AdminTarget::parse(text).map_err(|error| format!("--admin {text}: {error}")),
            (None, Some(text)) => {
                AdminTarget::parse(text).map_err(|error| format!("MARGAY_ADMIN={text}: {error}"))
            }
            (None, None) => AdminTarget::parse(DEFAULT_ADMIN),
        }
    }

    /// `HOST:PORT`, `:PORT`, a URL, or `unix:PATH`.
    pub fn parse(text: &str) -> Result<AdminTarget, String> {
        let trimmed = text.trim();
        if let Some(address) = UnixAddress::parse(trimmed, None) {
            let path = match address.map_err(str::to_owned)? {
                UnixAddress::Path(path) => path,
                UnixAddress::Abstract(name) => PathBuf::from(format!("\0{name}")),
            };
            return Ok(AdminTarget {
                transport: Transport::Unix(path),
                host: "localhost".to_owned(),
                base_path: String::new(),
                text: trimmed.to_owned(),
            });
        }
        let (scheme, rest) = trimmed.split_once("://").unwrap_or(("http", trimmed));
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                return Err(format!("unsupported scheme \"{other}\": expected http, https or unix:PATH"));
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let default_port = if trimmed.contains("://") { Some(if is_tls { 443 } else { 80 }) } else { None };
        let (host, port) = split_authority(authority, default_port)?;
        let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Ok(AdminTarget {
            host: format!("{shown}:{port}"),
            transport: Transport::Tcp { host, port, is_tls },
            base_path: path
                .trim_end_matches('/')
                .split('/')
                .filter(|s| !s.is_empty())
                .map(|s| format!("/{s}"))
                .collect(),
            text: trimmed.to_owned(),
        })
    }
}

/// Host and port; an address for all interfaces is that of this machine.
fn split_authority(authority: &str, default_port: Option<u16>) -> Result<(String, u16), String> {
    let expected = || "expected HOST:PORT, a URL or unix:PATH, such as 127.0.0.1:8081".to_owned();
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(expected)?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0),
        None => default_port,
    };
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        other => other,
    };
    if host.contains(['@', ' ', '?', '#']) || authority.is_empty() {
        return Err(expected());
    }
    port.map(|port| (host.to_owned(), port)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> (String, u16, bool, String) {
        let target = AdminTarget::parse(text).unwrap();
        match target.transport {
            Transport::Tcp { host, port, is_tls } => (host, port, is_tls, target.base_path),
            Transport::Unix(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn an_address_is_a_host_with_a_port_a_url_or_a_socket() {
        assert_eq!(tcp("127.0.0.1:9000"), ("127.0.0.1".into(), 9000, false, String::new()));
        assert_eq!(tcp(":9000").0, "127.0.0.1");
        assert_eq!(tcp("[::]:9000").0, "::1");
        assert_eq!(
            tcp("https://admin.example.com/gw/"),
            ("admin.example.com".into(), 443, true, "/gw".into())
        );
        assert_eq!(tcp("http://[::1]:1").0, "::1");
        let socket = AdminTarget::parse("unix:/run/margay.sock").unwrap();
        assert_eq!(socket.transport, Transport::Unix("/run/margay.sock".into()));
        assert_eq!(AdminTarget::parse("[::1]:8081").unwrap().host, "[::1]:8081");
    }

    #[test]
    fn an_invalid_address_is_named_with_its_origin() {
        for text in ["localhost", "", "ftp://a", "a:0", "a:b", "unix:", "a b:1"] {
            assert!(AdminTarget::parse(text).is_err(), "{text}");
        }
        assert!(AdminTarget::select(Some("x"), None).unwrap_err().starts_with("--admin x: expected"));
        assert!(AdminTarget::select(None, Some("x")).unwrap_err().starts_with("MARGAY_ADMIN=x: expected"));
        assert_eq!(AdminTarget::select(None, Some(" ")).unwrap().host, DEFAULT_ADMIN);
    }
}
