//! Errors of the directory.

use crate::control::admin::AdminError;
use axum::http::StatusCode;

/// The response for everything that the caller does not see.
pub fn unknown() -> AdminError {
    AdminError::new(StatusCode::NOT_FOUND, "role.unknown", "no such role or instance, or it is not visible")
}
