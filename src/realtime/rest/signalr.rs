//! The data plane of SignalR: the operations whose bodies and statuses differ from those of Web PubSub.

use super::{
    body,
    call::{Call, PathNames},
    error::DataPlaneError,
    operations::{CallExtension, StatusResult, check_refused, close, connection_in_group, leave_all_groups},
};
use crate::{
    pipeline::error::ErrorCode,
    realtime::{
        hub_user::HubUser,
        json_text::{MAX_JSON_DEPTH, depth},
        message::{Origin, Payload, Publication},
        operation::{Operation, Recipients, Selection},
    },
};
use axum::{Extension, body::Body};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{sync::Arc, time::Duration};

/// Longest time to live of a membership.
const MAX_TTL_SECONDS: u32 = 365 * 24 * 3600;

/// The body of `:send`.
#[derive(Deserialize)]
struct Invocation<'b> {
    target: String,
    #[serde(borrow)]
    arguments: Vec<&'b RawValue>,
}

/// `POST .../:send`
pub async fn send(Extension(call): CallExtension, names: PathNames, body: Body) -> StatusResult {
    let to = call.selection(names.recipients()?)?;
    let bytes = body::read(body).await?;
    let payload = Payload::Json(invocation(&bytes)?.into());
    let publication = Arc::new(Publication::new(Origin::Server, payload));
    call.execute(Operation::Send { to, publication }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The message for clients.
fn invocation(bytes: &[u8]) -> Result<String, DataPlaneError> {
    let invalid = |reason: &dyn std::fmt::Display| {
        DataPlaneError::new(ErrorCode::HubInvalidPayload, format!("Invalid body: {reason}."))
    };
    if depth(bytes) > MAX_JSON_DEPTH {
        return Err(invalid(&format!("it is nested deeper than {MAX_JSON_DEPTH} levels")));
    }
    let request: Invocation = serde_json::from_slice(bytes).map_err(|error| invalid(&error))?;
    if request.target.is_empty() {
        return Err(invalid(&"`target` must not be empty"));
    }
    let mut text = format!("{{\"type\":1,\"target\":{},\"arguments\":[", Value::from(request.target));
    for (at, argument) in request.arguments.iter().enumerate() {
        // What clients of MessagePack cannot receive is refused for all.
        serde_json::from_str::<Value>(argument.get()).map_err(|error| invalid(&error))?;
        if at > 0 {
            text.push(',');
        }
        text.push_str(argument.get());
    }
    text.push_str("]}");
    Ok(text)
}

/// `DELETE /connections/{connection}`
pub async fn close_connection(call: CallExtension, names: PathNames) -> StatusResult {
    close(call, names).await.map(|_| StatusCode::OK)
}

/// `PUT` and `DELETE /groups/{group}/connections/{connection}`
pub async fn member(method: Method, Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let connection = Recipients::Connection(names.connection());
    if method == Method::DELETE && call.execute(Operation::Count(connection)).await?.matched == 0 {
        return Err(DataPlaneError::no_connection());
    }
    connection_in_group(method, Extension(call), names).await.map(|_| StatusCode::OK)
}

/// `DELETE /connections/{connection}/groups`
pub async fn leave_groups(call: CallExtension, names: PathNames) -> StatusResult {
    leave_all_groups(call, names).await.map(|_| StatusCode::OK)
}

/// `HEAD`, `PUT` and `DELETE /users/{user}/groups/{group}`: all connections of the user, later ones included.
pub async fn user_group(method: Method, Extension(call): CallExtension, names: PathNames) -> StatusResult {
    let (user, group) = (hub_user(&call, &names), names.group()?);
    let whom = Selection::of(Recipients::User(user.user.clone()));
    let groups: Arc<[Arc<str>]> = Arc::from([group.clone()]);
    match method {
        Method::PUT => {
            if !add_group(&call, &user, &group).await? {
                let message = "There are too many groups of users.";
                return Err(DataPlaneError::new(ErrorCode::HubTooManyGroups, message));
            }
            check_refused(&call.execute(Operation::Join { whom, groups }).await?)?;
            Ok(StatusCode::OK)
        }
        Method::DELETE => {
            call.user_groups.remove(&user, Some(&group)).await?;
            call.execute(Operation::Leave { whom, groups: Some(groups) }).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        _ if call.user_groups.contains(&user, &group).await? => Ok(StatusCode::OK),
        _ => Err(DataPlaneError::new(ErrorCode::HubNotFound, "The user is not in the group.")),
    }
}

/// Adds a membership for the time of `ttl`; false: there are too many.
async fn add_group(call: &Call, user: &HubUser, group: &Arc<str>) -> Result<bool, DataPlaneError> {
    let ttl = call.integer("ttl", 0, MAX_TTL_SECONDS)?.filter(|ttl| *ttl > 0);
    let ttl = ttl.map(|ttl| Duration::from_secs(ttl.into()));
    if let Some(shared) = call.user_groups.shared() {
        return Ok(shared.add(user, group, ttl).await?);
    }
    let expiry = ttl.map(|ttl| (ttl, expire_later(call, user, group, ttl)));
    Ok(call.user_groups.add(user, group.clone(), expiry))
}

/// `DELETE /users/{user}/groups`
pub async fn user_groups(Extension(call): CallExtension, names: PathNames) -> StatusResult {
    call.user_groups.remove(&hub_user(&call, &names), None).await?;
    leave_all_groups(Extension(call), names).await
}

fn hub_user(call: &Call, names: &PathNames) -> HubUser {
    HubUser {
        service: call.service.config.name.clone(),
        hub: call.hub.as_str().into(),
        user: names.get("user").unwrap_or_else(|| "".into()),
    }
}

/// Removes the connections of the user from the group after this time.
fn expire_later(call: &Call, user: &HubUser, group: &Arc<str>, ttl: Duration) -> tokio::task::AbortHandle {
    let (operations, user_groups) = (call.operations.clone(), call.user_groups.clone());
    let (user, group) = (user.clone(), group.clone());
    let expiry = async move {
        tokio::time::sleep(ttl).await;
        let whom = Selection::of(Recipients::User(user.user.clone()));
        let leave = Operation::Leave { whom, groups: Some(Arc::from([group.clone()])) };
        let _ = operations.execute(&user.service, &user.hub, leave).await;
        // The last step: it drops this task.
        user_groups.remove_own(&user, Some(&group));
    };
    tokio::spawn(expiry).abort_handle()
}
