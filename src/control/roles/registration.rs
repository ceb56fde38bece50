//! Changes of instances: registrations, their end, and the status.

use super::{
    caller::DirectoryCaller,
    error::unknown,
    view,
    visibility::{RoleVisibility, Viewer},
    watch::refresh,
};
use crate::{
    control::admin::AdminError,
    plan::roles::{
        InstancePort, RegisterError, Registered, Registration, RegistrationRequest, RoleSnapshot, RolesPlan,
        StateChange,
    },
    server::Gateway,
};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The range of `ttlSeconds`.
const TTL_RANGE: std::ops::RangeInclusive<u64> = 10..=86_400;
/// How long a registration waits for the listeners of its public ports.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A registration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceBody {
    host: Option<String>,
    /// By endpoint, for endpoints whose port is dynamic.
    ports: BTreeMap<String, u16>,
    ttl_seconds: Option<u64>,
    status: Option<String>,
}

/// Parameters of a registration.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegistrationQuery {
    /// Nothing is changed.
    pub dry_run: bool,
}

/// A change of an instance that the caller may make.
pub struct Change<'g> {
    gateway: &'g Gateway,
    roles: Arc<RolesPlan>,
    /// The index of the role.
    role: usize,
    role_name: String,
    id: String,
}

impl<'g> Change<'g> {
    /// Checks that the caller sees the role, and may change the instance.
    ///
    /// # Errors
    ///
    /// `role.unknown`, `role.registration` and `role.self`.
    pub fn new(
        gateway: &'g Arc<Gateway>,
        caller: &DirectoryCaller,
        (role_name, id): (String, String),
    ) -> Result<Change<'g>, AdminError> {
        let roles = gateway.plan.load().roles.clone();
        let role = view::index(&roles, &role_name).ok_or_else(unknown)?;
        let viewer = caller.viewer(&roles);
        let forbidden =
            |code, detail: &'static str| Err(AdminError::new(StatusCode::FORBIDDEN, code, detail));
        let is_own = matches!(&viewer, Viewer::Instance(own) if own.role == role);
        match roles.blueprint.options.registration {
            Registration::Off if viewer.sees(&roles, role) == RoleVisibility::Hidden => return Err(unknown()),
            Registration::Off => return forbidden("role.registration", "RoleOptions.Registration is Off"),
            Registration::SelfOnly => {
                let Viewer::Instance(own) = &viewer else {
                    return Err(unknown_or_self(&roles, &viewer, role));
                };
                let is_new = roles.snapshot().instance(role, &id).is_none();
                if !is_own || (*own.id != *id && !is_new) {
                    return forbidden("role.self", "the caller is not this instance");
                }
            }
            Registration::Any if viewer.sees(&roles, role) == RoleVisibility::Hidden => return Err(unknown()),
            Registration::Any => {}
        }
        Ok(Change { gateway, roles, role, role_name, id })
    }

    fn is_static(&self) -> bool {
        self.roles.blueprint.roles[self.role].instances.iter().any(|instance| *instance.id == *self.id)
    }

    /// Takes the change over; waits for a new plan if public ports change.
    async fn publish(&self, change: StateChange) {
        if !change.is_any() {
            return;
        }
        let state = &self.gateway.shared_state.roles;
        if let Some(request) = refresh(self.gateway) {
            // The new plan publishes the change.
            return state.wait_applied(request, APPLY_TIMEOUT).await;
        }
        state.publish(&self.role_name, Some(&*self.id).filter(|_| !change.topology));
    }

    fn request(&self, body: InstanceBody) -> Result<RegistrationRequest, AdminError> {
        let endpoints = &self.roles.blueprint.roles[self.role].endpoints;
        for (name, port) in &body.ports {
            let is_dynamic = endpoints
                .iter()
                .any(|endpoint| *endpoint.name == **name && endpoint.instance_port == InstancePort::Dynamic);
            if !is_dynamic || *port == 0 {
                return Err(invalid(format!(
                    "ports: \"{name}\" is no endpoint with a dynamic port, or its port is 0"
                )));
            }
        }
        let default = self.roles.blueprint.options.registration_ttl;
        let ttl = body.ttl_seconds.map_or(Ok(default), |seconds| match TTL_RANGE.contains(&seconds) {
            true => Ok(Duration::from_secs(seconds)),
            false => Err(invalid("ttlSeconds must be between 10 and 86400".to_owned())),
        })?;
        let is_busy = match body.status.as_deref() {
            None => None,
            Some("Ready") => Some(false),
            Some("Busy") => Some(true),
            Some(_) => return Err(invalid("status must be \"Ready\" or \"Busy\"".to_owned())),
        };
        if let Some(host) = body.host.as_deref().filter(|host| !is_host(host)) {
            return Err(AdminError::new(
                StatusCode::BAD_REQUEST,
                "role.host",
                format!("invalid host \"{host}\": expected a host name or an IP address"),
            ));
        }
        Ok(RegistrationRequest { host: body.host, ports: body.ports, is_busy, ttl })
    }
}

/// Callers that are no instance, where only instances may change themselves.
fn unknown_or_self(roles: &RolesPlan, viewer: &Viewer, role: usize) -> AdminError {
    match viewer.sees(roles, role) {
        RoleVisibility::Hidden => unknown(),
        _ => AdminError::new(StatusCode::FORBIDDEN, "role.self", "the caller is no instance of a role"),
    }
}

fn invalid(detail: String) -> AdminError {
    AdminError::new(StatusCode::BAD_REQUEST, "admin.body", detail)
}

fn is_host(host: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    host.parse::<std::net::IpAddr>().is_ok() || (1..=253).contains(&host.len()) && host.chars().all(is_name)
}

fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Registers or renews an instance: the status of the response, and the instance.
///
/// # Errors
///
/// `role.host` and `admin.body`.
pub async fn register(
    change: &Change<'_>,
    body: InstanceBody,
    is_dry_run: bool,
) -> Result<(StatusCode, Value), AdminError> {
    if !is_id(&change.id) {
        return Err(invalid(
            "the id must have 1 to 128 letters, digits, hyphens, underscores or dots".to_owned(),
        ));
    }
    let request = change.request(body)?;
    let (key, is_static) = ((change.role_name.as_str(), change.id.as_str()), change.is_static());
    let scratch;
    let state = if is_dry_run {
        scratch = change.roles.state.copy();
        &scratch
    } else {
        &*change.roles.state
    };
    let (registered, changed) = state.register(key, &request, is_static, Instant::now()).map_err(refused)?;
    if !is_dry_run {
        change.publish(changed).await;
    }
    let roles = change.gateway.plan.load().roles.clone();
    let snapshot = RoleSnapshot::new(&roles.blueprint, &state.registrations());
    let value = view::instance_of(&roles, &snapshot, change.role, &change.id).ok_or_else(unknown)?;
    let is_new = registered == Registered::Created;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, value))
}

fn refused(error: RegisterError) -> AdminError {
    match error {
        RegisterError::MissingHost => {
            AdminError::new(StatusCode::BAD_REQUEST, "role.host", "a new instance needs a host")
        }
        RegisterError::TooMany => {
            AdminError::new(StatusCode::CONFLICT, "admin.body", "there are too many registrations")
        }
    }
}

/// Ends a registration; open connections go on.
///
/// # Errors
///
/// `role.static` and `role.unknown`.
pub async fn remove(change: &Change<'_>) -> Result<StatusCode, AdminError> {
    if change.is_static() {
        let detail = "the instance is part of the configuration";
        return Err(AdminError::new(StatusCode::CONFLICT, "role.static", detail));
    }
    let removed = change.roles.state.remove(&change.role_name, &change.id).ok_or_else(unknown)?;
    change.publish(removed).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an instance out of rotation, or back in.
///
/// # Errors
///
/// `role.unknown`.
pub fn set_status(change: &Change<'_>, is_busy: bool) -> Result<StatusCode, AdminError> {
    change.roles.snapshot().instance(change.role, &change.id).ok_or_else(unknown)?;
    let changed = change.roles.state.set_busy(&change.role_name, &change.id, is_busy);
    if changed.is_any() {
        refresh(change.gateway);
        change.roles.state.publish(&change.role_name, Some(&change.id));
    }
    Ok(StatusCode::NO_CONTENT)
}
