//! Dynamic routing: the first segment of the path names a service, and the registry says where it is (spec section
//! 11.2). A stranger chooses the name: what the registry does not know is forgotten at once, and all of it is bounded.

use super::{
    blueprint::{
        Blueprint, ClusterBlueprint, RouteBlueprint,
        discovery::{DiscoveredService, DynamicBlueprint},
    },
    build::{ProcessState, service_route},
    compiled::Route,
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

/// Services that are routed to at one time.
const MAX_SERVICES: usize = 1024;
/// Names that the registry is being asked about at one time.
const MAX_PENDING: usize = 64;
/// A service that nobody asked for so long is let go.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// A name that the registry does not know is forgotten after so long.
const PENDING_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest name of namespace and service.
const MAX_NAME: usize = 253;

/// Routes that are made when a request names their service.
pub struct DynamicRoutes {
    blueprint: Box<Blueprint>,
    options: DynamicBlueprint,
    shared_state: ProcessState,
    /// Services that have, or had, instances.
    services: ArcSwap<HashMap<Box<[u8]>, Arc<KnownService>>>,
    /// Names that a request brought, as long as nothing is known of them.
    pending: Mutex<HashMap<Box<[u8]>, PendingService>>,
    epoch: Instant,
}

/// A service that requests go to.
struct KnownService {
    route: Arc<Route>,
    /// Seconds from the beginning to the last request.
    last_used: AtomicU64,
}

struct PendingService {
    route: Arc<Route>,
    until: Instant,
}

impl DynamicRoutes {
    /// Routes for the services of this blueprint.
    pub fn new(blueprint: &Blueprint, options: &DynamicBlueprint, ground: &ProcessState) -> DynamicRoutes {
        DynamicRoutes {
            blueprint: Box::new(Blueprint { routes: Vec::new(), dynamic: None, ..blueprint.clone() }),
            options: options.clone(),
            shared_state: ground.clone(),
            services: ArcSwap::default(),
            pending: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    /// The route of the service that the path names.
    pub fn find(&self, path: &[u8], now: Instant) -> Result<Arc<Route>, GatewayError> {
        let segment = path.strip_prefix(b"/").unwrap_or(path);
        let segment = segment.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(met) = self.services.load().get(segment) {
            let second = self.elapsed_seconds(now);
            if met.last_used.load(Relaxed) != second {
                met.last_used.store(second, Relaxed);
            }
            return Ok(met.route.clone());
        }
        self.lookup_or_create(segment, now)
    }

    /// The labels under which its routes count.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let entries = self.options.entries.iter().map(|entry| entry.route.name.as_str());
        entries.chain([self.options.defaults.name.as_str()])
    }

    /// Where the services are that requests go to.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let services = self.services.load();
        let leading = services.values().filter_map(|met| met.route.cluster().ok());
        leading.map(|(cluster, _)| cluster.clone()).collect()
    }

    /// Lets go of what nobody wants any more; to be called now and then.
    pub fn evict_idle(&self, now: Instant) {
        let mut strangers = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, strange): (Vec<_>, Vec<_>) = strangers.drain().partition(|(_, s)| is_known(&s.route));
        strangers.extend(strange.into_iter().filter(|(_, stranger)| stranger.until > now));
        drop(strangers);
        let second = self.elapsed_seconds(now);
        let fresh = |met: &Arc<KnownService>| met.last_used.load(Relaxed) + IDLE_TIMEOUT.as_secs() > second;
        let services = self.services.load();
        if known.is_empty() && services.values().all(fresh) {
            return;
        }
        self.services.rcu(|services| {
            let mut kept: HashMap<_, _> =
                services.iter().filter(|(_, met)| fresh(met)).map(|(k, v)| (k.clone(), v.clone())).collect();
            for (name, stranger) in known.iter().take(MAX_SERVICES.saturating_sub(kept.len())) {
                let met = || {
                    Arc::new(KnownService {
                        route: stranger.route.clone(),
                        last_used: AtomicU64::new(second),
                    })
                };
                kept.entry(name.clone()).or_insert_with(met);
            }
            kept
        });
    }

    fn elapsed_seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    /// A name that was not heard before, or not long ago.
    #[cold]
    fn lookup_or_create(&self, segment: &[u8], now: Instant) -> Result<Arc<Route>, GatewayError> {
        let (namespace, service) = display_name(segment)?;
        let mut strangers = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stranger) = strangers.get(segment).filter(|stranger| stranger.until > now) {
            return Ok(stranger.route.clone());
        }
        if strangers.len() >= MAX_PENDING {
            // Those whose time is over make room; those that turned out to be services move with the next tidying.
            strangers.retain(|_, stranger| stranger.until > now || is_known(&stranger.route));
        }
        // Services that the configuration names are as many as it names.
        let is_written = self.options.of(namespace, service).is_some();
        if strangers.len() >= MAX_PENDING && !is_written {
            let detail = "too many services that nobody has heard of are asked for at one time";
            return Err(GatewayError::new(ErrorCode::BackendNoEndpoint, detail));
        }
        let route = self.make(namespace, service);
        strangers
            .insert(segment.into(), PendingService { route: route.clone(), until: now + PENDING_TIMEOUT });
        Ok(route)
    }

    fn make(&self, namespace: &str, name: &str) -> Arc<Route> {
        let entry = self.options.of(namespace, name);
        let options = entry.map_or(&self.options.defaults, |entry| &entry.route);
        let own = entry.map_or("", |entry| entry.namespace.as_str());
        let namespace = if namespace.is_empty() { own } else { namespace };
        let key = format!("dynamic {namespace}.{name}");
        let template = options.cluster.discovery.as_ref().map(|found| found.service.scheme.clone());
        let service =
            Service { name: name.into(), namespace: namespace.into(), scheme: template.unwrap_or_default() };
        let found = DiscoveredService { registry: self.options.registry.clone(), service, is_unnamed: true };
        let cluster =
            ClusterBlueprint { key: key.clone(), discovery: Some(found), ..(*options.cluster).clone() };
        let route = RouteBlueprint { cluster: Arc::new(cluster), state_key: key, ..options.clone() };
        service_route(&route, &self.blueprint, &self.shared_state)
    }
}

/// Whether the registry knows the service.
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
            "the first segment of the path is no name of a service",
        ));
    }
    Ok((namespace, service))
}

impl std::fmt::Debug for DynamicRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Dynamic").field("services", &self.services.load().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "dynamic_tests.rs"]
mod tests;
