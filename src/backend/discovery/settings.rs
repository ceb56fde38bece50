//! Settings that providers with a server share.

use crate::{
    base::{secret::Secret, url::HttpUrl},
    net::tls::trust::TrustAnchors,
};

/// The server of a registry, and how to connect to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    pub tls: bool,
    /// Without brackets.
    pub host: String,
    /// 0: the default port of the provider.
    pub port: u16,
    pub token: Option<Secret>,
    /// The trusted certificate authorities, with TLS.
    pub trust: TrustAnchors,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            tls: false,
            host: "localhost".into(),
            port: 0,
            token: None,
            trust: TrustAnchors::System,
        }
    }
}

impl ServerSettings {
    /// The URL of the server with a path.
    pub fn url(&self, default_port: u16, path: &str) -> HttpUrl {
        HttpUrl {
            tls: self.tls,
            host: self.host.clone(),
            port: self.port_or(default_port),
            target: path.to_owned(),
        }
    }

    /// The address of the server for logs and metrics; never contains a secret.
    pub fn address(&self, default_port: u16) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", self.port_or(default_port))
    }

    fn port_or(&self, default_port: u16) -> u16 {
        if self.port == 0 { default_port } else { self.port }
    }
}
