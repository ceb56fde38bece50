//! The user of a hub.

use std::sync::Arc;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubUser {
    pub service: Arc<str>,
    /// In lower case.
    pub hub: Arc<str>,
    pub user: Arc<str>,
}
