//! Dynamic routing: the first path segment is a service name, which the discovery provider resolves
//! (docs/ocelot-behavior.md, section 11.2). Clients choose the name: unknown services are dropped after a short time, their
//! number is bounded in total and per client address, and they never displace a service that the registry knows.

use super::{
    blueprint::{ClusterBlueprint, DynamicBlueprint, RouteBlueprint, discovery::DiscoveredService},
    route::Route,
};
use crate::{
    backend::{
        Cluster,
        discovery::{Catalogue, Service},
    },
    base::{client_prefix::ClientPrefix, hash::stable_hash},
    pipeline::error::{ErrorCode, GatewayError},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Maximum number of known services.
const MAX_SERVICES: usize = 1024;
/// Maximum number of unknown services whose lookup is pending.
const MAX_PENDING: usize = 64;
/// The same for one client address, once half of them are pending.
const MAX_PENDING_PER_CLIENT: usize = 8;
/// A service without requests for this time is dropped.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// An unknown service is dropped after this time.
const PENDING_TIMEOUT: Duration = Duration::from_secs(3);
/// A name that turned out to be unknown is refused for this time while many are pending.
const UNKNOWN_TTL: Duration = Duration::from_secs(10);
/// Slots of the unknown names; two names with the same slot replace each other.
const UNKNOWN_SLOTS: usize = 4096;
/// Maximum length of namespace and service name together.
const MAX_NAME: usize = 253;

/// Builds the route of a discovered service.
type RouteBuilder = Box<dyn Fn(&RouteBlueprint) -> Arc<Route> + Send + Sync>;

/// Routes of discovered services, created when a request names their service.
pub struct DynamicRoutes {
    options: DynamicBlueprint,
    build_route: RouteBuilder,
    /// Services that have, or had, instances.
    services: ArcSwap<HashMap<Box<[u8]>, Arc<KnownService>>>,
    /// Services named by requests that the provider has not confirmed yet.
    pending: Mutex<HashMap<Box<[u8]>, PendingService>>,
    /// Names that turned out to be unknown: a part of the hash, and the second until which it is valid.
    unknown: Box<[AtomicU64]>,
    /// The names of the registry.
    catalogue: Arc<Catalogue>,
    epoch: Instant,
}

/// A service with a route.
struct KnownService {
    route: Arc<Route>,
    /// Seconds from `epoch` to the last request.
    last_used: AtomicU64,
}

struct PendingService {
    route: Arc<Route>,
    until: Instant,
    /// The client that named it; `None`: the registry or the configuration has the name.
    client: Option<ClientPrefix>,
}

impl DynamicRoutes {
    /// No routes yet; `build_route` creates them.
    pub fn new(
        options: &DynamicBlueprint,
        catalogue: Arc<Catalogue>,
        build_route: RouteBuilder,
    ) -> DynamicRoutes {
        DynamicRoutes {
            options: options.clone(),
            build_route,
            services: ArcSwap::default(),
            pending: Mutex::default(),
            unknown: (0..UNKNOWN_SLOTS).map(|_| AtomicU64::new(0)).collect(),
            catalogue,
            epoch: Instant::now(),
        }
    }

    /// Takes over the services that the routes of the previous plan found.
    pub fn adopt(&self, previous: &DynamicRoutes, now: Instant) {
        let mut names: Vec<Box<[u8]>> = previous.services.load().keys().cloned().collect();
        let pending = previous.pending.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(
            pending.iter().filter(|(_, service)| is_known(&service.route)).map(|(name, _)| name.clone()),
        );
        drop(pending);
        let second = self.elapsed_seconds(now);
        let adopted = names.into_iter().take(MAX_SERVICES).filter_map(|name| {
            let (namespace, service) = display_name(&name).ok()?;
            let route = self.create(namespace, service);
            Some((name, Arc::new(KnownService { route, last_used: AtomicU64::new(second) })))
        });
        self.services.store(Arc::new(adopted.collect()));
    }

    /// The route of the service that the path names, for a client.
    pub fn find(&self, path: &[u8], client: IpAddr, now: Instant) -> Result<Arc<Route>, GatewayError> {
        let segment = path.strip_prefix(b"/").unwrap_or(path);
        let segment = segment.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(known) = self.services.load().get(segment) {
            let second = self.elapsed_seconds(now);
            if known.last_used.load(Relaxed) != second {
                known.last_used.store(second, Relaxed);
            }
            return Ok(known.route.clone());
        }
        self.lookup_or_create(segment, client.into(), now)
    }

    /// The metric labels of its routes.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let entries = self.options.entries.iter().map(|entry| entry.route.name.as_str());
        entries.chain([self.options.defaults.name.as_str()])
    }

    /// The clusters of all known services.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let services = self.services.load();
        let leading = services.values().filter_map(|known| known.route.cluster().ok());
        leading.map(|(cluster, _)| cluster.clone()).collect()
    }

    /// Drops idle and unknown services; called periodically.
    pub fn evict_idle(&self, now: Instant) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_expired(&mut pending, now);
        let (confirmed, unknown): (Vec<_>, Vec<_>) = pending.drain().partition(|(_, s)| is_known(&s.route));
        pending.extend(unknown);
        drop(pending);
        let second = self.elapsed_seconds(now);
        let is_active =
            |known: &Arc<KnownService>| known.last_used.load(Relaxed) + IDLE_TIMEOUT.as_secs() > second;
        let services = self.services.load();
        if confirmed.is_empty() && services.values().all(is_active) {
            return;
        }
        self.services.rcu(|services| {
            let mut active: HashMap<_, _> = services
                .iter()
                .filter(|(_, known)| is_active(known))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            for (name, service) in confirmed.iter().take(MAX_SERVICES.saturating_sub(active.len())) {
                let known = || {
                    Arc::new(KnownService { route: service.route.clone(), last_used: AtomicU64::new(second) })
                };
                active.entry(name.clone()).or_insert_with(known);
            }
            active
        });
    }

    fn elapsed_seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    /// The route of a pending service, created if it is new.
    #[cold]
    fn lookup_or_create(
        &self,
        segment: &[u8],
        client: ClientPrefix,
        now: Instant,
    ) -> Result<Arc<Route>, GatewayError> {
        let (namespace, service) = display_name(segment)?;
        // The number of configured services is bounded by the configuration, that of registered ones by the registry.
        let is_listed = match namespace {
            "" => self.catalogue.contains(service, now),
            _ => None,
        };
        let is_named = self.options.of(namespace, service).is_some() || is_listed == Some(true);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = pending.get(segment).filter(|pending| pending.until > now) {
            return Ok(pending.route.clone());
        }
        let count = pending.values().filter(|service| service.client.is_some()).count();
        if !is_named && count >= MAX_PENDING / 2 {
            self.drop_expired(&mut pending, now);
            let of_client = pending.values().filter(|service| service.client == Some(client)).count();
            let is_full = of_client >= MAX_PENDING_PER_CLIENT || pending.len() >= MAX_PENDING + MAX_SERVICES;
            if is_listed == Some(false) || is_full || count >= MAX_PENDING || self.is_unknown(segment, now) {
                return Err(unknown_service());
            }
        }
        let route = self.create(namespace, service);
        let client = (!is_named).then_some(client);
        pending.insert(
            segment.into(),
            PendingService { route: route.clone(), until: now + PENDING_TIMEOUT, client },
        );
        Ok(route)
    }

    /// Expired services make room; confirmed ones are moved by the next `evict_idle`.
    fn drop_expired(&self, pending: &mut HashMap<Box<[u8]>, PendingService>, now: Instant) {
        pending.retain(|name, service| {
            let stays = service.until > now || is_known(&service.route);
            if !stays {
                self.mark_unknown(name, now);
            }
            stays
        });
    }

    /// Remembers that the registry does not know the name.
    fn mark_unknown(&self, name: &[u8], now: Instant) {
        let until = self.elapsed_seconds(now) + UNKNOWN_TTL.as_secs();
        let (slot, hash) = unknown_slot(name);
        self.unknown[slot].store(hash << 32 | until, Relaxed);
    }

    fn is_unknown(&self, name: &[u8], now: Instant) -> bool {
        let (slot, hash) = unknown_slot(name);
        let word = self.unknown[slot].load(Relaxed);
        word >> 32 == hash && word & u64::from(u32::MAX) > self.elapsed_seconds(now)
    }

    fn create(&self, namespace: &str, name: &str) -> Arc<Route> {
        let entry = self.options.of(namespace, name);
        let options = entry.map_or(&self.options.defaults, |entry| &entry.route);
        let own = entry.map_or("", |entry| entry.namespace.as_str());
        let namespace = if namespace.is_empty() { own } else { namespace };
        let key = format!("dynamic {namespace}.{name}");
        let template = options.cluster.discovery.as_ref().map(|discovered| discovered.service.scheme.clone());
        let service =
            Service { name: name.into(), namespace: namespace.into(), scheme: template.unwrap_or_default() };
        let discovered =
            DiscoveredService { registry: self.options.registry.clone(), service, is_unnamed: true };
        let cluster =
            ClusterBlueprint { key: key.clone(), discovery: Some(discovered), ..(*options.cluster).clone() };
        let route = RouteBlueprint { cluster: Arc::new(cluster), state_key: key, ..options.clone() };
        (self.build_route)(&route)
    }
}

#[cold]
fn unknown_service() -> GatewayError {
    let detail = "too many concurrent requests for services that the registry does not know";
    GatewayError::new(ErrorCode::BackendNoEndpoint, detail)
}

/// The slot of an unknown name, and a part of its hash.
fn unknown_slot(name: &[u8]) -> (usize, u64) {
    let hash = stable_hash(name);
    (hash as usize % UNKNOWN_SLOTS, hash >> 32)
}

/// Whether the provider has reported instances of the service.
fn is_known(route: &Route) -> bool {
    route
        .cluster()
        .ok()
        .and_then(|(cluster, _)| cluster.source.get())
        .is_some_and(|source| source.ever_had_instances())
}

/// `service` or `namespace.service`.
fn display_name(segment: &[u8]) -> Result<(&str, &str), GatewayError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let text = std::str::from_utf8(segment).ok().filter(|_| segment.iter().all(plain));
    let text = text.filter(|text| !text.is_empty() && text.len() <= MAX_NAME);
    let (namespace, service) =
        text.map(|text| text.split_once('.').unwrap_or(("", text))).unwrap_or_default();
    if service.is_empty() || service.starts_with('.') {
        return Err(GatewayError::new(
            ErrorCode::RouteNotFound,
            "the first path segment is not a valid service name",
        ));
    }
    Ok((namespace, service))
}

impl std::fmt::Debug for DynamicRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("DynamicRoutes").field("services", &self.services.load().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "dynamic_tests.rs"]
mod tests;
