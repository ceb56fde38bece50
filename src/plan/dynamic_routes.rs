//! Dynamic routing: the first path segment is a service name, which the discovery provider resolves
//! (docs/ocelot-behavior.md, section 11.2). Clients choose the name: unknown services are dropped after a short time, and
//! the number of services is bounded.

use super::{
    blueprint::{ClusterBlueprint, DynamicBlueprint, RouteBlueprint, discovery::DiscoveredService},
    route::Route,
};
use crate::{
    backend::{Cluster, discovery::Service},
    pipeline::error::{ErrorCode, GatewayError},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Maximum number of known services.
const MAX_SERVICES: usize = 1024;
/// Maximum number of services whose lookup is pending.
const MAX_PENDING: usize = 64;
/// A service without requests for this time is dropped.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// An unknown service is dropped after this time.
const PENDING_TIMEOUT: Duration = Duration::from_secs(3);
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
}

impl DynamicRoutes {
    /// No routes yet; `build_route` creates them.
    pub fn new(options: &DynamicBlueprint, build_route: RouteBuilder) -> DynamicRoutes {
        DynamicRoutes {
            options: options.clone(),
            build_route,
            services: ArcSwap::default(),
            pending: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    /// The route of the service that the path names.
    pub fn find(&self, path: &[u8], now: Instant) -> Result<Arc<Route>, GatewayError> {
        let segment = path.strip_prefix(b"/").unwrap_or(path);
        let segment = segment.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(known) = self.services.load().get(segment) {
            let second = self.elapsed_seconds(now);
            if known.last_used.load(Relaxed) != second {
                known.last_used.store(second, Relaxed);
            }
            return Ok(known.route.clone());
        }
        self.lookup_or_create(segment, now)
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
        let (confirmed, unknown): (Vec<_>, Vec<_>) = pending.drain().partition(|(_, s)| is_known(&s.route));
        pending.extend(unknown.into_iter().filter(|(_, service)| service.until > now));
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
    fn lookup_or_create(&self, segment: &[u8], now: Instant) -> Result<Arc<Route>, GatewayError> {
        let (namespace, service) = display_name(segment)?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = pending.get(segment).filter(|pending| pending.until > now) {
            return Ok(pending.route.clone());
        }
        if pending.len() >= MAX_PENDING {
            // Expired services make room; confirmed ones are moved by the next `evict_idle`.
            pending.retain(|_, service| service.until > now || is_known(&service.route));
        }
        // The number of configured services is bounded by the configuration.
        let is_configured = self.options.of(namespace, service).is_some();
        if pending.len() >= MAX_PENDING && !is_configured {
            let detail = "too many concurrent requests for unknown services";
            return Err(GatewayError::new(ErrorCode::BackendNoEndpoint, detail));
        }
        let route = self.create(namespace, service);
        pending.insert(segment.into(), PendingService { route: route.clone(), until: now + PENDING_TIMEOUT });
        Ok(route)
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
