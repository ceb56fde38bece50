//! The errors of the administration pages.

use super::page::page;
use crate::pipeline::{
    internal::Response,
    problem::{self, Problem},
};
use axum::response::IntoResponse;
use http::{HeaderValue, StatusCode, header};
use std::borrow::Cow;

/// An error of an administration page, sent as a problem response (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminError {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    /// The value of `Allow`.
    allowed_methods: Option<&'static str>,
}

impl AdminError {
    /// An error with a status, an error code and its explanation.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> AdminError {
        AdminError { status, code, detail: detail.into(), allowed_methods: None }
    }

    /// The gateway is starting or shutting down.
    pub fn unavailable(detail: &'static str) -> AdminError {
        AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.draining", detail)
    }

    /// The page exists, but not for this method.
    pub fn method_not_allowed(allowed: &'static str, detail: &'static str) -> AdminError {
        let error = AdminError::new(StatusCode::METHOD_NOT_ALLOWED, "admin.method", detail);
        AdminError { allowed_methods: Some(allowed), ..error }
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
        let mut response = page(problem::MEDIA_TYPE, format!("{}\n", problem.to_json()));
        *response.status_mut() = self.status;
        if let Some(allowed) = self.allowed_methods {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}
