//! Stored responses that several gateways share (`"Cache": { "Shared": true }`): memory first, then Redis, then the backend.
//!
//! The leader of the requests of a gateway for a key asks Redis. Without a response one gateway gets a lock and fetches it;
//! the others wait for its announcement, and take over when the lock expires. Purges are numbered: a response is not used
//! if a later purge selects it, whichever gateways were away when it happened.

mod codec;
mod fetch;
mod local_memory;
mod obtain;
mod purges;
mod store;
mod tasks;

pub use fetch::SharedFetch;
pub use local_memory::LocalMemory;
pub use obtain::{LoadedResponse, Obtained, SharedQuery};
pub use store::SharedCache;

use crate::state::SharedState;
use std::sync::{Arc, Weak};

/// Starts the cache of a shared state, with the memory in front of it.
pub fn start(state: &Arc<SharedState>, memory: Weak<dyn LocalMemory>) -> Arc<SharedCache> {
    let cache = Arc::new(SharedCache::new(state, memory));
    tasks::start(&cache);
    cache
}
