//! The active form of a listener: what `server::l4` reads for every connection and datagram.

use super::{access::Admission, internal::InternalTargets, route::TransportRoute, router::TransportRouter};
use crate::plan::roles::EndpointGuard;
use std::{sync::Arc, time::Duration};

/// What serves the connections of a listener before HTTP does, or instead of it.
#[derive(Debug, Default)]
pub struct TransportListener {
    /// Indexes of `routes`.
    pub router: TransportRouter,
    pub routes: Box<[Arc<TransportRoute>]>,
    /// The time for a ClientHello; `None`: connections are not read before their route is known.
    pub hello_timeout: Option<Duration>,
    /// The port for all internal endpoints of roles: the server name selects the route.
    pub internal: Option<InternalTargets>,
    /// An HTTP listener: requests of these clients are admitted.
    pub http: Option<HttpAdmission>,
}

/// Who may send requests to the HTTP listener of an endpoint of a role.
#[derive(Debug, Default)]
pub struct HttpAdmission {
    pub admission: Admission,
    pub guard: Option<Arc<EndpointGuard>>,
}
