//! What a cluster says about itself to an operator.

use super::cluster::Cluster;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Instant};

impl Cluster {
    /// Its endpoints, which of them may be chosen, and why others may not.
    pub fn status_json(&self, now: Instant) -> Value {
        let members = self.members();
        let endpoints = members.endpoints.iter().map(|endpoint| {
            let (word, why, left) = self.health().status_and_reason(&endpoint.state.health, now);
            let mut row = json!({
                "endpoint": &*endpoint.label,
                "weight": endpoint.weight,
                "health": word,
                "eligible": members.panic || self.health().is_eligible(&endpoint.state.health),
            });
            if !why.is_empty() {
                row["reason"] = why.into();
            }
            if let Some(left) = left {
                row["ejected_for_seconds"] = left.as_secs().into();
            }
            if self.counts() {
                row["in_flight"] = endpoint.state.in_flight.load(Relaxed).into();
            }
            row
        });
        let mut row = json!({
            "cluster": &*self.label,
            "balancer": self.balancer().name(),
            "resolved": members.known_count,
            "panic": members.panic,
        });
        if let Some(source) = self.source.get() {
            row["service"] = source.service.name.as_str().into();
        }
        row["endpoints"] = endpoints.collect();
        row
    }
}
