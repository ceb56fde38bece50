//! What is answered when all attempts failed: another cluster's answer, or a fixed one.

use crate::{
    backend::cluster::Cluster,
    pipeline::{
        error::{ErrorCode, Fault},
        response::{Response, RouteResult},
    },
};
use std::sync::Arc;

/// What a route says about it; plain data. The other cluster is named beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FallbackConfig {
    pub on_failures: Vec<Failure>,
    pub statuses: Vec<u16>,
    pub reply: Option<StaticResponse>,
}

/// Ways in which all attempts may have failed.
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
    /// All of them, by the words of the configuration.
    pub const ALL: [(&'static str, Failure); 7] = [
        ("Connect", Failure::Connect),
        ("Reset", Failure::Reset),
        ("Timeout", Failure::Timeout),
        ("Malformed", Failure::Malformed),
        ("Breaker", Failure::Breaker),
        ("NoEndpoint", Failure::NoEndpoint),
        ("Busy", Failure::ConnectionLimit),
    ];

    /// Which one a cause is; none if it is not the service's.
    fn classify(why: ErrorCode) -> Option<Failure> {
        Some(match why {
            ErrorCode::BackendSend | ErrorCode::BackendReset => Failure::Reset,
            ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout => Failure::Timeout,
            ErrorCode::BackendMalformed | ErrorCode::BackendUnexpectedUpgrade => Failure::Malformed,
            ErrorCode::BackendCircuitOpen => Failure::Breaker,
            ErrorCode::BackendNoEndpoint => Failure::NoEndpoint,
            ErrorCode::BackendConnectionLimit => Failure::ConnectionLimit,
            why if why.fault() == Fault::Backend => Failure::Connect,
            _ => return None,
        })
    }
}

/// A fixed answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StaticResponse {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl StaticResponse {
    /// The answer; its type is that of a text, unless it says another one.
    pub fn static_response(&self) -> Response {
        let mut answer = Response::local(self.status, "text/plain; charset=utf-8", self.body.clone());
        for (name, value) in &self.fields {
            answer.head.set(name.as_bytes(), value.as_bytes());
        }
        answer
    }
}

/// The settings, with the other cluster.
#[derive(Debug)]
pub struct Fallback {
    pub settings: FallbackConfig,
    pub cluster: Option<Arc<Cluster>>,
}

impl Fallback {
    /// Whether it takes the place of this outcome.
    pub fn applies_to(&self, outcome: &RouteResult) -> bool {
        match outcome {
            Ok(answer) => self.settings.statuses.contains(&answer.status()),
            Err(cause) => Failure::classify(cause.why)
                .is_some_and(|failure| self.settings.on_failures.contains(&failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::error::GatewayError;

    #[test]
    fn it_stands_in_for_the_failures_and_statuses_that_are_named() {
        let settings = FallbackConfig {
            on_failures: vec![Failure::Connect, Failure::Breaker],
            statuses: vec![500],
            reply: None,
        };
        let fallback = Fallback { settings, cluster: None };
        let of = |why| fallback.applies_to(&Err(GatewayError::new(why, "x")));
        assert!(
            of(ErrorCode::BackendConnect) && of(ErrorCode::BackendDns) && of(ErrorCode::BackendCircuitOpen)
        );
        assert!(
            !of(ErrorCode::BackendTimeout) && !of(ErrorCode::ClientClosed) && !of(ErrorCode::RequestBody)
        );
        assert!(fallback.applies_to(&Ok(Response::local(500, "", ""))));
        assert!(!fallback.applies_to(&Ok(Response::local(503, "", ""))));
    }

    #[test]
    fn a_reply_has_the_type_it_says() {
        let fields = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let answer = StaticResponse { status: 200, fields, body: "[]".into() }.static_response();
        assert_eq!(answer.head.get_all(b"content-type").collect::<Vec<_>>(), [b"application/json"]);
        assert_eq!((answer.status(), answer.body.length()), (200, Some(2)));
    }
}
