//! The services of a cluster: lists read at an interval, and names that are not in a list yet.

use super::{
    answers::{ListedItem, parse_page},
    gateway::ClusterGateway,
};
use crate::{
    backend::fabric::{
        error::ResolveError,
        name::{NameMatch, NameTrie},
        registry::document::MAX_SERVICES,
        service::{PartitionTable, Service, ServiceKind},
    },
    base::percent::percent_encoded,
};
use arc_swap::ArcSwap;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Maximum number of pages of a list.
const MAX_PAGES: usize = 1000;
/// How many lists of services are read at the same time.
const CONCURRENT_LISTS: usize = 8;
/// How long a name without a service is remembered.
const MISSING_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of remembered names without a service.
const MAX_MISSING: usize = 10_000;

type ServiceNames = NameTrie<Arc<Service>>;

/// The services of a cluster by name.
#[derive(Debug, Default)]
pub(super) struct ClusterNames {
    /// Those of the lists.
    listed: ArcSwap<ServiceNames>,
    /// Those that were asked for before they were in a list.
    asked: ArcSwap<ServiceNames>,
    /// Names without a service, and until when they are remembered.
    missing: Mutex<HashMap<Box<str>, Instant>>,
    /// The services before the last change, so that no worker drops the last reference.
    retired: Mutex<Option<Arc<ServiceNames>>>,
}

impl ClusterNames {
    /// The service that a path names, and the number of segments that the name took.
    pub fn find(
        &self,
        path: &[u8],
        is_visible: impl Fn(&Arc<Service>) -> bool,
    ) -> Option<(Arc<Service>, usize)> {
        let (listed, asked) = (self.listed.load(), self.asked.load());
        let one = listed.find(path, &is_visible);
        let other = if asked.is_empty() { None } else { asked.find(path, &is_visible) };
        let segments = |found: &Option<NameMatch<'_, _>>| found.as_ref().map_or(0, |found| found.segments);
        let longest = if segments(&other) > segments(&one) { other } else { one };
        longest.map(|found| (found.value.clone(), found.segments))
    }

    /// The service of exactly this name.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        self.listed.load().get(name).cloned().or_else(|| self.asked.load().get(name).cloned())
    }

    /// All services.
    pub fn all(&self) -> Vec<Arc<Service>> {
        let (listed, asked) = (self.listed.load(), self.asked.load());
        listed.values().chain(asked.values()).cloned().collect()
    }

    /// The number of services.
    pub fn len(&self) -> usize {
        self.listed.load().len() + self.asked.load().len()
    }

    /// Adds a service that was asked for.
    pub fn add_asked(&self, name: &str) -> Arc<Service> {
        let _guard = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.get(name) {
            return known;
        }
        let service = Arc::new(Service::new(name, None, PartitionTable::default()));
        let mut asked = (**self.asked.load()).clone();
        asked.insert(name, service.clone());
        self.asked.store(Arc::new(asked));
        service
    }

    /// Remembers that a name has no service, and forgets the service it had.
    pub fn set_missing(&self, name: &str, now: Instant) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.len() >= MAX_MISSING {
            missing.retain(|_, until| *until > now);
        }
        if missing.len() < MAX_MISSING {
            missing.insert(name.into(), now + MISSING_TIMEOUT);
        }
        for slot in [&self.listed, &self.asked] {
            if slot.load().get(name).is_some() {
                let mut names = NameTrie::default();
                let others = slot.load_full();
                others.values().filter(|service| *service.name != *name).for_each(|service| {
                    names.insert(&service.name, service.clone());
                });
                slot.store(Arc::new(names));
            }
        }
    }

    /// Whether it is remembered that the name has no service.
    pub fn is_missing(&self, name: &str, now: Instant) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(name).is_some_and(|until| *until > now)
    }

    /// Replaces the lists. What is known about services that stay is kept.
    pub fn replace(&self, services: &[(String, Option<ServiceKind>)]) {
        let _guard = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = NameTrie::default();
        for (name, kind) in services {
            let known = self
                .get(name)
                .filter(|known| kind.is_none() || known.kind().is_none_or(|own| Some(own) == *kind));
            let service = known.filter(|known| known.kind().is_some() || kind.is_none());
            let new = || Arc::new(Service::new(name, *kind, PartitionTable::default()));
            names.insert(name, service.unwrap_or_else(new));
        }
        let retired = self.listed.swap(Arc::new(names));
        self.asked.store(Arc::default());
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner) = Some(retired);
    }
}

/// All pages of a list.
async fn list(gateway: &ClusterGateway, path: &str) -> Result<Vec<ListedItem>, ResolveError> {
    let (mut items, mut token) = (Vec::new(), String::new());
    for _ in 0..MAX_PAGES {
        let page = match token.is_empty() {
            true => format!("{path}?"),
            false => format!("{path}?ContinuationToken={}&", percent_encoded(&token)),
        };
        let body = gateway.get(&page).await?;
        let (more, next) = parse_page(&body).map_err(|error| {
            log::warn!("the list {path} of the cluster cannot be read: {error}");
            ResolveError::Unreachable
        })?;
        items.extend(more);
        if next.is_empty() || items.len() > MAX_SERVICES {
            break;
        }
        token = next;
    }
    items.truncate(MAX_SERVICES);
    Ok(items)
}

/// The names and kinds of all services.
pub(super) async fn list_services(
    gateway: &ClusterGateway,
) -> Result<Vec<(String, Option<ServiceKind>)>, ResolveError> {
    let applications = list(gateway, "Applications").await?;
    let lists = applications.into_iter().map(|application| async move {
        let path = format!("Applications/{}/$/GetServices", percent_encoded(&application.id));
        match list(gateway, &path).await {
            // It was removed in the meantime.
            Err(ResolveError::ServiceMissing) => Ok(Vec::new()),
            services => services,
        }
    });
    let services: Vec<Vec<ListedItem>> = stream::iter(lists).buffered(CONCURRENT_LISTS).try_collect().await?;
    Ok(services.into_iter().flatten().take(MAX_SERVICES).map(|item| (item.name, item.kind)).collect())
}
