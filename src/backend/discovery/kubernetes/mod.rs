//! Kubernetes: Endpoints or EndpointSlices of a service, watched, or looked at.
//!
//! Source: Kubernetes' API reference (Endpoints, EndpointSlice) and "API Concepts: Efficient detection of changes".

mod account;
mod objects;

use super::{Provider, Service, Settings, Told, source::jittered};
use crate::{
    base::{percent::encoded, url::HttpUrl},
    wire::outbound::{Bounds, Lines, Reply, Request},
};
use account::{Access, Account};
use async_trait::async_trait;
use objects::{Event, Objects, Resource};
use std::time::{Duration, Instant};

/// An answer without waiting.
const AT_ONCE: Duration = Duration::from_secs(10);
/// The longest answer, and the longest event.
const LARGEST: usize = 16 << 20;
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the server shall keep a watch; we wait a little longer.
const WATCH: Duration = Duration::from_secs(240);
const GRACE: Duration = Duration::from_secs(30);
/// A watch that begins nowhere tells what there is at once; if it says nothing for so long, there is nothing.
const SILENCE: Duration = Duration::from_secs(1);
/// The least time between two watches: one that ends at once must not be begun a thousand times a second.
const GAP: Duration = Duration::from_secs(1);

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Watch,
    /// Looks at intervals.
    Poll,
    /// Looks when a request wants to know.
    Ask,
}

/// A cluster's API server.
#[derive(Debug)]
pub struct Kubernetes {
    label: String,
    account: Account,
    resource: Resource,
    way: Way,
    interval: Duration,
    /// The watch is begun as Ocelot begins it: at the address of its own that Kubernetes has deprecated, with no list
    /// before.
    ocelot: bool,
}

impl Kubernetes {
    /// `Kube`: watches; under Ocelot compatibility requests ask.
    pub fn usual(settings: &Settings) -> Kubernetes {
        Kubernetes::new(settings, if settings.ocelot { Way::Ask } else { Way::Watch })
    }

    /// `PollKube`: looks every `PollingInterval`.
    pub fn polling(settings: &Settings) -> Kubernetes {
        Kubernetes::new(settings, Way::Poll)
    }

    /// `WatchKube`: watches.
    pub fn watching(settings: &Settings) -> Kubernetes {
        Kubernetes::new(settings, Way::Watch)
    }

    fn new(settings: &Settings, way: Way) -> Kubernetes {
        let account = Account::new(settings);
        Kubernetes {
            label: format!("{} {}", settings.kind.name, account.place()),
            account,
            resource: if settings.kubernetes.slices { Resource::Slices } else { Resource::Endpoints },
            way,
            interval: settings.interval.unwrap_or(INTERVAL),
            ocelot: settings.ocelot && !settings.kubernetes.slices,
        }
    }

    /// All objects of the service.
    async fn look(&self, service: &Service, objects: &mut Objects) -> Result<(), String> {
        let access = self.account.access()?;
        let place = Place { access: &access, service };
        let only = self.resource == Resource::Endpoints && self.way != Way::Watch;
        let url = if only { place.only() } else { place.all(self.resource, "") };
        let reply = ask(&access, &url).await?;
        let read = match reply.status() {
            200 if only => objects.only(&reply.body),
            200 => objects.list(&reply.body),
            404 if only => {
                objects.clear();
                Ok(())
            }
            status => Err(refused(status)),
        };
        read.map_err(|error| format!("{url}: {error}"))
    }

    /// Looks again and again.
    async fn poll(&self, service: &Service, told: &Told) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        told.on_request(self.way == Way::Ask);
        loop {
            told.look();
            self.look(service, &mut objects).await?;
            told.tell(objects.instances());
            match self.way {
                Way::Ask => told.wished().await,
                _ => tokio::time::sleep(self.interval).await,
            }
        }
    }

    /// Looks once, then hears of changes.
    async fn watch(&self, service: &Service, told: &Told) -> Result<(), String> {
        let mut objects = Objects::new(self.resource, &service.scheme);
        loop {
            if objects.version.is_empty() && !self.ocelot {
                self.look(service, &mut objects).await?;
                told.tell(objects.instances());
            }
            let begun = Instant::now();
            self.hear(service, &mut objects, told).await?;
            tokio::time::sleep(jittered(GAP).saturating_sub(begun.elapsed())).await;
        }
    }

    /// One watch, until the server ends it.
    async fn hear(&self, service: &Service, objects: &mut Objects, told: &Told) -> Result<(), String> {
        let access = self.account.access()?;
        let place = Place { access: &access, service };
        let url = if self.ocelot { place.watched() } else { place.all(self.resource, &objects.version) };
        let bounds = Bounds { time: AT_ONCE, size: LARGEST };
        let mut lines = access.client.lines(&access.request(&url).as_request(), bounds).await?;
        match lines.status() {
            200 => {}
            410 => return forget(objects),
            status => return Err(format!("{url}: {}", refused(status))),
        }
        let mut silent = self.ocelot;
        while let Some(line) = next(&mut lines, &mut silent, objects, told).await? {
            match objects.event(&line).map_err(|error| format!("{url}: {error}"))? {
                Event::Changed => told.tell(objects.instances()),
                Event::Noted => told.heard(),
                Event::Stale => return forget(objects),
            }
        }
        Ok(())
    }
}

/// The next event; the first of a watch that begins nowhere is not waited for long.
async fn next(
    lines: &mut Lines,
    silent: &mut bool,
    objects: &mut Objects,
    told: &Told,
) -> Result<Option<Vec<u8>>, String> {
    if std::mem::take(silent) {
        match tokio::time::timeout(SILENCE, lines.next(WATCH)).await {
            Ok(line) => return line,
            Err(_) => {
                objects.clear();
                told.tell(Vec::new());
            }
        }
    }
    lines.next(WATCH + GRACE).await
}

/// The next watch begins with a look at everything.
fn forget(objects: &mut Objects) -> Result<(), String> {
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
struct Question<'a> {
    url: &'a HttpUrl,
    bearer: Option<String>,
}

impl Access {
    fn request<'a>(&self, url: &'a HttpUrl) -> Question<'a> {
        let token = self.token.as_ref().map(|token| token.reveal()).filter(|token| !token.is_empty());
        Question { url, bearer: token.map(|token| format!("Bearer {token}")) }
    }
}

impl Question<'_> {
    fn as_request(&self) -> Request<'_> {
        let request = Request::get(self.url);
        match &self.bearer {
            Some(bearer) => request.field("Authorization", bearer),
            None => request,
        }
    }
}

async fn ask(access: &Access, url: &HttpUrl) -> Result<Reply, String> {
    let bounds = Bounds { time: AT_ONCE, size: LARGEST };
    access.client.send(&access.request(url).as_request(), bounds).await
}

/// Where the objects of a service are.
struct Place<'a> {
    access: &'a Access,
    service: &'a Service,
}

impl Place<'_> {
    fn namespace(&self) -> String {
        let own = &self.service.namespace;
        encoded(if own.is_empty() { &self.access.namespace } else { own })
    }

    /// The Endpoints of the service.
    fn only(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), encoded(&self.service.name));
        self.access.root.below(&format!("api/v1/namespaces/{namespace}/endpoints/{name}"))
    }

    /// A list of its objects, or what happens to them behind a version.
    fn all(&self, resource: Resource, version: &str) -> HttpUrl {
        let (namespace, name) = (self.namespace(), encoded(&self.service.name));
        let mut path = match resource {
            Resource::Endpoints => {
                format!("api/v1/namespaces/{namespace}/endpoints?fieldSelector=metadata.name%3D{name}")
            }
            Resource::Slices => format!(
                "apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
            ),
        };
        if !version.is_empty() {
            let (version, seconds) = (encoded(version), WATCH.as_secs());
            path += &format!(
                "&watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
            );
        }
        self.access.root.below(&path)
    }

    /// What happens to its Endpoints, as Ocelot asks for it.
    fn watched(&self) -> HttpUrl {
        let (namespace, name) = (self.namespace(), encoded(&self.service.name));
        self.access.root.below(&format!("api/v1/watch/namespaces/{namespace}/endpoints/{name}"))
    }
}

#[async_trait]
impl Provider for Kubernetes {
    fn label(&self) -> &str {
        &self.label
    }

    fn is_asked_by_requests(&self) -> bool {
        self.way == Way::Ask
    }

    async fn follow(&self, service: &Service, told: &Told) -> String {
        let ended = match self.way {
            Way::Watch => self.watch(service, told).await,
            _ => self.poll(service, told).await,
        };
        ended.err().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
