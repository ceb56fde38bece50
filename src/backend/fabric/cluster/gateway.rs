//! The HTTP gateway of a cluster: GET requests to the endpoint that responded last, then to the others.

use super::answers::{error_code, resolve_error};
use crate::{
    backend::fabric::error::ResolveError,
    base::{percent::percent_encoded, secret::Secret, url::HttpUrl},
    net::{
        http_client::{Client, Request, RequestLimits},
        tls::client::ClientTls,
    },
};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Maximum size of a response.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// How a cluster is called; equal settings share what is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterSettings {
    pub endpoints: Vec<HttpUrl>,
    pub api_version: String,
    pub tls: ClientTls,
    pub token: Option<Secret>,
    /// How often the names of services are read.
    pub refresh_interval: Duration,
    /// The timeout of one look-up.
    pub resolve_timeout: Duration,
    /// The age after which a partition in use is looked up again.
    pub max_age: Duration,
    /// How long what is known is used while the cluster does not respond.
    pub stale_if_error: Duration,
}

/// The client of a cluster.
#[derive(Debug)]
pub(super) struct ClusterGateway {
    settings: ClusterSettings,
    authorization: Option<Secret>,
    client: Client,
    /// The endpoint that responded last.
    preferred: AtomicUsize,
    is_up: AtomicBool,
}

impl ClusterGateway {
    /// The client of a cluster.
    pub fn new(settings: ClusterSettings) -> ClusterGateway {
        ClusterGateway {
            authorization: settings
                .token
                .as_ref()
                .map(|token| Secret::new(format!("Bearer {}", token.reveal()))),
            client: Client::with_tls(settings.tls.clone()),
            settings,
            preferred: AtomicUsize::new(0),
            is_up: AtomicBool::new(true),
        }
    }

    /// Whether the last request was responded to.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Gets a path, which contains a query already or ends in `?`; returns the body of a 200.
    pub async fn get(&self, path_and_query: &str) -> Result<Vec<u8>, ResolveError> {
        let deadline = Instant::now() + self.settings.resolve_timeout;
        let (count, first) = (self.settings.endpoints.len(), self.preferred.load(Relaxed));
        let path = format!("{path_and_query}api-version={}", percent_encoded(&self.settings.api_version));
        for turn in 0..count {
            let at = (first + turn) % count;
            let left = deadline.saturating_duration_since(Instant::now());
            // The others get their part of the time.
            let timeout = left / u32::try_from(count - turn).unwrap_or(1).max(1);
            match self.get_from(&self.settings.endpoints[at].join_path(&path), timeout).await {
                Ok(result) => {
                    self.preferred.store(at, Relaxed);
                    self.report_up(true, "");
                    return result;
                }
                Err(error) if turn + 1 == count => self.report_up(false, &error),
                Err(error) => log::debug!("{error}; the next endpoint of the cluster is used"),
            }
        }
        Err(ResolveError::Unreachable)
    }

    /// The response of one endpoint; the error is that another endpoint may respond.
    async fn get_from(
        &self,
        url: &HttpUrl,
        timeout: Duration,
    ) -> Result<Result<Vec<u8>, ResolveError>, String> {
        let request = match &self.authorization {
            Some(value) => Request::get(url).header("Authorization", value.reveal()),
            None => Request::get(url),
        };
        let response =
            self.client.send(&request, RequestLimits { timeout, max_body: MAX_RESPONSE_BYTES }).await?;
        let status = response.status();
        if status == 200 {
            return Ok(Ok(response.body));
        }
        if matches!(status, 401 | 403) {
            log::error!("{url}: status {status}: the cluster refuses the client certificate or the Token");
        }
        match resolve_error(status, error_code(&response.body).as_deref()) {
            Some(error) => Ok(Err(error)),
            None => Err(format!("{url}: unexpected status {status}")),
        }
    }

    fn report_up(&self, is_up: bool, error: &str) {
        if self.is_up.swap(is_up, Relaxed) == is_up {
            return;
        }
        match is_up {
            true => log::info!("the cluster responds again"),
            false => log::warn!("the cluster does not respond: {error}"),
        }
    }
}
