//! Eureka: the whole registry once, then deltas, shared by all watched services. The gateway does not register itself.
//!
//! Source: Netflix, "Eureka REST operations" and "Understanding eureka client server communication". Entry point:
//! [`Eureka::watch`](Provider). The provider owns the copy of the registry; it is dropped with the last watch.

pub mod apps;

use super::{
    provider::{Provider, Service},
    service_state::InstanceSink,
    settings::ServerSettings,
};
use crate::{
    backend::endpoint::Instance,
    base::{secret::Secret, url::HttpUrl},
    net::http_client::{Client, Request, RequestLimits},
};
use apps::Applications;
use async_trait::async_trait;
use std::{collections::HashSet, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// Eureka's default port.
const DEFAULT_PORT: u16 = 8761;
/// The default path of the REST API.
const DEFAULT_PATH: &str = "/eureka";
const REQUEST_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(10), max_body: 64 << 20 };
/// The default interval of queries.
const INTERVAL: Duration = Duration::from_secs(10);

/// The settings of a Eureka server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EurekaSettings {
    pub server: ServerSettings,
    /// Overrides the interval of queries.
    pub interval: Option<Duration>,
    /// The path of the REST API, such as `/eureka`; empty: the default one.
    pub path: String,
}

/// Discovers services in a Eureka server.
#[derive(Debug)]
pub struct Eureka {
    label: String,
    base_url: HttpUrl,
    token: Option<Secret>,
    client: Client,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: fetch the whole registry.
    applications: Option<Applications>,
    refreshed_at: Option<Instant>,
    /// The server does not serve deltas.
    delta_unsupported: bool,
}

impl Eureka {
    /// Without settings the path is `/eureka` and the poll interval 10 s; the first poll opens the connection.
    pub fn new(settings: &EurekaSettings) -> Eureka {
        let path = if settings.path.is_empty() { DEFAULT_PATH } else { &settings.path };
        Eureka {
            label: format!("Eureka {}", settings.server.address(DEFAULT_PORT)),
            base_url: settings.server.url(DEFAULT_PORT, &format!("/{}", path.trim_matches('/'))),
            token: settings.server.token.clone(),
            client: Client::new(settings.server.trust.clone()),
            interval: settings.interval.unwrap_or(INTERVAL),
            state: Mutex::default(),
        }
    }

    /// The instances of a service, from a copy of the registry that is no older than the interval.
    async fn instances(&self, service: &Service) -> Result<Vec<Instance>, String> {
        let mut state = self.state.lock().await;
        self.refresh_if_due(&mut state).await?;
        let secure = matches!(&*service.scheme, "https" | "wss");
        let applications = state.applications.as_ref();
        Ok(applications.map(|applications| applications.instances(&service.name, secure)).unwrap_or_default())
    }

    async fn refresh_if_due(&self, state: &mut State) -> Result<(), String> {
        if state.refreshed_at.is_none_or(|at| at.elapsed() >= self.interval) {
            self.refresh(state).await?;
            state.refreshed_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Fetches the delta, or the whole registry if the delta does not apply. Canceled half-way, the next refresh fetches
    /// the whole registry.
    async fn refresh(&self, state: &mut State) -> Result<(), String> {
        if let Some(applications) = state.applications.take().filter(|_| !state.delta_unsupported) {
            match self.get("apps/delta").await {
                Ok(Some(delta)) => state.applications = self.apply_delta(applications, &delta)?,
                Ok(None) => state.delta_unsupported = true,
                Err(error) => {
                    state.applications = Some(applications);
                    return Err(error);
                }
            }
        }
        if state.applications.is_none() {
            let body = self.get("apps").await?.unwrap_or_default();
            let applications = Applications::parse_full(&body);
            state.applications = Some(applications.map_err(|error| format!("{}: {error}", self.base_url))?);
        }
        Ok(())
    }

    /// The registry with a delta applied; `None` if the result differs from the server's registry.
    fn apply_delta(
        &self,
        mut applications: Applications,
        delta: &[u8],
    ) -> Result<Option<Applications>, String> {
        let matches =
            applications.apply_delta(delta).map_err(|error| format!("{}/delta: {error}", self.base_url))?;
        if !matches {
            log::info!("{}: apps__hashcode mismatch after a delta; fetching the whole registry", self.label);
        }
        Ok(matches.then_some(applications))
    }

    /// The body of a response; `None` if the server does not serve deltas.
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let url = self.base_url.join_path(path);
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        let mut request = Request::get(&url).header("Accept", "application/json");
        if let Some(bearer) = &bearer {
            request = request.header("Authorization", bearer);
        }
        let response = self.client.send(&request, REQUEST_LIMITS).await?;
        match response.status() {
            200 => Ok(Some(response.body)),
            // A server with disabled deltas responds with 403.
            403 | 404 if path.ends_with("delta") => Ok(None),
            status => Err(format!("{url}: unexpected status {status}")),
        }
    }
}

#[async_trait]
impl Provider for Eureka {
    fn label(&self) -> &str {
        &self.label
    }

    async fn service_names(&self) -> Result<Option<HashSet<String>>, String> {
        let mut state = self.state.lock().await;
        self.refresh_if_due(&mut state).await?;
        Ok(state.applications.as_ref().map(Applications::service_names))
    }

    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String {
        loop {
            match self.instances(service).await {
                Ok(instances) => sink.publish(instances),
                Err(error) => return error,
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

#[cfg(test)]
mod tests;
