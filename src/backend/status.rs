//! The status of a cluster for operators (administration API).

use super::cluster::Cluster;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Instant};

impl Cluster {
    /// The endpoints, which of them are used, and the reasons of those that are not.
    pub fn status_json(&self, now: Instant) -> Value {
        let members = self.members();
        let endpoints = members.endpoints.iter().map(|endpoint| {
            let status = endpoint.state.health.status(self.health(), now);
            let mut row = json!({
                "endpoint": &*endpoint.label,
                "weight": endpoint.weight,
                "health": status.name,
                "eligible": members.is_panic || endpoint.state.health.is_eligible(self.health()),
            });
            if !status.reason.is_empty() {
                row["reason"] = status.reason.into();
            }
            if let Some(remaining) = status.remaining {
                row["ejected_for_seconds"] = remaining.as_secs().into();
            }
            if self.tracks_in_flight() {
                row["in_flight"] = endpoint.state.in_flight.load(Relaxed).into();
            }
            row
        });
        let mut row = json!({
            "cluster": &*self.label,
            "balancer": self.balancer().name(),
            "resolved": members.is_known,
            "panic": members.is_panic,
        });
        if let Some(source) = self.source.get() {
            row["service"] = source.service.name.as_str().into();
        }
        row["endpoints"] = endpoints.collect();
        row
    }
}
