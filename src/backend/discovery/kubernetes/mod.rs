//! Kubernetes: Endpoints or EndpointSlices of a service, watched or polled.
//!
//! Source: Kubernetes' API reference (Endpoints, EndpointSlice) and "API Concepts: Efficient detection of changes".
//! Entry point: [`Kubernetes::watch`](Provider). Each watch owns the objects of its service; nothing outlives it except
//! the HTTP client of the API server.

mod credentials;
pub mod objects;
mod settings;

pub use settings::{KubernetesKind, KubernetesSettings};

use super::{
    provider::{Provider, Service},
    service_state::InstanceSink,
};
use crate::{
    base::{backoff::half_jitter, percent::percent_encoded, url::HttpUrl},
    net::http_client::{LineStream, Request, RequestLimits, Response},
};
use async_trait::async_trait;
use credentials::{CredentialSource, Credentials};
use objects::{Objects, Resource, WatchOutcome};
use std::time::{Duration, Instant};

/// The timeout of a response, and the maximum size of a response and of an event.
const REQUEST_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(10), max_body: 16 << 20 };
/// The default polling interval.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the server keeps a watch open.
const WATCH_TIMEOUT: Duration = Duration::from_secs(240);
/// How much longer the gateway waits for the end of a watch.
const WATCH_GRACE: Duration = Duration::from_secs(30);
/// A watch without a resource version reports the existing objects at once; after this time there are none.
const INITIAL_EVENT_TIMEOUT: Duration = Duration::from_secs(1);
/// The minimum interval of watches, for those that end at once.
const MIN_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// How changes are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpdateMode {
    Watch,
    /// Queries at intervals.
    Poll,
    /// Queries on request.
    OnDemand,
}

/// Discovers services in a Kubernetes cluster.
#[derive(Debug)]
pub struct Kubernetes {
    label: String,
    credentials: CredentialSource,
    resource: Resource,
    mode: UpdateMode,
    interval: Duration,
    /// Watches as Ocelot does: at the deprecated watch URL, without a list first.
    ocelot: bool,
}

impl Kubernetes {
    /// `Kube` watches, except under Ocelot compatibility; `PollKube` without an interval polls every second.
    pub fn new(settings: &KubernetesSettings) -> Kubernetes {
        let credentials = CredentialSource::new(settings);
        Kubernetes {
            label: format!("{} {}", settings.kind.name(), credentials.server()),
            credentials,
            resource: if settings.endpoint_slices { Resource::Slices } else { Resource::Endpoints },
            mode: match settings.kind {
                KubernetesKind::Kube if settings.ocelot => UpdateMode::OnDemand,
                KubernetesKind::Kube | KubernetesKind::Watch => UpdateMode::Watch,
                KubernetesKind::Poll => UpdateMode::Poll,
            },
            interval: settings.interval.unwrap_or(INTERVAL),
            ocelot: settings.ocelot && !settings.endpoint_slices,
        }
    }

    /// Fetches all objects of the service.
    async fn list(&self, service: &Service, objects: &mut Objects) -> Result<(), String> {
        let credentials = self.credentials.get()?;
        let target = ServiceRef { credentials: &credentials, service };
        let is_single = self.resource == Resource::Endpoints && self.mode != UpdateMode::Watch;
        let url = if is_single { target.object_url() } else { target.list_url(self.resource, "") };
        let response = get(&credentials, &url).await?;
        let parsed = match response.status() {
            200 if is_single => objects.parse_single(&response.body),
            200 => objects.parse_list(&response.body),
            404 if is_single => {
                objects.clear();
                Ok(())
            }
            status => Err(unexpected_status(status)),
        };
        parsed.map_err(|error| format!("{url}: {error}"))
    }

    /// Queries at intervals, or on request.
    async fn poll(&self, service: &Service, sink: &InstanceSink) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        sink.set_on_demand(self.mode == UpdateMode::OnDemand);
        loop {
            sink.begin_refresh();
            self.list(service, &mut objects).await?;
            sink.publish(objects.instances());
            match self.mode {
                UpdateMode::OnDemand => sink.refresh_requested().await,
                _ => tokio::time::sleep(self.interval).await,
            }
        }
    }

    /// Lists the objects, then watches their changes.
    async fn watch_stream(&self, service: &Service, sink: &InstanceSink) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        loop {
            if objects.version.is_empty() && !self.ocelot {
                self.list(service, &mut objects).await?;
                sink.publish(objects.instances());
            }
            let started_at = Instant::now();
            self.watch_once(service, &mut objects, sink).await?;
            let delay = half_jitter(MIN_REQUEST_INTERVAL).saturating_sub(started_at.elapsed());
            tokio::time::sleep(delay).await;
        }
    }

    /// Watches until the server ends the watch.
    async fn watch_once(
        &self,
        service: &Service,
        objects: &mut Objects,
        sink: &InstanceSink,
    ) -> Result<(), String> {
        let credentials = self.credentials.get()?;
        let target = ServiceRef { credentials: &credentials, service };
        let url =
            if self.ocelot { target.watch_url() } else { target.list_url(self.resource, &objects.version) };
        let request = credentials.request(&url);
        let mut lines = credentials.client.lines(&request.as_request(), REQUEST_LIMITS).await?;
        match lines.status() {
            200 => {}
            410 => return reset_version(objects),
            status => return Err(format!("{url}: {}", unexpected_status(status))),
        }
        let mut is_first = self.ocelot;
        while let Some(line) = next_event(&mut lines, &mut is_first, objects, sink).await? {
            match objects.parse_event(&line).map_err(|error| format!("{url}: {error}"))? {
                WatchOutcome::Changed => sink.publish(objects.instances()),
                WatchOutcome::Bookmark => sink.confirm(),
                WatchOutcome::Expired => return reset_version(objects),
            }
        }
        Ok(())
    }
}

/// The next event. If the watch has no resource version, no event within a short time means that there is no object.
async fn next_event(
    lines: &mut LineStream,
    is_first: &mut bool,
    objects: &mut Objects,
    sink: &InstanceSink,
) -> Result<Option<Vec<u8>>, String> {
    if std::mem::take(is_first) {
        match tokio::time::timeout(INITIAL_EVENT_TIMEOUT, lines.next_line(WATCH_TIMEOUT)).await {
            Ok(line) => return line,
            Err(_) => {
                objects.clear();
                sink.publish(Vec::new());
            }
        }
    }
    lines.next_line(WATCH_TIMEOUT + WATCH_GRACE).await
}

/// The next watch starts with a list.
fn reset_version(objects: &mut Objects) -> Result<(), String> {
    objects.version.clear();
    Ok(())
}

fn unexpected_status(status: u16) -> String {
    match status {
        401 => "status 401: the server rejected the Token".to_owned(),
        403 => "status 403: the account may not get, list and watch this resource".to_owned(),
        status => format!("unexpected status {status}"),
    }
}

/// A GET request with the bearer token.
struct AuthorizedRequest<'a> {
    url: &'a HttpUrl,
    bearer: Option<String>,
}

impl Credentials {
    fn request<'a>(&self, url: &'a HttpUrl) -> AuthorizedRequest<'a> {
        let token = self.token.as_ref().map(|token| token.reveal()).filter(|token| !token.is_empty());
        AuthorizedRequest { url, bearer: token.map(|token| format!("Bearer {token}")) }
    }
}

impl AuthorizedRequest<'_> {
    fn as_request(&self) -> Request<'_> {
        let request = Request::get(self.url);
        match &self.bearer {
            Some(bearer) => request.header("Authorization", bearer),
            None => request,
        }
    }
}

async fn get(credentials: &Credentials, url: &HttpUrl) -> Result<Response, String> {
    credentials.client.send(&credentials.request(url).as_request(), REQUEST_LIMITS).await
}

/// A service of the cluster.
struct ServiceRef<'a> {
    credentials: &'a Credentials,
    service: &'a Service,
}

impl ServiceRef<'_> {
    fn namespace(&self) -> String {
        let own = &self.service.namespace;
        percent_encoded(if own.is_empty() { &self.credentials.namespace } else { own })
    }

    /// The URL of the Endpoints object of the service.
    fn object_url(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), percent_encoded(&self.service.name));
        self.credentials.base_url.join_path(&format!("api/v1/namespaces/{namespace}/endpoints/{name}"))
    }

    /// The URL of the list of its objects, or of the watch that follows a resource version.
    fn list_url(&self, resource: Resource, version: &str) -> HttpUrl {
        let (namespace, name) = (self.namespace(), percent_encoded(&self.service.name));
        let mut path = match resource {
            Resource::Endpoints => {
                format!("api/v1/namespaces/{namespace}/endpoints?fieldSelector=metadata.name%3D{name}")
            }
            Resource::Slices => format!(
                "apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
            ),
        };
        if !version.is_empty() {
            let (version, seconds) = (percent_encoded(version), WATCH_TIMEOUT.as_secs());
            path += &format!(
                "&watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
            );
        }
        self.credentials.base_url.join_path(&path)
    }

    /// The URL of a watch of its Endpoints object, as Ocelot requests it.
    fn watch_url(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), percent_encoded(&self.service.name));
        self.credentials.base_url.join_path(&format!("api/v1/watch/namespaces/{namespace}/endpoints/{name}"))
    }
}

#[async_trait]
impl Provider for Kubernetes {
    fn label(&self) -> &str {
        &self.label
    }

    fn is_on_demand(&self) -> bool {
        self.mode == UpdateMode::OnDemand
    }

    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String {
        let ended = match self.mode {
            UpdateMode::Watch => self.watch_stream(service, sink).await,
            _ => self.poll(service, sink).await,
        };
        ended.err().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
