//! The responses in the memory of this gateway.

use super::super::purge::Purge;
use std::fmt::Debug;

/// What announcements of other gateways change.
pub trait LocalMemory: Send + Sync + Debug {
    /// Removes responses.
    fn forget(&self, purge: &Purge);

    /// Invalidates the responses with a mark.
    fn invalidate(&self, mark: u64);
}
