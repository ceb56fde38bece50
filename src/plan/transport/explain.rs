//! Explains which transport route a connection takes: `margay explain connection`.

use super::{
    blueprint::TransportRouteBlueprint,
    router::{MatchReason, TransportRouter},
};
use crate::{
    net::client_hello::ClientHello,
    plan::{
        blueprint::{Blueprint, ClusterBlueprint},
        roles::{InternalNames, blueprint::INTERNAL_LISTENER, snapshot_of},
    },
};
use serde::Serialize;
use std::net::IpAddr;

/// A connection to explain.
#[derive(Clone, Debug, Default)]
pub struct ConnectionQuery {
    pub listener: String,
    pub server_name: Option<String>,
    pub alpn: Vec<String>,
    pub from: Option<IpAddr>,
}

/// Which route a connection takes, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionExplanation {
    pub listener: String,
    /// `None`: the connection is refused, or HTTP serves it.
    pub route: Option<String>,
    /// The condition that holds, or why there is no route.
    pub because: String,
    pub endpoints: Vec<String>,
    /// The error code, if the address of the client is not admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
}

impl ConnectionQuery {
    /// The explanation.
    ///
    /// # Errors
    ///
    /// The names of all listeners if the one of the query is unknown.
    pub fn explain(&self, blueprint: &Blueprint) -> Result<ConnectionExplanation, String> {
        let listener = blueprint.listeners.iter().find(|listener| *listener.name == *self.listener);
        let is_instance_input =
            |input: &&crate::plan::roles::blueprint::InstanceInput| input.full_name == self.listener;
        if let Some(input) = blueprint.roles.instance_inputs.iter().find(is_instance_input) {
            return Ok(self.found(&input.full_name, "instance", endpoints(blueprint, &input.cluster)));
        }
        let Some(listener) = listener else {
            let names: Vec<&str> = blueprint.listeners.iter().map(|listener| &*listener.name).collect();
            return Err(format!(
                "unknown listener \"{}\"; expected one of {}",
                self.listener,
                names.join(", ")
            ));
        };
        if *listener.name == *INTERNAL_LISTENER {
            return Ok(self.internal(blueprint));
        }
        let own: Vec<&TransportRouteBlueprint> = blueprint
            .transport_routes
            .iter()
            .filter(|route| route.listeners.contains(&self.listener))
            .collect();
        let router = TransportRouter::new(own.iter().map(|route| &route.conditions).enumerate());
        let Some((at, reason)) = self.find(&router) else {
            return Ok(self.without_route("no conditions of a route hold"));
        };
        let route = own[at];
        let explained = self.found(&route.name, reason.text(), endpoints(blueprint, &route.cluster));
        let is_denied = self.from.is_some_and(|from| !route.admission.admits(from));
        Ok(ConnectionExplanation { refused: is_denied.then_some("access.ip_denied"), ..explained })
    }

    fn find(&self, router: &TransportRouter) -> Option<(usize, MatchReason)> {
        router.find(&ClientHello {
            server_name: self.server_name.as_ref().map(|name| name.to_ascii_lowercase().into()),
            alpn: self.alpn.iter().map(|name| name.as_bytes().into()).collect(),
        })
    }

    /// The route by the server name of an internal endpoint.
    fn internal(&self, blueprint: &Blueprint) -> ConnectionExplanation {
        let roles = &blueprint.roles;
        let Some(listener) = &roles.options.internal_listener else {
            return self.without_route("there is no internal listener");
        };
        let snapshot = snapshot_of(roles);
        let name = self.server_name.clone().unwrap_or_default().to_ascii_lowercase();
        let names = InternalNames::new(&listener.domain, roles, &snapshot);
        let Some(target) = names.find(&name) else {
            return self.without_route("the server name leads to no endpoint");
        };
        let settings = listener.endpoints.get(&*target.endpoint);
        let mut all = settings.map_or(Vec::new(), |settings| endpoints(blueprint, &settings.cluster));
        if let Some(id) = &target.instance {
            let own = target.endpoint.split_once('.').and_then(|(role, endpoint)| {
                let at = roles.roles.iter().position(|known| *known.name == *role)?;
                let endpoint = roles.roles[at].endpoints.iter().find(|known| *known.name == *endpoint)?;
                snapshot.instance(at, id)?.target(endpoint)
            });
            all = own.map(|own| format!("{}:{}", own.host, own.port)).into_iter().collect();
        }
        self.found(&target.endpoint, &name, all)
    }

    fn found(&self, route: &str, because: &str, endpoints: Vec<String>) -> ConnectionExplanation {
        ConnectionExplanation {
            listener: self.listener.clone(),
            route: Some(route.to_owned()),
            because: because.to_owned(),
            endpoints,
            refused: None,
        }
    }

    fn without_route(&self, because: &str) -> ConnectionExplanation {
        ConnectionExplanation {
            listener: self.listener.clone(),
            route: None,
            because: because.to_owned(),
            endpoints: Vec::new(),
            refused: None,
        }
    }
}

/// The endpoints of a cluster, those of a role as the document has its instances.
fn endpoints(blueprint: &Blueprint, cluster: &ClusterBlueprint) -> Vec<String> {
    if let Some(target) = &cluster.role {
        let role = blueprint.roles.roles.iter().position(|role| *role.name == *target.role);
        let endpoint = role.and_then(|role| {
            let mut all = blueprint.roles.roles[role].endpoints.iter();
            all.find(|endpoint| *endpoint.name == *target.endpoint).map(|endpoint| (role, endpoint))
        });
        let snapshot = snapshot_of(&blueprint.roles);
        let targets = endpoint.map_or(Vec::new(), |(role, endpoint)| snapshot.targets(role, endpoint));
        return targets.iter().map(|target| format!("{}:{}", target.host, target.port)).collect();
    }
    if let Some(service) = &cluster.discovery {
        return vec![format!("discovered: {}", service.service.name)];
    }
    let address = |endpoint: &crate::plan::blueprint::Endpoint| match endpoint.port {
        Some(port) => format!("{}:{port}", endpoint.host),
        None => endpoint.host.clone(),
    };
    cluster.endpoints.iter().map(address).collect()
}
