//! Health metrics of endpoints, exported while a health check or outlier detection is active.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

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
pub(super) struct EndpointTable(Mutex<Handles>);

/// Handles by cluster and endpoint.
type Handles = BTreeMap<(Box<str>, Box<str>), Weak<EndpointMetrics>>;

impl EndpointTable {
    /// The metrics of an endpoint: equal labels share them. Beyond `MAX_ROWS` endpoints they are not exported.
    pub fn handle(&self, cluster: &str, endpoint: &str) -> Arc<EndpointMetrics> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Box::from(cluster), Box::from(endpoint));
        if let Some(existing) = table.get(&key).and_then(Weak::upgrade) {
            return existing;
        }
        let new = Arc::default();
        if table.len() >= MAX_ROWS {
            table.retain(|_, handle| handle.strong_count() > 0);
        }
        if table.len() < MAX_ROWS {
            table.insert(key, Arc::downgrade(&new));
        }
        new
    }

    /// The endpoints that are in use, in the order of their labels.
    pub fn rows(&self) -> Vec<EndpointRow> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |((cluster, endpoint), handle): (&(Box<str>, Box<str>), &Weak<EndpointMetrics>)| {
            let of = handle.upgrade()?;
            let (cluster, endpoint) = (cluster.clone(), endpoint.clone());
            let (ejections, success, failure) =
                (of.ejections.load(Relaxed), of.successes.load(Relaxed), of.failures.load(Relaxed));
            Some(EndpointRow {
                cluster,
                endpoint,
                up: !of.down.load(Relaxed),
                ejections,
                successes: success,
                failures: failure,
            })
        };
        table.iter().filter_map(row).collect()
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
