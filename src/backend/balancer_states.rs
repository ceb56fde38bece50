//! The state of load balancers that outlives a plan: counters and sticky sessions.

use super::{
    balance::{Balancer, BalancerKind, DEFAULT_EXPIRY, SessionStore, Sessions, Sticky},
    cluster_spec::ClusterSpec,
};
use crate::base::weak_map::WeakMap;
use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

/// Counters and sessions by their keys.
#[derive(Debug, Default)]
pub(super) struct BalancerStates {
    /// Counters that all clusters with one cookie name share, as in Ocelot.
    cookie_counters: WeakMap<String, AtomicUsize>,
    /// Sessions by cluster or cookie, and their lifetime.
    sessions: WeakMap<(String, Duration), Sessions>,
}

impl BalancerStates {
    /// The balancer of a cluster; `counter` is that of the cluster.
    pub fn balancer(&self, spec: &ClusterSpec, counter: &Arc<AtomicUsize>) -> Balancer {
        let (mut counter, mut sessions) = (counter.clone(), None);
        if let BalancerKind::Sticky(Sticky { cookie, expiry, store }) = &spec.balancer {
            let expiry = expiry.unwrap_or(DEFAULT_EXPIRY);
            let key = match store {
                SessionStore::Unbounded => format!("CookieStickySessions:{cookie}"),
                SessionStore::Bounded | SessionStore::Shared | SessionStore::Cookie => spec.key.clone(),
            };
            if *store == SessionStore::Unbounded {
                counter = self.cookie_counters.get_or_insert_with(key.clone(), || AtomicUsize::new(0));
            }
            if *store != SessionStore::Cookie {
                sessions = Some(self.sessions(spec, *store, key, expiry));
            }
        }
        Balancer::new(spec.balancer.clone(), counter, sessions)
    }

    /// The sessions of a cluster, with those of other gateways if they are shared.
    fn sessions(
        &self,
        spec: &ClusterSpec,
        store: SessionStore,
        key: String,
        expiry: Duration,
    ) -> Arc<Sessions> {
        match spec.sessions.as_ref().filter(|_| store == SessionStore::Shared) {
            None => self.sessions.get_or_insert_with((key, expiry), || Sessions::new(expiry)),
            Some(directories) => {
                let open = || Sessions::shared(expiry, directories.open(&key, expiry));
                self.sessions.get_or_insert_with((format!("{key}|{}", directories.id()), expiry), open)
            }
        }
    }
}
