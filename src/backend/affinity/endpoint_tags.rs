//! The endpoints of a cluster by tag.

use super::tag::AffinityKey;
use crate::{
    backend::{
        cluster::{Cluster, EndpointsSnapshot},
        endpoint::Endpoint,
    },
    pipeline::affinity::EndpointTag,
};
use arc_swap::ArcSwap;
use std::sync::{Arc, Weak};

/// The tags of the endpoints, computed once for each change of the cluster.
#[derive(Debug)]
pub struct EndpointTags {
    key: AffinityKey,
    current: ArcSwap<TagTable>,
}

#[derive(Debug, Default)]
struct TagTable {
    /// The endpoints that the tags belong to.
    members: Weak<EndpointsSnapshot>,
    tags: Box<[EndpointTag]>,
}

impl EndpointTags {
    /// Tags with this key.
    pub fn new(key: AffinityKey) -> EndpointTags {
        EndpointTags { key, current: ArcSwap::default() }
    }

    /// The endpoint of this tag, healthy or not; `None`: the cluster has no such endpoint.
    pub fn find(&self, cluster: &Cluster, tag: EndpointTag) -> Option<Arc<Endpoint>> {
        let members = cluster.members();
        let mut table = self.current.load_full();
        if !std::ptr::eq(table.members.as_ptr(), Arc::as_ptr(&members)) {
            let tags = members.endpoints.iter().map(|endpoint| self.key.tag(&endpoint.label)).collect();
            table = Arc::new(TagTable { members: Arc::downgrade(&members), tags });
            self.current.store(table.clone());
        }
        let at = table.tags.iter().position(|known| *known == tag)?;
        members.endpoints.get(at).cloned()
    }

    /// The tag of the endpoint with this address, as a text.
    pub fn text(&self, address: &str) -> String {
        self.key.encode(self.key.tag(address))
    }
}
