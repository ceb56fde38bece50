//! Fallback: the response when all attempts failed, from another cluster or a static one.

use crate::{
    backend::cluster::Cluster,
    pipeline::{
        error::{ErrorCode, Fault},
        response::{Response, RouteResult},
    },
};
use std::sync::Arc;

/// The settings of a route; its fallback cluster is configured next to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FallbackConfig {
    pub on_failures: Vec<Failure>,
    pub statuses: Vec<u16>,
    pub reply: Option<StaticResponse>,
}

/// The failures that a fallback may handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Connect,
    Reset,
    Timeout,
    Malformed,
    Breaker,
    NoEndpoint,
    ConnectionLimit,
}

impl Failure {
    /// All failures by their names in documents.
    pub const ALL: [(&'static str, Failure); 7] = [
        ("Connect", Failure::Connect),
        ("Reset", Failure::Reset),
        ("Timeout", Failure::Timeout),
        ("Malformed", Failure::Malformed),
        ("Breaker", Failure::Breaker),
        ("NoEndpoint", Failure::NoEndpoint),
        ("Busy", Failure::ConnectionLimit),
    ];

    /// The failure of an error code; `None` if the backend is not at fault.
    fn classify(code: ErrorCode) -> Option<Failure> {
        Some(match code {
            ErrorCode::BackendSend | ErrorCode::BackendReset => Failure::Reset,
            ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout => Failure::Timeout,
            ErrorCode::BackendMalformed | ErrorCode::BackendUnexpectedUpgrade => Failure::Malformed,
            ErrorCode::BackendCircuitOpen => Failure::Breaker,
            ErrorCode::BackendNoEndpoint => Failure::NoEndpoint,
            ErrorCode::BackendConnectionLimit => Failure::ConnectionLimit,
            code if code.fault() == Fault::Backend => Failure::Connect,
            _ => return None,
        })
    }
}

/// A static response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StaticResponse {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl StaticResponse {
    /// The response; its default media type is `text/plain`.
    pub fn static_response(&self) -> Response {
        let mut response = Response::local(self.status, "text/plain; charset=utf-8", self.body.clone());
        for (name, value) in &self.fields {
            response.head.set(name.as_bytes(), value.as_bytes());
        }
        response
    }
}

/// The settings with the fallback cluster.
#[derive(Debug)]
pub struct Fallback {
    pub settings: FallbackConfig,
    pub cluster: Option<Arc<Cluster>>,
}

impl Fallback {
    /// Whether the fallback replaces this outcome.
    pub fn applies_to(&self, outcome: &RouteResult) -> bool {
        match outcome {
            Ok(response) => self.settings.statuses.contains(&response.status()),
            Err(error) => Failure::classify(error.code)
                .is_some_and(|failure| self.settings.on_failures.contains(&failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::error::GatewayError;

    #[test]
    fn a_fallback_applies_to_the_configured_failures_and_statuses() {
        let settings = FallbackConfig {
            on_failures: vec![Failure::Connect, Failure::Breaker],
            statuses: vec![500],
            reply: None,
        };
        let fallback = Fallback { settings, cluster: None };
        let applies_to = |code| fallback.applies_to(&Err(GatewayError::new(code, "x")));
        assert!(
            applies_to(ErrorCode::BackendConnect)
                && applies_to(ErrorCode::BackendDns)
                && applies_to(ErrorCode::BackendCircuitOpen)
        );
        assert!(
            !applies_to(ErrorCode::BackendTimeout)
                && !applies_to(ErrorCode::ClientClosed)
                && !applies_to(ErrorCode::RequestBody)
        );
        assert!(fallback.applies_to(&Ok(Response::local(500, "", ""))));
        assert!(!fallback.applies_to(&Ok(Response::local(503, "", ""))));
    }

    #[test]
    fn a_static_response_has_the_configured_media_type() {
        let fields = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let response = StaticResponse { status: 200, fields, body: "[]".into() }.static_response();
        assert_eq!(response.head.get_all(b"content-type").collect::<Vec<_>>(), [b"application/json"]);
        assert_eq!((response.status(), response.body.length()), (200, Some(2)));
    }
}
