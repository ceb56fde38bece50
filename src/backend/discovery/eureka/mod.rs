//! Eureka: the whole registry once, then what changed, shared by all services that are followed in it. The gateway does
//! not register itself.
//!
//! Source: Netflix, "Eureka REST operations" and "Understanding eureka client server communication".

mod apps;

use super::{InstanceSink, Provider, ProviderSettings, Service};
use crate::{
    backend::endpoint::Instance,
    base::{secret::Secret, url::HttpUrl},
    net::http_client::{Client, Request, RequestLimits},
};
use apps::Registry;
use async_trait::async_trait;
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// Eureka's usual port, and where its interface begins.
const PORT: u16 = 8761;
const PATH: &str = "/eureka";
/// What one question may cost.
const REQUEST_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(10), max_body: 64 << 20 };
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// A Eureka server.
#[derive(Debug)]
pub struct Eureka {
    label: String,
    root: HttpUrl,
    token: Option<Secret>,
    client: Client,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None: read everything.
    registry: Option<Registry>,
    refreshed_at: Option<Instant>,
    /// The server does not tell changes alone.
    delta_unsupported: bool,
}

impl Eureka {
    pub fn new(settings: &ProviderSettings) -> Eureka {
        let port = if settings.port == 0 { PORT } else { settings.port };
        let path = if settings.path.is_empty() { PATH } else { &settings.path };
        let target = format!("/{}", path.trim_matches('/'));
        Eureka {
            label: format!("Eureka {}", settings.address(PORT)),
            root: HttpUrl { tls: settings.tls, host: settings.host.clone(), port, target },
            token: settings.token.clone(),
            client: Client::new(settings.trust.clone()),
            interval: settings.interval.unwrap_or(INTERVAL),
            state: Mutex::default(),
        }
    }

    /// The instances of a service, from a look that is no older than the interval.
    async fn instances(&self, service: &Service) -> Result<Vec<Instance>, String> {
        let mut state = self.state.lock().await;
        if state.refreshed_at.is_none_or(|looked| looked.elapsed() >= self.interval) {
            self.refresh(&mut state).await?;
            state.refreshed_at = Some(Instant::now());
        }
        let secure = matches!(&*service.scheme, "https" | "wss");
        Ok(state
            .registry
            .as_ref()
            .map(|registry| registry.instances(&service.name, secure))
            .unwrap_or_default())
    }

    /// Reads what changed, or everything where that does not add up. Given up half-way, the next look reads everything.
    async fn refresh(&self, state: &mut State) -> Result<(), String> {
        if let Some(registry) = state.registry.take().filter(|_| !state.delta_unsupported) {
            match self.get("apps/delta").await {
                Ok(Some(changes)) => state.registry = self.fetch_delta(registry, &changes)?,
                Ok(None) => state.delta_unsupported = true,
                Err(trouble) => {
                    state.registry = Some(registry);
                    return Err(trouble);
                }
            }
        }
        if state.registry.is_none() {
            let body = self.get("apps").await?.unwrap_or_default();
            state.registry =
                Some(Registry::parse_full(&body).map_err(|error| format!("{}: {error}", self.root))?);
        }
        Ok(())
    }

    /// The registry with its changes; none if it is then not the server's.
    fn fetch_delta(&self, mut registry: Registry, changes: &[u8]) -> Result<Option<Registry>, String> {
        let same = registry.apply_delta(changes).map_err(|error| format!("{}/delta: {error}", self.root))?;
        if !same {
            log::info!("{}: the changes do not add up, so the whole registry is read again", self.label);
        }
        Ok(same.then_some(registry))
    }

    /// The answer; none where the server has no such thing.
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let url = self.root.join_path(path);
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        let mut request = Request::get(&url).header("Accept", "application/json");
        if let Some(bearer) = &bearer {
            request = request.header("Authorization", bearer);
        }
        let reply = self.client.send(&request, REQUEST_LIMITS).await?;
        match reply.status() {
            200 => Ok(Some(reply.body)),
            // A server whose deltas are switched off says 403.
            403 | 404 if path.ends_with("delta") => Ok(None),
            status => Err(format!("{url}: the answer is {status}")),
        }
    }
}

#[async_trait]
impl Provider for Eureka {
    fn label(&self) -> &str {
        &self.label
    }

    async fn watch(&self, service: &Service, told: &InstanceSink) -> String {
        loop {
            match self.instances(service).await {
                Ok(instances) => told.publish(instances),
                Err(trouble) => return trouble,
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

#[cfg(test)]
mod tests;
