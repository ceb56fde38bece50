//! The backend endpoints of one listener of a replica, by the settings of the connections.

use crate::backend::endpoint::{Endpoint, EndpointRegistry};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// An endpoint, and the registry that made it, with TLS or without.
#[derive(Debug)]
struct SlotEntry {
    owner: Weak<EndpointRegistry>,
    is_secure: bool,
    endpoint: Arc<Endpoint>,
}

impl SlotEntry {
    fn fits(&self, owner: &Arc<EndpointRegistry>, is_secure: bool) -> bool {
        self.owner.as_ptr() == Arc::as_ptr(owner) && self.is_secure == is_secure
    }
}

/// The backend endpoints of one listener. The first settings that use it are found without a lock.
#[derive(Debug, Default)]
pub struct TransportSlot {
    first: OnceLock<SlotEntry>,
    others: Mutex<Vec<SlotEntry>>,
}

impl TransportSlot {
    /// The endpoint that `owner` made, or a new one.
    pub(super) fn get(
        &self,
        owner: &Arc<EndpointRegistry>,
        is_secure: bool,
        build: impl Fn() -> Arc<Endpoint>,
    ) -> Arc<Endpoint> {
        let entry = || SlotEntry { owner: Arc::downgrade(owner), is_secure, endpoint: build() };
        let first = self.first.get_or_init(entry);
        if first.fits(owner, is_secure) {
            return first.endpoint.clone();
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.iter().find(|entry| entry.fits(owner, is_secure)) {
            return known.endpoint.clone();
        }
        // Settings that no plan has any more.
        others.retain(|entry| entry.owner.strong_count() > 0);
        let entry = entry();
        let endpoint = entry.endpoint.clone();
        others.push(entry);
        endpoint
    }
}
