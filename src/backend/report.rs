//! What a cluster says about itself to an operator.

use super::cluster::Cluster;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Instant};

impl Cluster {
    /// Its endpoints, which of them may be chosen, and why others may not.
    pub fn report(&self, now: Instant) -> Value {
        let members = self.members();
        let endpoints = members.list.iter().map(|endpoint| {
            let (word, why, left) = self.health().told(&endpoint.state.health, now);
            let mut told = json!({
                "endpoint": &*endpoint.label,
                "weight": endpoint.weight,
                "health": word,
                "used": members.panic || self.health().admits(&endpoint.state.health),
            });
            if !why.is_empty() {
                told["why"] = why.into();
            }
            if let Some(left) = left {
                told["secondsLeft"] = left.as_secs().into();
            }
            if self.counts() {
                told["inFlight"] = endpoint.state.leases.load(Relaxed).into();
            }
            told
        });
        let mut told = json!({
            "cluster": &*self.label,
            "balancer": self.balancer().name(),
            "known": members.known,
            "panic": members.panic,
        });
        if let Some(source) = self.source.get() {
            told["service"] = source.service.name.as_str().into();
        }
        told["endpoints"] = endpoints.collect();
        told
    }
}
