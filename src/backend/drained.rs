//! The endpoints that an operator drains. They are remembered by cluster and address, so that a reload or a discovery provider
//! that removes an endpoint and adds it again does not enable it.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Maximum number of drained endpoints.
const MAX_DRAINED: usize = 10_000;

/// Why an endpoint is not drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainError {
    /// The cluster has no such endpoint.
    UnknownEndpoint,
    /// 10,000 endpoints are drained already.
    TooMany,
}

/// The drained endpoints of the process.
#[derive(Debug, Default)]
pub(super) struct DrainedEndpoints {
    /// The number of entries: without any, a change of a cluster takes no lock.
    count: AtomicUsize,
    /// Key of the cluster, and label of the endpoint.
    entries: Mutex<BTreeSet<(String, String)>>,
}

impl DrainedEndpoints {
    /// Adds or removes an endpoint.
    pub fn set(&self, cluster: &str, endpoint: &str, on: bool) -> Result<(), DrainError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (cluster.to_owned(), endpoint.to_owned());
        if !on {
            entries.remove(&entry);
        } else if entries.len() < MAX_DRAINED {
            entries.insert(entry);
        } else {
            return Err(DrainError::TooMany);
        }
        self.count.store(entries.len(), Relaxed);
        Ok(())
    }

    /// Whether the endpoint is drained.
    pub fn contains(&self, cluster: &str, endpoint: &str) -> bool {
        self.count.load(Relaxed) > 0
            && self
                .entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&(cluster.to_owned(), endpoint.to_owned()))
    }
}
