//! The server names of the one TLS port for all internal endpoints.

use super::blueprint::{EndpointProtocol, RoleEndpoint, RolesBlueprint};
use super::snapshot::{RoleSnapshot, is_internal};
use std::collections::HashMap;
use std::sync::Arc;

/// The label of a name: in lower case, with `-` for every character that is no letter, digit or `-`.
pub fn label(name: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(known).collect()
}

/// `endpoint.role`.
pub fn endpoint_name(endpoint: &RoleEndpoint) -> String {
    format!("{}.{}", label(&endpoint.name), label(&endpoint.role))
}

/// Where a server name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTarget {
    /// `Role.Endpoint`.
    pub endpoint: Arc<str>,
    /// One instance; `None`: any.
    pub instance: Option<Arc<str>>,
}

/// The server names of all internal endpoints and their instances.
#[derive(Clone, Debug, Default)]
pub struct InternalNames(HashMap<String, InternalTarget>);

impl InternalNames {
    /// The names below a domain.
    pub fn new(domain: &str, blueprint: &RolesBlueprint, snapshot: &RoleSnapshot) -> InternalNames {
        let mut names = HashMap::new();
        for (role, document) in blueprint.roles.iter().enumerate() {
            let reachable = document.endpoints.iter().filter(is_internal);
            for endpoint in reachable.filter(|endpoint| endpoint.protocol != EndpointProtocol::Udp) {
                let full_name: Arc<str> = endpoint.full_name.value.as_str().into();
                let name = format!("{}.{}", endpoint_name(endpoint), domain.to_ascii_lowercase());
                for instance in snapshot.roles.get(role).into_iter().flatten() {
                    let target =
                        InternalTarget { endpoint: full_name.clone(), instance: Some(instance.id.clone()) };
                    names.insert(format!("{}.{name}", label(&instance.id)), target);
                }
                names.insert(name, InternalTarget { endpoint: full_name, instance: None });
            }
        }
        InternalNames(names)
    }

    /// Where a server name in lower case leads to.
    pub fn find(&self, server_name: &str) -> Option<&InternalTarget> {
        self.0.get(server_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_letters_digits_and_hyphens_only() {
        assert_eq!(label("WorkerRole1_IN_0"), "workerrole1-in-0");
        assert_eq!(label("a.B-c"), "a-b-c");
    }
}
