//! The settings of the connection to Redis, as the blueprint has them.

use crate::{base::secret::Secret, net::tls::client::ClientTls};
use std::{fmt, path::PathBuf, time::Duration};

/// How the servers are organized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SharedStateMode {
    /// One server.
    #[default]
    Single,
    /// A primary that Sentinel selects.
    Sentinel,
    /// Redis Cluster.
    Cluster,
}

impl SharedStateMode {
    /// The value of `SharedState.Mode`.
    pub fn name(self) -> &'static str {
        match self {
            SharedStateMode::Single => "single",
            SharedStateMode::Sentinel => "sentinel",
            SharedStateMode::Cluster => "cluster",
        }
    }
}

/// What features do while Redis does not reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Each gateway decides by its own state.
    #[default]
    Local,
    /// Requests that need the shared state are rejected.
    Refuse,
}

impl OnFailure {
    /// The value of `SharedState.OnFailure`.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Local => "Local",
            OnFailure::Refuse => "Refuse",
        }
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ServerAddress::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            ServerAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            ServerAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A user and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    pub user: Option<String>,
    pub password: Option<Secret>,
}

/// `SharedState`, checked and resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedStateConfig {
    pub mode: SharedStateMode,
    /// The server, the Sentinels, or some nodes of the cluster.
    pub servers: Vec<ServerAddress>,
    /// `None`: without TLS.
    pub tls: Option<ClientTls>,
    pub credentials: Credentials,
    /// The name of the primary in Sentinel, and the credentials of the Sentinels.
    pub primary: String,
    pub sentinel_credentials: Credentials,
    pub database: u32,
    /// The first part of every key and channel.
    pub prefix: String,
    /// How long a request waits for a reply.
    pub timeout: Duration,
    /// Connections to each server.
    pub connections: usize,
    pub on_failure: OnFailure,
}

impl SharedStateConfig {
    /// The servers as `explain` and the status page show them.
    pub fn servers_text(&self) -> String {
        self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
impl SharedStateConfig {
    /// One server on a port of this machine.
    pub fn local(port: u16) -> SharedStateConfig {
        SharedStateConfig {
            mode: SharedStateMode::Single,
            servers: vec![ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port }],
            tls: None,
            credentials: Credentials::default(),
            primary: String::new(),
            sentinel_credentials: Credentials::default(),
            database: 0,
            prefix: "test".to_owned(),
            timeout: Duration::from_millis(500),
            connections: 1,
            on_failure: OnFailure::Local,
        }
    }
}
