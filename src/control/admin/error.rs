//! The errors of the administration pages: problem responses (RFC 9457), each with a stable code.

use super::page::page;
use crate::pipeline::{
    internal::Response,
    problem::{self, Problem},
};
use axum::response::IntoResponse;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

/// An error of an administration page, sent as a problem response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminError {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// Further members of the problem.
    members: Vec<(&'static str, serde_json::Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One error of a request body or of a configuration, with its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The JSON pointer (RFC 6901) of the value; empty for the whole document.
    pub pointer: String,
    /// The code of the diagnostic, `MG0102`.
    pub code: String,
    pub detail: String,
    /// Suggested fixes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

/// A problem (RFC 9457), the body of every error response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:margay:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// The stable error code, such as `admin.token`.
    pub code: String,
    /// The errors of a request body or of a configuration; absent for other problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The code of an error response, as an extension of the response; the guard counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseCode(pub(super) &'static str);

impl AdminError {
    /// An error with a status, an error code and its explanation.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> AdminError {
        AdminError {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The gateway is starting or shutting down.
    pub fn unavailable(detail: &'static str) -> AdminError {
        AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.draining", detail)
    }

    /// The object that the path names does not exist.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> AdminError {
        AdminError::new(StatusCode::NOT_FOUND, "admin.none", detail)
    }

    /// The query is invalid.
    pub fn query(detail: impl Into<Cow<'static, str>>) -> AdminError {
        AdminError::new(StatusCode::BAD_REQUEST, "admin.query", detail)
    }

    /// The same error with the errors of the document.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> AdminError {
        AdminError { errors, ..self }
    }

    /// The same error with a further member of the problem (RFC 9457 3.2).
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: serde_json::Value) -> AdminError {
        self.members.push((name, value));
        self
    }

    /// The same error with a header of the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> AdminError {
        self.headers.push((name, value));
        self
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The explanation.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it has a further member of this name.
    pub fn has_member(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| *known == name)
    }

    /// The error code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let problem = Problem {
            status: self.status.as_u16(),
            code: self.code,
            title: self.status.canonical_reason().unwrap_or_default(),
            detail: &self.detail,
            ..Problem::default()
        };
        let mut body = problem.to_value();
        if !self.errors.is_empty() {
            body["errors"] = serde_json::json!(self.errors);
        }
        for (name, value) in self.members {
            body[name] = value;
        }
        let mut response = page(problem::MEDIA_TYPE, format!("{body}\n"));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(ResponseCode(self.code));
        response
    }
}
