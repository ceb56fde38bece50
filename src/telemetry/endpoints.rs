//! Health metrics of endpoints, exported while a health check or outlier detection is active.

use super::registry::{WeakRegistry, lock};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The maximum number of exported endpoints; health checks of others run all the same.
const MAX_ROWS: usize = 2000;

/// The metrics of one endpoint of one cluster.
#[derive(Debug, Default)]
pub struct EndpointMetrics {
    down: AtomicBool,
    ejections: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
}

impl EndpointMetrics {
    /// Records whether the endpoint is healthy.
    pub fn set_up(&self, up: bool) {
        self.down.store(!up, Relaxed);
    }

    /// Counts an ejection by outlier detection.
    pub fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// Counts the result of an active health check.
    pub fn probed(&self, success: bool) {
        let count = if success { &self.successes } else { &self.failures };
        count.fetch_add(1, Relaxed);
    }
}

/// The exported values of one endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndpointRow {
    pub cluster: Box<str>,
    pub endpoint: Box<str>,
    pub up: bool,
    pub ejections: u64,
    pub successes: u64,
    pub failures: u64,
}

/// The metrics of all endpoints.
#[derive(Debug, Default)]
pub(super) struct EndpointTable(WeakRegistry<(Box<str>, Box<str>), EndpointMetrics>);

impl EndpointTable {
    /// The metrics of an endpoint: equal labels share them. Beyond `MAX_ROWS` endpoints they are not exported.
    pub fn handle(&self, cluster: &str, endpoint: &str) -> Arc<EndpointMetrics> {
        self.0.get_or_default((cluster.into(), endpoint.into()), MAX_ROWS)
    }

    /// The endpoints that are in use, in the order of their labels.
    pub fn rows(&self) -> Vec<EndpointRow> {
        let row = |((cluster, endpoint), of): ((Box<str>, Box<str>), Arc<EndpointMetrics>)| EndpointRow {
            cluster,
            endpoint,
            up: !of.down.load(Relaxed),
            ejections: of.ejections.load(Relaxed),
            successes: of.successes.load(Relaxed),
            failures: of.failures.load(Relaxed),
        };
        self.0.entries().into_iter().map(row).collect()
    }
}

/// The drained endpoints: cluster and endpoint.
#[derive(Debug, Default)]
pub(super) struct DrainTable(Mutex<BTreeSet<(Box<str>, Box<str>)>>);

impl DrainTable {
    /// Adds or removes an endpoint; beyond `MAX_ROWS` they are not exported.
    pub fn set(&self, cluster: &str, endpoint: &str, on: bool) {
        let (mut rows, row) = (lock(&self.0), (cluster.into(), endpoint.into()));
        if !on {
            rows.remove(&row);
        } else if rows.len() < MAX_ROWS {
            rows.insert(row);
        }
    }

    /// All drained endpoints.
    pub fn rows(&self) -> Vec<(Box<str>, Box<str>)> {
        lock(&self.0).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_exported_while_it_is_watched_up_to_a_maximum() {
        let table = EndpointTable::default();
        let one = table.handle("shop", "a:1");
        assert!(Arc::ptr_eq(&one, &table.handle("shop", "a:1")));
        one.set_up(false);
        one.ejected();
        one.probed(true);
        let rows = table.rows();
        assert_eq!((rows[0].up, rows[0].ejections, rows[0].successes, rows[0].failures), (false, 1, 1, 0));
        let many: Vec<_> = (0..2 * MAX_ROWS).map(|n| table.handle("shop", &format!("b:{n}"))).collect();
        assert_eq!(table.rows().len(), MAX_ROWS);
        drop((one, many));
        assert!(table.rows().is_empty());
    }
}
