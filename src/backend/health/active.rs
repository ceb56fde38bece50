//! Probes: asking an endpoint whether it is well.

use crate::{
    backend::endpoint::{Endpoint, TlsMode},
    base::{status_set::StatusSet, url::HttpUrl},
    net::{
        connect::ConnectAddr,
        http_client::{Client, ConnectOptions, PeerAddr, Request, RequestLimits, tcp_probe},
        resolver::ResolvedName,
    },
};
use memchr::memmem;
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Bytes of an answer that are read.
const MAX_BODY: usize = 64 << 10;

/// How endpoints are probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActiveCheck {
    pub kind: ProbeKind,
    /// Instead of that of the endpoint.
    pub port: Option<u16>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Up to so many percent of the interval a probe is late, so that not all come at one time.
    pub jitter: u32,
    /// Good probes in a row after which an endpoint is used again.
    pub healthy_threshold: u32,
    /// Bad probes in a row after which it is used no more.
    pub unhealthy_threshold: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Whether a connection is accepted.
    Tcp,
    /// Whether a GET is answered as expected.
    Http { target: String, statuses: StatusSet, body: Option<Box<str>> },
}

impl ActiveCheck {
    /// Asks once; an error says what was wrong.
    pub async fn check(&self, endpoint: &Endpoint, speech: &TlsMode, client: &Client) -> Result<(), String> {
        let tls = matches!(speech, TlsMode::Always(_));
        match &endpoint.transport_for.transport.dial {
            ConnectAddr::Unix(place) => {
                let host = ("localhost", if tls { 443 } else { 80 });
                self.check_address(PeerAddr::Unix(place), endpoint, host, tls, client).await
            }
            ConnectAddr::Tcp { name, preferred } => {
                self.check_any_address(name, preferred, endpoint, tls, client).await
            }
        }
    }

    /// The address that answers clients is asked; the others, if it does not.
    async fn check_any_address(
        &self,
        name: &ResolvedName,
        preferred: &AtomicUsize,
        endpoint: &Endpoint,
        tls: bool,
        client: &Client,
    ) -> Result<(), String> {
        let port = self.port.or(endpoint.port).ok_or("it has no port of its own to be probed on")?;
        let known = name.addresses(Instant::now() + self.timeout).await;
        let known = known.filter(|addresses| !addresses.is_empty());
        let addresses = known.ok_or_else(|| format!("the name {} was not resolved", name.text()))?;
        let (preferred, mut last) = (preferred.load(Relaxed), String::new());
        for at in 0..addresses.len() {
            let spot = PeerAddr::Tcp((addresses[(preferred + at) % addresses.len()], port).into());
            match self.check_address(spot, endpoint, (name.text(), port), tls, client).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn check_address(
        &self,
        spot: PeerAddr<'_>,
        endpoint: &Endpoint,
        (host, port): (&str, u16),
        tls: bool,
        client: &Client,
    ) -> Result<(), String> {
        let call =
            ConnectOptions { peer: spot, proxy_protocol: endpoint.transport_for.transport.proxy_protocol };
        match &self.kind {
            ProbeKind::Tcp => tcp_probe(call, self.timeout).await,
            ProbeKind::Http { target, statuses, body } => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let url = HttpUrl { tls, host, port, target: target.clone() };
                let bounds = RequestLimits { timeout: self.timeout, max_body: MAX_BODY };
                let reply = client.send(&Request::get(&url).with_address(call), bounds).await?;
                if !statuses.contains(reply.status()) {
                    return Err(format!("{url}: the answer is {}", reply.status()));
                }
                match body.as_ref().filter(|body| memmem::find(&reply.body, body.as_bytes()).is_none()) {
                    Some(body) => Err(format!("{url}: the answer does not hold \"{body}\"")),
                    None => Ok(()),
                }
            }
        }
    }
}
