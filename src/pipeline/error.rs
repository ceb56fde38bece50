//! Errors of an exchange: the error code, the responsible party and the response details.

pub use super::error_code::{ErrorCode, Fault};

use std::borrow::Cow;

/// An error of one exchange.
///
/// ```
/// use margay::pipeline::error::{ErrorCode, GatewayError};
///
/// let error = GatewayError::new(ErrorCode::RateLimitExceeded, "10 requests per second are allowed")
///     .with_details(|details| details.headers.push(("Retry-After".into(), "1".into())));
/// assert_eq!(error.status(false), 429);
/// ```
#[derive(Clone, Debug)]
pub struct GatewayError {
    pub code: ErrorCode,
    /// Details of this occurrence for the operator; never a secret.
    pub detail: Cow<'static, str>,
    /// Overrides of the response for this occurrence.
    pub extra: Option<Box<ErrorDetails>>,
}

/// Overrides of the response that an error code produces.
#[derive(Clone, Debug, Default)]
pub struct ErrorDetails {
    /// Replaces the status of the error code.
    pub status: Option<u16>,
    /// Replaces the reason phrase of the status.
    pub reason: Option<String>,
    /// Headers of the response: a challenge, `Retry-After`.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// A plain text body instead of a problem, if configured (Ocelot's quota message).
    pub plain_body: Option<String>,
    /// Additional members of the problem.
    pub members: Vec<(&'static str, &'static str)>,
    /// Nothing is sent: the connection is closed, or the stream reset.
    pub aborts: bool,
    /// A body of another service instead of a problem, with its media type.
    pub body: Option<(String, bytes::Bytes)>,
}

impl GatewayError {
    /// An error with the status and title of its code. `detail` is sent to the client: it must not contain a
    /// secret.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> GatewayError {
        GatewayError { code, detail: detail.into(), extra: None }
    }

    /// The same error with overrides.
    pub fn with_details(mut self, change: impl FnOnce(&mut ErrorDetails)) -> GatewayError {
        change(self.extra.get_or_insert_default());
        self
    }

    /// The status of the response.
    pub fn status(&self, ocelot: bool) -> u16 {
        self.extra.as_ref().and_then(|extra| extra.status).unwrap_or_else(|| self.code.status(ocelot))
    }

    /// A request that violates the grammar of HTTP.
    pub fn malformed_request(detail: &'static str) -> GatewayError {
        GatewayError::new(ErrorCode::RequestMalformed, detail)
    }

    /// A backend response that violates the grammar of HTTP.
    pub fn malformed_response(detail: &'static str) -> GatewayError {
        GatewayError::new(ErrorCode::BackendMalformed, detail)
    }

    /// The client closed the connection early: status 499 in the access log, nothing is sent.
    pub fn client_closed() -> GatewayError {
        GatewayError::new(
            ErrorCode::ClientClosed,
            "the client closed the connection before the response was complete",
        )
    }
}

/// The reason phrase of a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        // Renamed by RFC 9110; the `http` crate has the name of RFC 7231.
        413 => "Content Too Large",
        499 => "Client Closed Request",
        _ => http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_timeouts_differ_under_ocelot() {
        let names: std::collections::HashSet<_> = ErrorCode::ALL.iter().map(|w| w.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert_eq!(
            (ErrorCode::BackendTimeout.status(false), ErrorCode::BackendTimeout.status(true)),
            (504, 503)
        );
    }
}
