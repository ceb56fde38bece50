//! Connects to a gateway, as agents and connectors do: TCP, a proxy, TLS.

use super::http_upgrade::{UpgradeError, UpgradeRequest, upgrade};
use crate::{base::url::HttpUrl, net::tls::client::ClientTls, pipeline::upgrade::UpgradedIo};
use base64::{Engine, engine::general_purpose::STANDARD};
use socket2::{SockRef, TcpKeepalive};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::rustls::pki_types::ServerName;

/// Time for everything up to the answer of the gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Unacknowledged bytes for this long end the connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Bytes in the socket that are not sent yet: what a small stream waits for behind a large one.
const MAX_UNSENT_BYTES: u32 = 128 * 1024;
/// Longest answer of a proxy.
const MAX_PROXY_HEAD: usize = 8 * 1024;

/// An HTTP proxy that connections go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    pub host: String,
    pub port: u16,
    /// `user:password` in Base64.
    pub credentials: Option<String>,
}

/// How a gateway is reached.
#[derive(Clone, Debug)]
pub struct GatewayDialer {
    pub url: HttpUrl,
    pub tls: ClientTls,
    pub proxy: Option<ProxyUrl>,
}

impl ProxyUrl {
    /// Parses `http://[user:password@]host:port`.
    pub fn parse(text: &str) -> Option<ProxyUrl> {
        let rest = text.trim().strip_prefix("http://")?.trim_end_matches('/');
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(STANDARD.encode(credentials)), address),
            None => (None, rest),
        };
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(ProxyUrl { host, port: port.parse().ok()?, credentials })
    }
}

impl GatewayDialer {
    /// Connects and requests the upgrade.
    pub async fn connect(&self, request: &UpgradeRequest<'_>) -> Result<Box<dyn UpgradedIo>, UpgradeError> {
        let connect = async { upgrade(self.open().await?, request).await };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    async fn open(&self) -> io::Result<Box<dyn UpgradedIo>> {
        let stream = match &self.proxy {
            Some(proxy) => self.open_through(proxy).await?,
            None => TcpStream::connect((self.url.host.as_str(), self.url.port)).await?,
        };
        prepare(&stream);
        if !self.url.tls {
            return Ok(Box::new(stream));
        }
        let connector = self.tls.connector().map_err(io::Error::other)?;
        let name = ServerName::try_from(self.url.host.clone())
            .map_err(|_| io::Error::other(format!("\"{}\" is not a server name", self.url.host)))?;
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    async fn open_through(&self, proxy: &ProxyUrl) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
        let target = format!("{}:{}", self.url.host, self.url.port);
        let credentials = proxy.credentials.as_ref();
        let credentials = credentials.map(|text| format!("Proxy-Authorization: Basic {text}\r\n"));
        let head =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", credentials.unwrap_or_default());
        stream.write_all(head.as_bytes()).await?;
        // Byte by byte: what follows the head belongs to the gateway.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() > MAX_PROXY_HEAD {
                return Err(io::Error::other("the answer of the proxy is too long"));
            }
            answer.push(stream.read_u8().await?);
        }
        let status = std::str::from_utf8(&answer).unwrap_or_default().split(' ').nth(1).unwrap_or_default();
        match status.starts_with('2') {
            true => Ok(stream),
            false => Err(io::Error::other(format!("the proxy answered the CONNECT with {status}"))),
        }
    }
}

/// The options of the socket: small buffers of unsent bytes, because a stream must not wait for the bytes of others.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = stream.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE));
    let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_parsed() {
        let proxy = ProxyUrl::parse("http://user:pass@proxy:3128/").unwrap();
        assert_eq!(
            (&*proxy.host, proxy.port, proxy.credentials.as_deref()),
            ("proxy", 3128, Some("dXNlcjpwYXNz"))
        );
        assert_eq!(ProxyUrl::parse("https://proxy:1"), None);
    }
}
