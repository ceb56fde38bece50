//! Errors of the data plane, in the form that the official libraries read.

use crate::{
    pipeline::error::ErrorCode,
    realtime::{filter::FilterError, operation::BackplaneUnavailable, tokens::TokenError},
    state::StateError,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use std::borrow::Cow;

/// Contains the word of the body's `code`.
const ERROR_CODE_HEADER: HeaderName = HeaderName::from_static("x-ms-error-code");

/// An error of a request to the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlaneError {
    code: ErrorCode,
    status: StatusCode,
    message: Cow<'static, str>,
}

impl DataPlaneError {
    /// An error with the status of its code.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> DataPlaneError {
        let status = StatusCode::from_u16(code.status(false)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        DataPlaneError { code, status, message: message.into() }
    }

    /// The same error with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> DataPlaneError {
        DataPlaneError { status, ..self }
    }

    /// A parameter or the body is invalid.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> DataPlaneError {
        DataPlaneError::new(ErrorCode::HubInvalidRequest, message)
    }

    /// The connection that the path names does not exist.
    pub fn no_connection() -> DataPlaneError {
        DataPlaneError::new(ErrorCode::HubNotFound, "The connection does not exist.")
    }
}

impl From<FilterError> for DataPlaneError {
    fn from(error: FilterError) -> DataPlaneError {
        DataPlaneError::new(ErrorCode::HubInvalidFilter, error.to_string())
    }
}

impl From<TokenError> for DataPlaneError {
    fn from(error: TokenError) -> DataPlaneError {
        match error {
            TokenError::Missing => {
                DataPlaneError::new(ErrorCode::HubTokenMissing, "The request has no bearer token.")
            }
            TokenError::Invalid(rule) => DataPlaneError::new(ErrorCode::HubTokenInvalid, rule),
        }
    }
}

impl From<BackplaneUnavailable> for DataPlaneError {
    fn from(error: BackplaneUnavailable) -> DataPlaneError {
        let message = match error.nodes.is_empty() {
            true => "The backplane is not reachable.".to_owned(),
            false => format!("These nodes did not respond: {}.", error.nodes.join(", ")),
        };
        DataPlaneError::new(ErrorCode::HubBackplaneUnavailable, message)
    }
}

impl From<StateError> for DataPlaneError {
    fn from(_: StateError) -> DataPlaneError {
        BackplaneUnavailable { nodes: Vec::new() }.into()
    }
}

impl IntoResponse for DataPlaneError {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let word: String = title.split(' ').collect();
        let body = json!({
            "code": word,
            "message": self.message,
            "type": format!("urn:margay:problem:{}", self.code.name()),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.message,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(HeaderValue::try_from(word).ok().map(|word| (ERROR_CODE_HEADER, word)));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.code {
                ErrorCode::HubTokenMissing => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}
