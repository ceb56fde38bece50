//! Errors of the management tree: problem responses with the member `error` of Azure's resource manager.

use super::super::error::AdminError;
use crate::{
    config::{Severity, suggest},
    control::{candidate::Candidate, entities::EntityError},
};
use http::StatusCode;
use serde_json::{Value, json};

/// The body of a request is invalid.
pub fn bad_body(detail: impl Into<String>) -> AdminError {
    AdminError::new(StatusCode::BAD_REQUEST, "management.invalid", detail.into())
}

/// A property of the body is unknown, or has a value that it cannot have.
pub fn bad_property(name: &str, message: impl Into<String>) -> AdminError {
    let message = message.into();
    let details = json!([{ "code": "ValidationError", "target": name, "message": message }]);
    let error = json!({
        "code": "ValidationError",
        "message": "One or more fields contain incorrect values:",
        "details": details,
    });
    bad_body(format!("`{name}`: {message}")).with_member("error", error)
}

/// A name that is not one of some.
pub fn unknown_property<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> AdminError {
    match suggest::closest_match(name, known) {
        Some(near) => bad_property(name, format!("unknown property; did you mean `{near}`?")),
        None => bad_property(name, "unknown property"),
    }
}

/// The entity is one of the files.
pub fn read_only(place: &str) -> AdminError {
    let detail = format!("the entity is written in {place}: change it there");
    AdminError::new(StatusCode::CONFLICT, "management.read_only", detail)
}

/// The state of an entity does not permit the change.
pub fn conflict(detail: impl Into<String>) -> AdminError {
    AdminError::new(StatusCode::CONFLICT, "management.conflict", detail.into())
}

/// The error of a change.
pub fn of_change(error: EntityError<AdminError>) -> AdminError {
    match error {
        EntityError::Refused(error) => error,
        EntityError::Unavailable(why) => {
            log::error!("management: {why}");
            AdminError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store.unavailable",
                "the change is not stored; see the log",
            )
        }
        EntityError::Invalid(candidate) => invalid(&candidate),
    }
}

/// One detail for each diagnostic.
fn invalid(candidate: &Candidate) -> AdminError {
    let sources = &candidate.loaded.sources;
    let errors = candidate.loaded.diagnostics.sorted();
    let errors = errors.into_iter().filter(|one| one.severity == Severity::Error);
    let details: Vec<Value> = errors
        .map(|one| {
            let target = one.span.map(|span| sources.location(span)).unwrap_or_default();
            let message = std::iter::once(one.message.clone()).chain(one.help.iter().cloned());
            json!({ "code": one.code.0, "target": target, "message": message.collect::<Vec<_>>().join("; ") })
        })
        .collect();
    let detail = "the configuration with the change has errors";
    let error = json!({ "code": "ValidationError", "message": detail, "details": details });
    bad_body(detail).with_member("error", error)
}

/// The same error with the member that clients of Azure's resource manager read.
pub fn with_azure_error(error: AdminError) -> AdminError {
    if error.has_member("error") {
        return error;
    }
    let code = match error.status() {
        StatusCode::NOT_FOUND => "ResourceNotFound",
        StatusCode::PRECONDITION_FAILED => "PreconditionFailed",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::BAD_REQUEST => "ValidationError",
        _ => "OperationFailed",
    };
    let azure = json!({ "code": code, "message": error.detail(), "details": [] });
    error.with_member("error", azure)
}
