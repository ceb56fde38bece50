//! The sticky sessions of several gateways: what a floor that connects them provides.

use std::{fmt::Debug, sync::Arc, time::Duration};

/// The sessions of one cluster.
pub trait SessionDirectory: Send + Sync + Debug {
    /// The label of the endpoint that a gateway has assigned to a session.
    fn endpoint(&self, cookie: &[u8]) -> Option<Arc<str>>;

    /// Records that a session uses an endpoint.
    fn record(&self, cookie: &[u8], endpoint: &Arc<str>);
}

/// Opens the sessions of clusters.
pub trait SessionDirectories: Send + Sync + Debug {
    /// Identifies the store: sessions under another one are not the same.
    fn id(&self) -> String;

    /// The sessions of a cluster that are forgotten after `expiry` without a request.
    fn open(&self, cluster: &str, expiry: Duration) -> Arc<dyn SessionDirectory>;
}
