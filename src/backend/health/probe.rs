//! Probes: asking an endpoint whether it is well.

use crate::{
    backend::endpoint::{Endpoint, Speech},
    base::{statuses::Statuses, url::HttpUrl},
    wire::{
        dial::Dial,
        names::Name,
        outbound::{Bounds, Call, Client, Request, Spot, knock},
    },
};
use memchr::memmem;
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Bytes of an answer that are read.
const MOST: usize = 64 << 10;

/// How endpoints are probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probing {
    pub kind: ProbeKind,
    /// Instead of that of the endpoint.
    pub port: Option<u16>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Up to so many percent of the interval a probe is late, so that not all come at one time.
    pub jitter: u32,
    /// Good probes in a row after which an endpoint is used again.
    pub healthy: u32,
    /// Bad probes in a row after which it is used no more.
    pub unhealthy: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Whether a connection is accepted.
    Tcp,
    /// Whether a GET is answered as expected.
    Http { target: String, statuses: Statuses, body: Option<Box<str>> },
}

impl Probing {
    /// Asks once; an error says what was wrong.
    pub async fn ask(&self, endpoint: &Endpoint, speech: &Speech, client: &Client) -> Result<(), String> {
        let tls = matches!(speech, Speech::Secure(_));
        match &endpoint.way.transport.dial {
            Dial::Unix(place) => {
                let host = ("localhost", if tls { 443 } else { 80 });
                self.ask_at(Spot::Unix(place), endpoint, host, tls, client).await
            }
            Dial::Tcp { name, preferred } => self.ask_any(name, preferred, endpoint, tls, client).await,
        }
    }

    /// The address that answers clients is asked; the others, if it does not.
    async fn ask_any(
        &self,
        name: &Name,
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
            let spot = Spot::At((addresses[(preferred + at) % addresses.len()], port).into());
            match self.ask_at(spot, endpoint, (name.text(), port), tls, client).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_at(
        &self,
        spot: Spot<'_>,
        endpoint: &Endpoint,
        (host, port): (&str, u16),
        tls: bool,
        client: &Client,
    ) -> Result<(), String> {
        let call = Call { spot, local: endpoint.way.transport.announces };
        match &self.kind {
            ProbeKind::Tcp => knock(call, self.timeout).await,
            ProbeKind::Http { target, statuses, body } => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let url = HttpUrl { tls, host, port, target: target.clone() };
                let bounds = Bounds { time: self.timeout, size: MOST };
                let reply = client.send(&Request::get(&url).at(call), bounds).await?;
                if !statuses.has(reply.status()) {
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
