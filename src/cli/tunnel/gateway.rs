//! One attempt to connect to a gateway, with the transports that are allowed, and the reason of a failure for the operator.

use super::arguments::{GatewayOptions, Transport};
use crate::base::url::HttpUrl;
use crate::net::{
    agents::{
        dial::{GatewayDialer, ProxyUrl},
        http_upgrade::{UpgradeError, UpgradeRequest},
    },
    tls::{certificate::CertifiedKeyPem, client::ClientTls, trust::TrustAnchors},
};
use crate::pipeline::upgrade::UpgradedIo;
use std::{net::IpAddr, path::Path, sync::Arc};

/// A gateway and how it is reached.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    pub url: String,
    dialer: GatewayDialer,
    transport: Transport,
}

/// Why an attempt failed.
#[derive(Debug)]
pub enum AttemptError {
    /// The gateway refused; trying again soon does not help.
    Refused(String),
    /// The gateway is not reachable, or has no room.
    Failed(String),
}

/// The upgrade of an agent or a connector.
#[derive(Clone, Copy, Debug)]
pub struct TunnelProtocol {
    pub protocol: &'static str,
    pub subprotocol: &'static str,
}

impl GatewayClient {
    /// The gateway of a URL. The error is a usage error.
    pub fn new(url: &str, options: &GatewayOptions) -> Result<GatewayClient, String> {
        let parsed = HttpUrl::parse(url)
            .map_err(|_| format!("invalid gateway \"{url}\": must be https://host[:port]/path"))?;
        if !parsed.tls && !is_local(&parsed.host) && !options.plain {
            return Err(format!("{url} has no TLS: use https://, or --plain on a trusted network"));
        }
        let proxy = match proxy_of(options, &parsed.host) {
            Some(text) => Some(
                ProxyUrl::parse(&text)
                    .ok_or("invalid proxy: must be http://[user:password@]host:port".to_owned())?,
            ),
            None => None,
        };
        let dialer = GatewayDialer { url: parsed, tls: tls(options)?, proxy };
        Ok(GatewayClient { url: url.to_owned(), dialer, transport: options.transport })
    }

    /// Whether bytes are sent without TLS to another machine.
    pub fn is_exposed(&self) -> bool {
        !self.dialer.url.tls && !is_local(&self.dialer.url.host)
    }

    /// Connects and requests the upgrade.
    pub async fn connect(
        &self,
        protocol: TunnelProtocol,
        fields: Vec<(&'static str, String)>,
    ) -> Result<Box<dyn UpgradedIo>, AttemptError> {
        let host = self.dialer.url.authority();
        let request = |is_websocket| UpgradeRequest {
            path: &self.dialer.url.target,
            host: &host,
            protocol: protocol.protocol,
            subprotocol: protocol.subprotocol,
            is_websocket,
            fields: fields.clone(),
        };
        let first = self.dialer.connect(&request(self.transport == Transport::Websocket)).await;
        // An answer that is no problem of a gateway may come from something that does not pass the upgrade.
        let is_foreign = matches!(&first, Err(UpgradeError::Refused { code: None, .. }));
        let result = match first {
            Err(_) if is_foreign && self.transport == Transport::Auto => {
                self.dialer.connect(&request(true)).await
            }
            first => first,
        };
        result.map_err(|error| attempt_error(&error))
    }
}

fn attempt_error(error: &UpgradeError) -> AttemptError {
    match error {
        UpgradeError::Io(error) => AttemptError::Failed(error.to_string()),
        UpgradeError::Refused { status, code, detail } => {
            let code = code.as_deref().unwrap_or_default();
            let detail = detail.as_deref().unwrap_or("no reason was given");
            let text = format!("{status} {code}: {detail}{}", cure(*status, code));
            match status {
                401 | 403 | 404 => AttemptError::Refused(text),
                _ => AttemptError::Failed(text),
            }
        }
    }
}

/// What the operator can do about a refusal.
fn cure(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "identity.expired") => "; check the clock of this machine",
        (401, _) => "; check the id and the key against Tunnels of the gateway",
        (_, "agent.disabled") => "; set Enabled of the agent in the gateway",
        (_, "agent.unknown") => "; add the id to Tunnels.Agents of the gateway",
        (404, _) => "; check the path: the gateway needs a route with \"DownstreamService\": \"Agents\"",
        _ => "",
    }
}

/// Whether the host is this machine.
fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The proxy of the options, or of the environment.
fn proxy_of(options: &GatewayOptions, host: &str) -> Option<String> {
    if options.proxy.is_some() {
        return options.proxy.clone();
    }
    let variable = |name: &str| {
        [name.to_owned(), name.to_ascii_lowercase()].iter().find_map(|name| std::env::var(name).ok())
    };
    let excluded = variable("NO_PROXY").unwrap_or_default();
    let is_excluded = excluded.split(',').map(str::trim).any(|entry| {
        entry == "*"
            || !entry.is_empty()
                && (host == entry || host.ends_with(&format!(".{}", entry.trim_start_matches('.'))))
    });
    variable("HTTPS_PROXY").filter(|url| !url.is_empty() && !is_excluded && !is_local(host))
}

fn tls(options: &GatewayOptions) -> Result<ClientTls, String> {
    let read = |path: &Path| -> Result<Arc<[u8]>, String> {
        std::fs::read(path).map(Arc::from).map_err(|error| format!("{}: {error}", path.display()))
    };
    let trust = match &options.ca {
        Some(path) => TrustAnchors::Custom(read(path)?),
        None => TrustAnchors::System,
    };
    let client_certificate = match (&options.certificate, &options.certificate_key) {
        (Some(chain), Some(key)) => Some(CertifiedKeyPem { chain: read(chain)?, key: read(key)? }),
        _ => None,
    };
    Ok(ClientTls { trust, client_certificate, name: None })
}
