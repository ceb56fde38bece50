//! The paths of the data plane below `/api/hubs/{hub}`.

use super::{
    error::DataPlaneError,
    generate_token::generate_token,
    members::members,
    operations::{
        add_to_groups, close, connection_in_group, exists, leave_all_groups, permission, remove_from_groups,
        send, user_in_group,
    },
    signalr,
};
use crate::pipeline::error::ErrorCode;
use axum::{
    Router,
    routing::{delete, get, head, post, put},
};
use http::StatusCode;

/// All operations.
pub fn router() -> Router {
    Router::new()
        // Names of operations start with a colon.
        .without_v07_checks()
        .route("/:send", post(send))
        .route("/groups/{group}/:send", post(send))
        .route("/users/{user}/:send", post(send))
        .route("/connections/{connection}/:send", post(send))
        .route("/:closeConnections", post(close))
        .route("/groups/{group}/:closeConnections", post(close))
        .route("/users/{user}/:closeConnections", post(close))
        .route("/connections/{connection}", head(exists).delete(close))
        .route("/groups/{group}", head(exists))
        .route("/users/{user}", head(exists))
        .route(
            "/groups/{group}/connections/{connection}",
            put(connection_in_group).delete(connection_in_group),
        )
        .route("/connections/{connection}/groups", delete(leave_all_groups))
        .route("/users/{user}/groups/{group}", put(user_in_group).delete(user_in_group))
        .route("/users/{user}/groups", delete(leave_all_groups))
        .route(
            "/permissions/{permission}/connections/{connection}",
            put(permission).delete(permission).head(permission),
        )
        .route("/:addToGroups", post(add_to_groups))
        .route("/:removeFromGroups", post(remove_from_groups))
        .route("/groups/{group}/connections", get(members))
        .route("/:generateToken", post(generate_token))
        .fallback(|| async { unknown("There is no such operation.") })
        .method_not_allowed_fallback(|| async {
            unknown("The operation does not have this method.").with_status(StatusCode::METHOD_NOT_ALLOWED)
        })
}

/// All operations of SignalR.
pub fn signalr_router() -> Router {
    Router::new()
        .without_v07_checks()
        .route("/:send", post(signalr::send))
        .route("/groups/{group}/:send", post(signalr::send))
        .route("/users/{user}/:send", post(signalr::send))
        .route("/connections/{connection}/:send", post(signalr::send))
        .route("/:closeConnections", post(close))
        .route("/groups/{group}/:closeConnections", post(close))
        .route("/users/{user}/:closeConnections", post(close))
        .route("/connections/{connection}", head(exists).delete(signalr::close_connection))
        .route("/groups/{group}", head(exists))
        .route("/users/{user}", head(exists))
        .route("/groups/{group}/connections/{connection}", put(signalr::member).delete(signalr::member))
        .route("/connections/{connection}/groups", delete(signalr::leave_groups))
        .route(
            "/users/{user}/groups/{group}",
            head(signalr::user_group).put(signalr::user_group).delete(signalr::user_group),
        )
        .route("/users/{user}/groups", delete(signalr::user_groups))
        .route("/:generateToken", post(generate_token))
        .fallback(|| async { unknown("There is no such operation.") })
        .method_not_allowed_fallback(|| async {
            unknown("The operation does not have this method.").with_status(StatusCode::METHOD_NOT_ALLOWED)
        })
}

/// The path names no operation.
pub fn unknown(message: &'static str) -> DataPlaneError {
    DataPlaneError::new(ErrorCode::HubUnknownOperation, message)
}
