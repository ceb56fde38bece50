//! The one TLS port for all internal endpoints: the server name selects the endpoint, or one of its instances.

use super::route::TransportRoute;
use crate::plan::roles::{InternalNames, RoleSnapshot, RolesPlan};
use arc_swap::ArcSwap;
use std::{collections::HashMap, fmt, sync::Arc};

/// The routes by endpoint, and the server names of the instances at the moment.
pub struct InternalTargets {
    domain: String,
    roles: Arc<RolesPlan>,
    routes: HashMap<String, Arc<TransportRoute>>,
    names: ArcSwap<(Arc<RoleSnapshot>, InternalNames)>,
}

impl fmt::Debug for InternalTargets {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "InternalTargets({})", self.domain)
    }
}

/// Where a server name leads to.
#[derive(Clone, Debug)]
pub struct InternalRoute {
    pub route: Arc<TransportRoute>,
    /// The host and port of one instance; `None`: any.
    pub instance: Option<(String, u16)>,
}

impl InternalTargets {
    /// The targets below a domain; `routes` by `Role.Endpoint`.
    pub fn new(
        domain: &str,
        roles: Arc<RolesPlan>,
        routes: HashMap<String, Arc<TransportRoute>>,
    ) -> InternalTargets {
        let names = names(domain, &roles, roles.snapshot());
        InternalTargets { domain: domain.to_owned(), roles, routes, names: ArcSwap::from_pointee(names) }
    }

    /// The target of a server name in lower case; `None`: the name leads nowhere.
    pub fn find(&self, server_name: &str) -> Option<InternalRoute> {
        let (snapshot, mut current) = (self.roles.snapshot(), self.names.load_full());
        if !Arc::ptr_eq(&snapshot, &current.0) {
            current = Arc::new(names(&self.domain, &self.roles, snapshot.clone()));
            self.names.store(current.clone());
        }
        let target = current.1.find(server_name)?;
        let route = self.routes.get(&*target.endpoint)?.clone();
        let Some(id) = &target.instance else { return Some(InternalRoute { route, instance: None }) };
        let (role, endpoint) = target.endpoint.split_once('.')?;
        let (role, endpoint) = self.roles.endpoint(role, endpoint)?;
        let instance = snapshot.instance(role, id)?.target(endpoint)?;
        Some(InternalRoute { route, instance: Some((instance.host, instance.port)) })
    }
}

fn names(domain: &str, roles: &RolesPlan, snapshot: Arc<RoleSnapshot>) -> (Arc<RoleSnapshot>, InternalNames) {
    let names = InternalNames::new(domain, &roles.blueprint, &snapshot);
    (snapshot, names)
}
