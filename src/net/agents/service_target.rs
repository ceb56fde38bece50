//! The targets of an agent's services: what the agent connects to, and nothing else.

use super::{names::is_service_name, socket::LocalSocket};
use std::{fmt, io, path::PathBuf};
use tokio::net::{TcpStream, UnixStream};

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAddress {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A service that an agent offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTarget {
    pub name: String,
    pub address: TargetAddress,
    /// The service speaks HTTP, which the agent announces.
    pub is_http: bool,
}

impl ServiceTarget {
    /// Parses `NAME=TARGET`, with a target `host:port`, `http://host:port` or `unix:/path`.
    pub fn parse(text: &str) -> Result<ServiceTarget, String> {
        let help = "expected NAME=TARGET, such as ssh=127.0.0.1:22, web=http://127.0.0.1:8080 or db=unix:/run/db.sock";
        let (name, target) = text.split_once('=').ok_or(help)?;
        if !is_service_name(name) {
            return Err(format!("invalid service name \"{name}\": must be 1 to 64 letters, digits and -_."));
        }
        let (target, is_http) = match target.strip_prefix("http://") {
            Some(rest) => (rest.trim_end_matches('/'), true),
            None => (target, false),
        };
        let address = match target.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => TargetAddress::Unix(path.into()),
            Some(_) => return Err(format!("invalid target \"{target}\": the path must be absolute")),
            None => tcp(target, is_http).ok_or_else(|| format!("invalid target \"{target}\": {help}"))?,
        };
        Ok(ServiceTarget { name: name.to_owned(), address, is_http })
    }

    /// Connects to the target.
    pub async fn connect(&self) -> io::Result<LocalSocket> {
        match &self.address {
            TargetAddress::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(LocalSocket::Tcp(stream))
            }
            TargetAddress::Unix(path) => UnixStream::connect(path).await.map(LocalSocket::Unix),
        }
    }

    /// The service as the agent announces it.
    pub fn offer(&self) -> String {
        format!("{}{}", self.name, if self.is_http { ";protocol=http" } else { "" })
    }
}

fn tcp(text: &str, is_http: bool) -> Option<TargetAddress> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ if is_http => (text, 80),
        _ => return None,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && port > 0).then(|| TargetAddress::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for ServiceTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.address {
            TargetAddress::Tcp { host, port } => write!(f, "{} = {host}:{port}", self.name),
            TargetAddress::Unix(path) => write!(f, "{} = unix:{}", self.name, path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_urls_and_sockets() {
        let parse =
            |text: &str| ServiceTarget::parse(text).map(|target| (target.to_string(), target.offer()));
        assert_eq!(parse("ssh=127.0.0.1:22"), Ok(("ssh = 127.0.0.1:22".into(), "ssh".into())));
        assert_eq!(
            parse("web=http://[::1]:8080/"),
            Ok(("web = ::1:8080".into(), "web;protocol=http".into()))
        );
        assert_eq!(parse("db=unix:/run/db"), Ok(("db = unix:/run/db".into(), "db".into())));
        assert_eq!(parse("web=http://localhost").map(|t| t.0), Ok("web = localhost:80".into()));
        for text in ["ssh", "ssh=22", "ssh=host:0", "a b=h:1", "db=unix:run/db", "ssh=h:99999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
