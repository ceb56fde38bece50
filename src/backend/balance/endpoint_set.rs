//! The endpoints that may be selected at one moment, with what a balancer precomputes for them.

use super::{consistent_hash::LookupTable, round_robin::WeightedSchedule};
use crate::backend::{endpoint::Endpoint, selection::is_untried};
use smallvec::SmallVec;
use std::sync::Arc;

/// The eligible endpoints of a cluster; built whenever the set changes, never per request.
#[derive(Debug, Default)]
pub struct EndpointSet {
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Weighted round robin and weighted random.
    pub(super) schedule: WeightedSchedule,
    /// Consistent hashing.
    pub(super) hash_table: LookupTable,
    /// The value of the session cookie for each endpoint (sticky sessions kept by the client).
    pub(super) session_ids: Box<[u64]>,
}

impl EndpointSet {
    /// The number of slots of one round.
    pub(super) fn slots(&self) -> usize {
        self.schedule.len(self.endpoints.len())
    }

    /// The endpoint at a position of the schedule, or the next one that was not tried. The set must not be empty.
    pub(super) fn pick_from(&self, index: usize, tried: &[Arc<Endpoint>]) -> &Arc<Endpoint> {
        let at = |index: usize| &self.endpoints[self.schedule.endpoint_at(index, self.endpoints.len())];
        if tried.is_empty() {
            return at(index);
        }
        let mut round = (0..self.slots()).map(|n| at(index.wrapping_add(n)));
        round.find(|e| is_untried(e, tried)).unwrap_or_else(|| at(index))
    }

    /// The endpoints that were not tried; all of them if every one was.
    pub(super) fn candidates(&self, tried: &[Arc<Endpoint>]) -> SmallVec<[&Arc<Endpoint>; 16]> {
        let untried: SmallVec<_> = self.endpoints.iter().filter(|e| is_untried(e, tried)).collect();
        if untried.is_empty() { self.endpoints.iter().collect() } else { untried }
    }
}
