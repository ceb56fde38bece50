//! The JSON of roles and instances.

use super::visibility::{RoleVisibility, Viewer};
use crate::{
    base::port_range::PortRange,
    plan::roles::{EndpointKind, InstancePort, InstanceView, RoleEndpoint, RoleSnapshot, RolesPlan},
};
use serde_json::{Map, Value, json};
use std::time::Instant;

/// The roles that a caller sees.
pub fn roles(roles: &RolesPlan, viewer: &Viewer) -> Value {
    let snapshot = roles.snapshot();
    let visible = (0..roles.blueprint.roles.len())
        .map(|at| (at, viewer.sees(roles, at)))
        .filter(|(_, sees)| *sees != RoleVisibility::Hidden);
    let all: Vec<Value> = visible
        .map(|(at, sees)| {
            let role = &roles.blueprint.roles[at];
            let instances = match sees {
                RoleVisibility::Own => 1,
                _ => snapshot.roles.get(at).map_or(0, Vec::len),
            };
            let endpoints: Vec<Value> = role.endpoints.iter().map(endpoint).collect();
            json!({ "role": &*role.name, "instances": instances, "endpoints": endpoints })
        })
        .collect();
    json!({ "version": roles.state.version(), "roles": all })
}

/// One role; `None`: the caller does not see it.
pub fn role(roles: &RolesPlan, viewer: &Viewer, name: &str) -> Option<Value> {
    let at = index(roles, name)?;
    (viewer.sees(roles, at) != RoleVisibility::Hidden).then_some(())?;
    let snapshot = roles.snapshot();
    let instances = snapshot.roles.get(at)?.iter();
    let visible = instances.filter(|instance| viewer.sees_instance(roles, at, &instance.id));
    let instances: Vec<Value> = visible.map(|view| instance(roles, at, view)).collect();
    Some(json!({ "version": roles.state.version(), "role": name, "instances": instances }))
}

/// The index of a role.
pub fn index(roles: &RolesPlan, name: &str) -> Option<usize> {
    roles.blueprint.roles.iter().position(|role| *role.name == *name)
}

/// One instance of a snapshot.
pub fn instance_of(roles: &RolesPlan, snapshot: &RoleSnapshot, role: usize, id: &str) -> Option<Value> {
    Some(instance(roles, role, snapshot.instance(role, id)?))
}

fn endpoint(endpoint: &RoleEndpoint) -> Value {
    let text = |range: Option<PortRange>| range.map(|range| range.to_string());
    let instance_port = instance_port(endpoint, None);
    let (port, local_port) = match endpoint.kind {
        EndpointKind::Input => (json!(endpoint.public_port), instance_port),
        EndpointKind::InstanceInput => (Value::Null, instance_port),
        EndpointKind::Internal => (instance_port, Value::Null),
    };
    json!({
        "endpoint": &*endpoint.name,
        "kind": endpoint.kind.name(),
        "protocol": endpoint.protocol.name(),
        "port": port,
        "localPort": local_port,
        "publicPorts": text(endpoint.public_ports),
        "gatewayPort": endpoint.gateway_port,
    })
}

/// The port of an endpoint on an instance; of a range its text.
fn instance_port(endpoint: &RoleEndpoint, instance: Option<&InstanceView>) -> Value {
    match (endpoint.instance_port, instance) {
        (InstancePort::Range(range), _) => json!(range.to_string()),
        (InstancePort::Fixed(port), _) => json!(port),
        (InstancePort::Dynamic, instance) => json!(instance.and_then(|instance| instance.port(endpoint))),
    }
}

/// An instance with its endpoints.
pub fn instance(roles: &RolesPlan, role: usize, view: &InstanceView) -> Value {
    let document = &roles.blueprint.roles[role];
    let mut endpoints = Map::new();
    for endpoint in &document.endpoints {
        let public_port = match endpoint.kind {
            EndpointKind::Input => json!(endpoint.public_port),
            EndpointKind::InstanceInput => {
                json!(roles.ports.get(&endpoint.full_name.value).and_then(|ports| ports.get(&*view.id)))
            }
            EndpointKind::Internal => Value::Null,
        };
        let value = json!({
            "protocol": endpoint.protocol.name(),
            "port": instance_port(endpoint, Some(view)),
            "publicPort": public_port,
        });
        endpoints.insert(endpoint.name.to_string(), value);
    }
    json!({
        "id": &*view.id,
        "host": view.host,
        "faultDomain": view.fault_domain,
        "updateDomain": view.update_domain,
        "status": status_name(view),
        "health": health(roles, role, view),
        "registered": view.is_registered,
        "endpoints": endpoints,
    })
}

/// `Ready` or `Busy`.
pub fn status_name(view: &InstanceView) -> &'static str {
    if view.is_busy { "Busy" } else { "Ready" }
}

/// `healthy`, or the health of the first endpoint of the instance that is not.
pub fn health(roles: &RolesPlan, role: usize, view: &InstanceView) -> String {
    let document = &roles.blueprint.roles[role];
    for endpoint in &document.endpoints {
        let Some(target) = view.target(endpoint) else { continue };
        for cluster in roles.clusters_of(&document.name, &endpoint.name) {
            let label = target.label();
            let status = cluster.status(Instant::now());
            let own = status.endpoints.into_iter().find(|known| known.endpoint == label);
            if let Some(own) = own.filter(|own| !own.eligible) {
                return own.health;
            }
        }
    }
    "healthy".to_owned()
}
