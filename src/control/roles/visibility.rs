//! What a caller of the directory sees.

use crate::plan::roles::{EndpointKind, InstanceRef, RoleEndpoint, RolesPlan, Visibility};

/// The caller of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// An operator on the administration address.
    Operator,
    Instance(InstanceRef),
    /// No instance of a role, and authenticated by the route.
    Authenticated,
    Unknown,
}

/// What of a role is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleVisibility {
    Hidden,
    /// The caller itself.
    Own,
    All,
}

impl Viewer {
    /// What the caller sees of a role, by its index.
    pub fn sees(&self, roles: &RolesPlan, role: usize) -> RoleVisibility {
        let blueprint = &roles.blueprint;
        let Some(document) = blueprint.roles.get(role) else { return RoleVisibility::Hidden };
        let is_visible = |visible: bool| if visible { RoleVisibility::All } else { RoleVisibility::Hidden };
        let has = |kind: EndpointKind| document.endpoints.iter().any(|endpoint| endpoint.kind == kind);
        let visibility = blueprint.options.visibility;
        match self {
            Viewer::Operator | Viewer::Authenticated => RoleVisibility::All,
            _ if visibility == Visibility::All => RoleVisibility::All,
            Viewer::Unknown => is_visible(has(EndpointKind::Input)),
            Viewer::Instance(own) if own.role == role => {
                match visibility == Visibility::Original && !has(EndpointKind::Internal) {
                    true => RoleVisibility::Own,
                    false => RoleVisibility::All,
                }
            }
            Viewer::Instance(_) if visibility == Visibility::Original => {
                is_visible(has(EndpointKind::Internal))
            }
            Viewer::Instance(own) => {
                let reaches = |endpoint: &RoleEndpoint| {
                    let destination = blueprint.matrix.destination(&endpoint.full_name.value);
                    destination.is_some_and(|to| blueprint.matrix.decide(Some(own.role), to).allowed)
                };
                is_visible(document.endpoints.iter().any(reaches))
            }
        }
    }

    /// Whether the caller sees an instance of a role.
    pub fn sees_instance(&self, roles: &RolesPlan, role: usize, id: &str) -> bool {
        match self.sees(roles, role) {
            RoleVisibility::All => true,
            RoleVisibility::Own => matches!(self, Viewer::Instance(own) if *own.id == *id),
            RoleVisibility::Hidden => false,
        }
    }
}
