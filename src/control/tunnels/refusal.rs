//! Refusals of the services of tunnels: problems, counted by their code.

use crate::{
    net::agents::registry::AgentRegistry,
    pipeline::{
        error::{ErrorCode, GatewayError},
        internal::Response,
        problem::{MEDIA_TYPE, Problem},
    },
};
use axum::body::Body;
use http::{HeaderValue, StatusCode, header};

/// The response to an error, counted in the generic counter of errors.
pub fn refuse(registry: &AgentRegistry, error: &GatewayError) -> Response {
    registry.record_error(error.code);
    let status = error.status(false);
    let problem = Problem {
        status,
        code: error.code.name(),
        title: error.code.title(),
        detail: &error.detail,
        ..Problem::default()
    };
    let mut response = Response::new(Body::from(problem.to_json()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    for (name, value) in error.extra.iter().flat_map(|extra| &extra.headers) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.extensions_mut().insert(error.code);
    response
}

/// The same for an error code with a sentence.
pub fn refuse_with(registry: &AgentRegistry, code: ErrorCode, detail: &'static str) -> Response {
    refuse(registry, &GatewayError::new(code, detail))
}
