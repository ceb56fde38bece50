//! The handlers of the data plane that change or query connections, groups and permissions.

use super::{
    body,
    call::{Call, PathNames, valid_group},
    error::DataPlaneError,
};
use crate::{
    pipeline::error::ErrorCode,
    realtime::{
        message::{Origin, Publication},
        operation::{Operation, Outcome, PermissionAction, Recipients, Selection},
        permissions::PermissionKind,
    },
};
use axum::{Extension, body::Body};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What a handler returns: a status without a body.
pub type StatusResult = Result<StatusCode, DataPlaneError>;
/// The call as handlers receive it.
pub type CallExtension = Extension<Arc<Call>>;

/// Maximum of `messageTtlSeconds`.
const MAX_TTL_SECONDS: u32 = 300;
/// The reason for closing connections, if the request has none.
const DEFAULT_CLOSE_REASON: &str = "The connection was closed by the application server.";

/// `POST .../:send`
pub async fn send(
    Extension(call): CallExtension,
    names: PathNames,
    headers: HeaderMap,
    body: Body,
) -> StatusResult {
    let recipients = names.recipients()?;
    let to = call.selection(recipients)?;
    let ttl_seconds = call.integer("messageTtlSeconds", 0, MAX_TTL_SECONDS)?.filter(|ttl| *ttl > 0);
    let payload = body::read_payload(&headers, body).await?;
    let origin = match &to.recipients {
        Recipients::Group(group) => Origin::Group { group: group.clone(), from_user: None },
        _ => Origin::Server,
    };
    let expires_at = ttl_seconds.map(|ttl| SystemTime::now() + Duration::from_secs(ttl.into()));
    let publication = Arc::new(Publication::new(origin, payload).with_expiry(expires_at));
    call.execute(Operation::Send { to, publication }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `POST .../:closeConnections` and `DELETE /connections/{connection}`
pub async fn close(Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let mut whom = call.selection(names.recipients()?)?;
    whom.filter = None;
    let reason = call.parameter("reason").filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or(DEFAULT_CLOSE_REASON).into();
    call.execute(Operation::Close { whom, reason }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `HEAD /connections/{connection}`, `/groups/{group}` and `/users/{user}`
pub async fn exists(Extension(call): CallExtension, names: PathNames) -> StatusResult {
    match call.execute(Operation::Count(names.recipients()?)).await?.matched {
        0 => Err(DataPlaneError::new(ErrorCode::HubNotFound, "The target does not exist.")),
        _ => Ok(StatusCode::OK),
    }
}

/// `PUT` and `DELETE /groups/{group}/connections/{connection}`
pub async fn connection_in_group(
    method: Method,
    Extension(call): CallExtension,
    names: PathNames,
) -> StatusResult {
    let groups = Arc::from([names.group()?]);
    let whom = Selection::of(Recipients::Connection(names.connection()));
    if method == Method::DELETE {
        call.execute(Operation::Leave { whom, groups: Some(groups) }).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let outcome = call.execute(Operation::Join { whom, groups }).await?;
    check_refused(&outcome)?;
    if outcome.matched == 0 { Err(DataPlaneError::no_connection()) } else { Ok(StatusCode::OK) }
}

/// `PUT` and `DELETE /users/{user}/groups/{group}`: the present connections of the user.
pub async fn user_in_group(method: Method, Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let groups = Arc::from([names.group()?]);
    let whom = Selection::of(names.recipients()?);
    if method == Method::DELETE {
        call.execute(Operation::Leave { whom, groups: Some(groups) }).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    check_refused(&call.execute(Operation::Join { whom, groups }).await?)?;
    Ok(StatusCode::OK)
}

/// `DELETE /users/{user}/groups` and `/connections/{connection}/groups`
pub async fn leave_all_groups(Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let whom = Selection::of(names.recipients()?);
    call.execute(Operation::Leave { whom, groups: None }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT`, `DELETE` and `HEAD /permissions/{permission}/connections/{connection}`
pub async fn permission(method: Method, Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let name = names.get("permission").unwrap_or_else(|| "".into());
    let Some(kind) = PermissionKind::ALL.into_iter().find(|kind| kind.name() == &*name) else {
        let message = "Invalid permission: must be sendToGroup or joinLeaveGroup.";
        return Err(DataPlaneError::invalid_request(message));
    };
    let group = call.parameter("targetName").filter(|name| !name.is_empty());
    let group = group.map(|group| valid_group(group.into())).transpose()?;
    let action = match method {
        Method::PUT => PermissionAction::Grant,
        Method::DELETE => PermissionAction::Revoke,
        _ => PermissionAction::Check,
    };
    let operation = Operation::Permission { connection: names.connection(), kind, group, action };
    let is_found = call.execute(operation).await?.matched > 0;
    match action {
        PermissionAction::Revoke => Ok(StatusCode::NO_CONTENT),
        PermissionAction::Grant | PermissionAction::Check if is_found => Ok(StatusCode::OK),
        PermissionAction::Grant => Err(DataPlaneError::no_connection()),
        PermissionAction::Check => {
            Err(DataPlaneError::new(ErrorCode::HubNotFound, "The permission is not granted."))
        }
    }
}

/// The body of `:addToGroups` and `:removeFromGroups`.
#[derive(Deserialize)]
struct GroupsRequest {
    groups: BTreeSet<String>,
    filter: Option<String>,
}

/// `POST /:addToGroups`
pub async fn add_to_groups(Extension(call): CallExtension, body: Body) -> StatusResult {
    let (whom, groups) = groups_request(&call, body).await?;
    check_refused(&call.execute(Operation::Join { whom, groups }).await?)?;
    Ok(StatusCode::OK)
}

/// `POST /:removeFromGroups`
pub async fn remove_from_groups(Extension(call): CallExtension, body: Body) -> StatusResult {
    let (whom, groups) = groups_request(&call, body).await?;
    call.execute(Operation::Leave { whom, groups: Some(groups) }).await?;
    Ok(StatusCode::OK)
}

async fn groups_request(call: &Call, body: Body) -> Result<(Selection, Arc<[Arc<str>]>), DataPlaneError> {
    let request: GroupsRequest = serde_json::from_slice(&body::read(body).await?)
        .map_err(|error| DataPlaneError::invalid_request(format!("Invalid body: {error}.")))?;
    if request.groups.is_empty() {
        return Err(DataPlaneError::invalid_request("Invalid body: `groups` must not be empty."));
    }
    let groups: Result<_, _> =
        request.groups.iter().map(|group| valid_group(group.as_str().into())).collect();
    let filter = call.filter(request.filter.as_deref())?;
    Ok((Selection { filter, ..Selection::of(Recipients::All) }, groups?))
}

/// An error if connections could not join their groups.
pub fn check_refused(outcome: &Outcome) -> Result<(), DataPlaneError> {
    match outcome.refused {
        0 => Ok(()),
        n => Err(DataPlaneError::new(
            ErrorCode::HubTooManyGroups,
            format!("{n} connections are in as many groups as they may be in."),
        )),
    }
}
