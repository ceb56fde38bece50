//! Metrics of service discovery: instances per service, the time of the last update, and failed requests to providers.

use super::registry::{Registry, WeakRegistry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// The metrics of one service of a provider; exported while the handle is in use.
#[derive(Debug)]
pub struct DiscoveryMetrics {
    instances: AtomicU64,
    /// Unix time in seconds; 0: never.
    last_update_unix_secs: AtomicU64,
    up: AtomicBool,
    /// Shared by all services of the provider.
    errors: Arc<AtomicU64>,
}

impl DiscoveryMetrics {
    /// Records a successful update with the number of instances.
    pub fn record_update(&self, instances: usize) {
        self.instances.store(instances as u64, Relaxed);
        self.last_update_unix_secs
            .store(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()), Relaxed);
        self.up.store(true, Relaxed);
    }

    /// Records a failed request to the provider.
    pub fn record_error(&self) {
        self.up.store(false, Relaxed);
        self.errors.fetch_add(1, Relaxed);
    }
}

/// The exported values of one service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DiscoveryRow {
    pub registry: Box<str>,
    pub service: Box<str>,
    pub instances: u64,
    pub last_update_unix_secs: u64,
    pub up: bool,
}

/// The metrics of all services.
#[derive(Debug, Default)]
pub(super) struct DiscoveryTable {
    /// By registry and service.
    services: WeakRegistry<(Box<str>, Box<str>), DiscoveryMetrics>,
    /// By registry.
    errors: Registry<AtomicU64>,
}

impl DiscoveryTable {
    /// The metrics of a service, and of its registry; without `service` only errors are exported.
    pub fn handle(&self, registry: &str, service: Option<&str>) -> Arc<DiscoveryMetrics> {
        let errors = self.errors.get_or_insert_with(registry, AtomicU64::default);
        let new = Arc::new(DiscoveryMetrics {
            instances: AtomicU64::new(0),
            last_update_unix_secs: AtomicU64::new(0),
            up: AtomicBool::new(false),
            errors,
        });
        if let Some(service) = service {
            self.services.replace((registry.into(), service.into()), &new);
        }
        new
    }

    /// The services that are being followed, in the order of their labels.
    pub fn rows(&self) -> Vec<DiscoveryRow> {
        let row = |((registry, service), of): ((Box<str>, Box<str>), Arc<DiscoveryMetrics>)| DiscoveryRow {
            registry,
            service,
            instances: of.instances.load(Relaxed),
            last_update_unix_secs: of.last_update_unix_secs.load(Relaxed),
            up: of.up.load(Relaxed),
        };
        self.services.entries().into_iter().map(row).collect()
    }

    /// The number of failed queries of each registry, also of those that are no longer used.
    pub fn errors(&self) -> Vec<(Box<str>, u64)> {
        self.errors.entries().into_iter().map(|(registry, n)| (registry, n.load(Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_exported_while_it_is_watched_and_provider_errors_remain() {
        let table = DiscoveryTable::default();
        let (orders, _unnamed) = (table.handle("consul", Some("orders")), table.handle("consul", None));
        orders.record_update(3);
        let rows = table.rows();
        assert!(
            rows.len() == 1 && rows[0].instances == 3 && rows[0].up && rows[0].last_update_unix_secs > 0,
            "{rows:?}"
        );
        orders.record_error();
        assert!(!table.rows()[0].up, "the instances stay");
        drop(orders);
        assert!(table.rows().is_empty());
        assert_eq!(table.errors(), [("consul".into(), 1)]);
    }
}
