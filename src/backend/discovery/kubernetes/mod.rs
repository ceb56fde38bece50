//! Kubernetes: Endpoints or EndpointSlices of a service, watched, or looked at.
//!
//! Source: Kubernetes' API reference (Endpoints, EndpointSlice) and "API Concepts: Efficient detection of changes".

mod credentials;
mod objects;

use super::{InstanceSink, Provider, ProviderSettings, Service, service_watch::jittered};
use crate::{
    base::{percent::percent_encoded, url::HttpUrl},
    net::http_client::{LineStream, Request, RequestLimits, Response},
};
use async_trait::async_trait;
use credentials::{CredentialSource, Credentials};
use objects::{Event, Objects, Resource};
use std::time::{Duration, Instant};

/// An answer without waiting.
const MAX_PARALLEL_REQUESTS: Duration = Duration::from_secs(10);
/// The longest answer, and the longest event.
const MAX_RESPONSE: usize = 16 << 20;
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the server shall keep a watch; we wait a little longer.
const WATCH_TIMEOUT: Duration = Duration::from_secs(240);
const WATCH_GRACE: Duration = Duration::from_secs(30);
/// A watch that begins nowhere tells what there is at once; if it says nothing for so long, there is nothing.
const INITIAL_EVENT_TIMEOUT: Duration = Duration::from_secs(1);
/// The least time between two watches: one that ends at once must not be begun a thousand times a second.
const MIN_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpdateMode {
    Watch,
    /// Looks at intervals.
    Poll,
    /// Looks when a request wants to know.
    OnDemand,
}

/// A cluster's API server.
#[derive(Debug)]
pub struct Kubernetes {
    label: String,
    account: CredentialSource,
    resource: Resource,
    way: UpdateMode,
    interval: Duration,
    /// The watch is begun as Ocelot begins it: at the address of its own that Kubernetes has deprecated, with no list
    /// before.
    ocelot: bool,
}

impl Kubernetes {
    /// `Kube`: watches; under Ocelot compatibility requests ask.
    pub fn kube(settings: &ProviderSettings) -> Kubernetes {
        Kubernetes::new(settings, if settings.ocelot { UpdateMode::OnDemand } else { UpdateMode::Watch })
    }

    /// `PollKube`: looks every `PollingInterval`.
    pub fn polling(settings: &ProviderSettings) -> Kubernetes {
        Kubernetes::new(settings, UpdateMode::Poll)
    }

    /// `WatchKube`: watches.
    pub fn watching(settings: &ProviderSettings) -> Kubernetes {
        Kubernetes::new(settings, UpdateMode::Watch)
    }

    fn new(settings: &ProviderSettings, way: UpdateMode) -> Kubernetes {
        let account = CredentialSource::new(settings);
        Kubernetes {
            label: format!("{} {}", settings.kind.name, account.namespace_and_server()),
            account,
            resource: if settings.kubernetes.endpoint_slices {
                Resource::Slices
            } else {
                Resource::Endpoints
            },
            way,
            interval: settings.interval.unwrap_or(INTERVAL),
            ocelot: settings.ocelot && !settings.kubernetes.endpoint_slices,
        }
    }

    /// All objects of the service.
    async fn list(&self, service: &Service, objects: &mut Objects) -> Result<(), String> {
        let access = self.account.access()?;
        let place = ServiceRef { access: &access, service };
        let only = self.resource == Resource::Endpoints && self.way != UpdateMode::Watch;
        let url = if only { place.endpoints_url() } else { place.slices_url(self.resource, "") };
        let reply = get(&access, &url).await?;
        let read = match reply.status() {
            200 if only => objects.parse_single(&reply.body),
            200 => objects.parse_list(&reply.body),
            404 if only => {
                objects.clear();
                Ok(())
            }
            status => Err(refused(status)),
        };
        read.map_err(|error| format!("{url}: {error}"))
    }

    /// Looks again and again.
    async fn poll(&self, service: &Service, told: &InstanceSink) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        told.set_on_demand(self.way == UpdateMode::OnDemand);
        loop {
            told.begin_refresh();
            self.list(service, &mut objects).await?;
            told.publish(objects.instances());
            match self.way {
                UpdateMode::OnDemand => told.refresh_requested().await,
                _ => tokio::time::sleep(self.interval).await,
            }
        }
    }

    /// Looks once, then hears of changes.
    async fn watch_stream(&self, service: &Service, told: &InstanceSink) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        loop {
            if objects.version.is_empty() && !self.ocelot {
                self.list(service, &mut objects).await?;
                told.publish(objects.instances());
            }
            let begun = Instant::now();
            self.watch_once(service, &mut objects, told).await?;
            tokio::time::sleep(jittered(MIN_REQUEST_INTERVAL).saturating_sub(begun.elapsed())).await;
        }
    }

    /// One watch, until the server ends it.
    async fn watch_once(
        &self,
        service: &Service,
        objects: &mut Objects,
        told: &InstanceSink,
    ) -> Result<(), String> {
        let access = self.account.access()?;
        let place = ServiceRef { access: &access, service };
        let url =
            if self.ocelot { place.watch_url() } else { place.slices_url(self.resource, &objects.version) };
        let bounds = RequestLimits { timeout: MAX_PARALLEL_REQUESTS, max_body: MAX_RESPONSE };
        let mut lines = access.client.lines(&access.request(&url).as_request(), bounds).await?;
        match lines.status() {
            200 => {}
            410 => return reset_version(objects),
            status => return Err(format!("{url}: {}", refused(status))),
        }
        let mut silent = self.ocelot;
        while let Some(line) = next(&mut lines, &mut silent, objects, told).await? {
            match objects.parse_event(&line).map_err(|error| format!("{url}: {error}"))? {
                Event::Changed => told.publish(objects.instances()),
                Event::Bookmark => told.confirm(),
                Event::Expired => return reset_version(objects),
            }
        }
        Ok(())
    }
}

/// The next event; the first of a watch that begins nowhere is not waited for long.
async fn next(
    lines: &mut LineStream,
    silent: &mut bool,
    objects: &mut Objects,
    told: &InstanceSink,
) -> Result<Option<Vec<u8>>, String> {
    if std::mem::take(silent) {
        match tokio::time::timeout(INITIAL_EVENT_TIMEOUT, lines.next_line(WATCH_TIMEOUT)).await {
            Ok(line) => return line,
            Err(_) => {
                objects.clear();
                told.publish(Vec::new());
            }
        }
    }
    lines.next_line(WATCH_TIMEOUT + WATCH_GRACE).await
}

/// The next watch begins with a look at everything.
fn reset_version(objects: &mut Objects) -> Result<(), String> {
    objects.version.clear();
    Ok(())
}

fn refused(status: u16) -> String {
    match status {
        401 => "the answer is 401: the server does not know the Token".to_owned(),
        403 => "the answer is 403: the account may not get, list and watch this".to_owned(),
        status => format!("the answer is {status}"),
    }
}

/// A question: its address and the field that says who asks.
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

async fn get(access: &Credentials, url: &HttpUrl) -> Result<Response, String> {
    let bounds = RequestLimits { timeout: MAX_PARALLEL_REQUESTS, max_body: MAX_RESPONSE };
    access.client.send(&access.request(url).as_request(), bounds).await
}

/// Where the objects of a service are.
struct ServiceRef<'a> {
    access: &'a Credentials,
    service: &'a Service,
}

impl ServiceRef<'_> {
    fn namespace(&self) -> String {
        let own = &self.service.namespace;
        percent_encoded(if own.is_empty() { &self.access.namespace } else { own })
    }

    /// The Endpoints of the service.
    fn endpoints_url(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), percent_encoded(&self.service.name));
        self.access.base_url.join_path(&format!("api/v1/namespaces/{namespace}/endpoints/{name}"))
    }

    /// A list of its objects, or what happens to them behind a version.
    fn slices_url(&self, resource: Resource, version: &str) -> HttpUrl {
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
        self.access.base_url.join_path(&path)
    }

    /// What happens to its Endpoints, as Ocelot asks for it.
    fn watch_url(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), percent_encoded(&self.service.name));
        self.access.base_url.join_path(&format!("api/v1/watch/namespaces/{namespace}/endpoints/{name}"))
    }
}

#[async_trait]
impl Provider for Kubernetes {
    fn label(&self) -> &str {
        &self.label
    }

    fn is_on_demand(&self) -> bool {
        self.way == UpdateMode::OnDemand
    }

    async fn watch(&self, service: &Service, told: &InstanceSink) -> String {
        let ended = match self.way {
            UpdateMode::Watch => self.watch_stream(service, told).await,
            _ => self.poll(service, told).await,
        };
        ended.err().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
