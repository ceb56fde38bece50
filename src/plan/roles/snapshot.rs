//! The instances of all roles at one moment: those of the document, with what was registered about them, and registered ones.

use super::{
    blueprint::{EndpointKind, InstanceIdentity, InstancePort, RoleBlueprint, RoleEndpoint, RolesBlueprint},
    identity::{IdentityTable, InstanceRef},
};
use crate::backend::endpoint::Instance;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What is registered about an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisteredInstance {
    /// The host of an instance that the document does not have.
    pub host: Option<String>,
    pub ports: BTreeMap<String, u16>,
    /// `None`: as the document has it.
    pub is_busy: Option<bool>,
}

/// The registrations by role and id, in this order.
pub type Registrations = BTreeMap<(String, String), RegisteredInstance>;

/// An instance as it is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    pub id: Arc<str>,
    pub host: String,
    pub ports: BTreeMap<String, u16>,
    pub fault_domain: i64,
    pub update_domain: i64,
    pub is_busy: bool,
    /// Whether the document does not have it.
    pub is_registered: bool,
}

/// All instances, role by role.
#[derive(Clone, Debug, Default)]
pub struct RoleSnapshot {
    /// In the order of the roles of the document.
    pub roles: Vec<Vec<InstanceView>>,
    pub identities: IdentityTable,
}

impl RoleSnapshot {
    /// Combines the document with the registrations.
    pub fn new(blueprint: &RolesBlueprint, registrations: &Registrations) -> RoleSnapshot {
        let mut identities = IdentityTable::default();
        let roles = blueprint.roles.iter().enumerate();
        let roles = roles
            .map(|(role, document)| {
                let all = instances(document, registrations);
                for (view, identity) in &all {
                    // The document was checked, and a registered instance that another one hides is not recognized.
                    let _ = identities.add(&InstanceRef { role, id: view.id.clone() }, identity);
                }
                all.into_iter().map(|(view, _)| view).collect()
            })
            .collect();
        RoleSnapshot { roles, identities }
    }

    /// An instance.
    pub fn instance(&self, role: usize, id: &str) -> Option<&InstanceView> {
        self.roles.get(role)?.iter().find(|instance| *instance.id == *id)
    }

    /// The instances of a role that receive traffic of an endpoint, with their ports.
    pub fn targets(&self, role: usize, endpoint: &RoleEndpoint) -> Vec<Instance> {
        let instances = self.roles.get(role).into_iter().flatten();
        let is_used = |instance: &&InstanceView| !instance.is_busy || endpoint.ignores_status;
        instances.filter(is_used).filter_map(|instance| instance.target(endpoint)).collect()
    }
}

impl InstanceView {
    /// The port of an endpoint on this instance; `None`: it is not known, or a range.
    pub fn port(&self, endpoint: &RoleEndpoint) -> Option<u16> {
        match endpoint.instance_port {
            InstancePort::Fixed(port) => Some(port),
            InstancePort::Dynamic => self.ports.get(&*endpoint.name).copied(),
            InstancePort::Range(_) => None,
        }
    }

    /// The address of an endpoint on this instance; `None`: its port is not known.
    pub fn target(&self, endpoint: &RoleEndpoint) -> Option<Instance> {
        let port = match endpoint.instance_port {
            // The port of the listener.
            InstancePort::Range(_) => 0,
            _ => self.port(endpoint)?,
        };
        Some(Instance::new(self.host.as_str(), port))
    }
}

fn instances(
    document: &RoleBlueprint,
    registrations: &Registrations,
) -> Vec<(InstanceView, InstanceIdentity)> {
    let own: HashMap<&str, &RegisteredInstance> = registrations
        .iter()
        .filter(|((role, _), _)| *role == *document.name)
        .map(|((_, id), registered)| (id.as_str(), registered))
        .collect();
    let mut all: Vec<(InstanceView, InstanceIdentity)> = document
        .instances
        .iter()
        .map(|instance| {
            let registered = own.get(&*instance.id);
            let mut ports = instance.ports.clone();
            ports.extend(registered.iter().flat_map(|r| &r.ports).map(|(name, port)| (name.clone(), *port)));
            let view = InstanceView {
                id: instance.id.clone(),
                host: instance.host.clone(),
                ports,
                fault_domain: instance.fault_domain,
                update_domain: instance.update_domain,
                is_busy: registered.and_then(|r| r.is_busy).unwrap_or(instance.is_busy),
                is_registered: false,
            };
            (view, instance.identity.clone())
        })
        .collect();
    let is_static = |id: &str| document.instances.iter().any(|instance| *instance.id == *id);
    let added = registrations.iter().filter(|((role, id), _)| *role == *document.name && !is_static(id));
    all.extend(added.filter_map(|((_, id), registered)| registered_instance(id, registered)));
    all
}

fn registered_instance(
    id: &str,
    registered: &RegisteredInstance,
) -> Option<(InstanceView, InstanceIdentity)> {
    let host = registered.host.clone()?;
    let identity = InstanceIdentity::of_host(&host);
    let view = InstanceView {
        id: id.into(),
        host,
        ports: registered.ports.clone(),
        fault_domain: 0,
        update_domain: 0,
        is_busy: registered.is_busy.unwrap_or(false),
        is_registered: true,
    };
    Some((view, identity))
}

/// Whether an endpoint is one that traffic rules are about.
pub fn is_internal(endpoint: &&RoleEndpoint) -> bool {
    endpoint.kind == EndpointKind::Internal
}
