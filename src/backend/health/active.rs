//! Active health checks: one probe of an endpoint, over TCP, HTTP or UDP.

use super::config::{ActiveCheck, ProbeKind};
use crate::{
    backend::endpoint::{Endpoint, TlsMode},
    base::url::HttpUrl,
    net::{
        backend_datagram,
        connect::ConnectAddr,
        datagram::MAX_DATAGRAM_BYTES,
        http_client::{Client, ConnectOptions, PeerAddr, Request, RequestLimits, tcp_probe},
        resolver::ResolvedName,
    },
};
use memchr::memmem;
use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Bytes of a response body that are read.
const MAX_BODY_BYTES: usize = 64 << 10;

impl ActiveCheck {
    /// Probes once; the error is the reason of a failure.
    pub async fn check(
        &self,
        endpoint: &Endpoint,
        tls_mode: &TlsMode,
        client: &Client,
    ) -> Result<(), String> {
        let tls = matches!(tls_mode, TlsMode::Always(_));
        match &endpoint.primary.transport.addr {
            ConnectAddr::Unix(path) => {
                let host = ("localhost", if tls { 443 } else { 80 });
                self.check_address(PeerAddr::Unix(path), endpoint, host, tls, client).await
            }
            ConnectAddr::Agent(agent) => {
                let host = ("localhost", if tls { 443 } else { 80 });
                self.check_address(PeerAddr::Agent(agent), endpoint, host, tls, client).await
            }
            ConnectAddr::Tcp { name, preferred } => {
                self.check_any_address(name, preferred, endpoint, tls, client).await
            }
        }
    }

    /// Probes the address that requests use, then the other addresses until one responds.
    async fn check_any_address(
        &self,
        name: &ResolvedName,
        preferred: &AtomicUsize,
        endpoint: &Endpoint,
        tls: bool,
        client: &Client,
    ) -> Result<(), String> {
        let port = self
            .port
            .or(endpoint.port)
            .ok_or("the endpoint has no port; set the port of the health check")?;
        let resolved = name.addresses(Instant::now() + self.timeout).await;
        let addresses =
            resolved.map_err(|reason| format!("the name {} could not be resolved: {reason}", name.text()))?;
        let (preferred, mut last_error) = (preferred.load(Relaxed), String::new());
        for at in 0..addresses.len() {
            let peer = PeerAddr::Tcp((addresses[(preferred + at) % addresses.len()], port).into());
            match self.check_address(peer, endpoint, (name.text(), port), tls, client).await {
                Ok(()) => return Ok(()),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    async fn check_address(
        &self,
        peer: PeerAddr<'_>,
        endpoint: &Endpoint,
        (host, port): (&str, u16),
        tls: bool,
        client: &Client,
    ) -> Result<(), String> {
        if let (ProbeKind::Udp { datagram, body }, PeerAddr::Tcp(address)) = (&self.kind, peer) {
            return udp_probe(address, datagram, body.as_deref(), self.timeout).await;
        }
        let connect = ConnectOptions { peer, proxy_protocol: endpoint.primary.transport.proxy_protocol };
        match &self.kind {
            // A Unix domain socket has no datagrams.
            ProbeKind::Tcp | ProbeKind::Udp { .. } => tcp_probe(connect, self.timeout).await,
            ProbeKind::Http { target, statuses, body } => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let url = HttpUrl { tls, host, port, target: target.clone() };
                let limits = RequestLimits { timeout: self.timeout, max_body: MAX_BODY_BYTES };
                let response = client.send(&Request::get(&url).with_address(connect), limits).await?;
                if !statuses.contains(response.status()) {
                    return Err(format!("{url}: unexpected status {}", response.status()));
                }
                match body.as_ref().filter(|body| memmem::find(&response.body, body.as_bytes()).is_none()) {
                    Some(body) => Err(format!("{url}: the response does not contain \"{body}\"")),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Sends a datagram; the error is the reason why there was no expected response.
async fn udp_probe(
    address: SocketAddr,
    bytes: &[u8],
    expected: Option<&str>,
    timeout: Duration,
) -> Result<(), String> {
    let exchange = async {
        let socket = backend_datagram::connect(address)?;
        socket.send(bytes).await?;
        let mut response = vec![0; MAX_DATAGRAM_BYTES];
        let length = socket.recv(&mut response).await?;
        response.truncate(length);
        Ok::<_, io::Error>(response)
    };
    let response = match tokio::time::timeout(timeout, exchange).await {
        Ok(response) => response.map_err(|error| format!("udp {address}: {error}"))?,
        Err(_) => return Err(format!("udp {address}: no response within {timeout:?}")),
    };
    match expected.filter(|text| memmem::find(&response, text.as_bytes()).is_none()) {
        Some(text) => Err(format!("udp {address}: the response does not contain \"{text}\"")),
        None => Ok(()),
    }
}
