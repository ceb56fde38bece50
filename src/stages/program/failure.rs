//! Failures of programs: what `context.LastError` contains, and the response that `on-error` starts from.

use super::section::{Origin, Section};
use crate::{
    base::expr::EvalError,
    pipeline::{
        error::{ErrorCode, GatewayError, reason},
        response::{Response, rescue},
    },
};
use std::{borrow::Cow, sync::Arc};

/// The form of error bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorForm {
    /// Problem details (RFC 9457).
    #[default]
    Problem,
    /// `{ "statusCode": ..., "message": ... }`.
    ApiManagement,
}

/// `context.LastError`.
#[derive(Clone, Debug, Default)]
pub struct LastError {
    pub source: String,
    pub reason: String,
    pub message: String,
    pub scope: &'static str,
    pub section: &'static str,
    pub path: String,
    pub policy_id: String,
}

/// Why a statement, an expression, a built-in step or the backend failed.
#[derive(Debug)]
pub struct Failure {
    /// Replaces the name of the statement as the source.
    pub source: Option<&'static str>,
    pub reason: Cow<'static, str>,
    /// `LastError.Message`.
    pub message: String,
    pub error: Box<GatewayError>,
    /// The response of the backend itself, as `on-error` starts from it.
    pub response: Option<Box<Response>>,
    /// For the log only.
    pub log: String,
}

/// A failure and the statement that caused it.
pub type Failed = (Failure, Option<Arc<Origin>>);

/// What the client reads of an error of the publisher.
const INTERNAL: &str = "Internal server error";

impl Failure {
    /// A failure with this detail for the client, which is the message too.
    pub fn new(reason: impl Into<Cow<'static, str>>, code: ErrorCode, detail: impl Into<String>) -> Failure {
        let detail = detail.into();
        Failure {
            source: None,
            reason: reason.into(),
            message: detail.clone(),
            error: Box::new(GatewayError::new(code, detail)),
            response: None,
            log: String::new(),
        }
    }

    /// An expression that has no value.
    pub fn expression(error: &EvalError) -> Failure {
        let failure = Failure::new("ExpressionValueEvaluationFailure", ErrorCode::PolicyExpression, INTERNAL);
        Failure { message: "Expression evaluation failed.".into(), log: error.to_string(), ..failure }
    }

    /// A statement that cannot be done.
    pub fn statement(log: impl Into<String>) -> Failure {
        let failure = Failure::new("StatementFailure", ErrorCode::PolicyStatement, INTERNAL);
        Failure { log: log.into(), ..failure }
    }

    /// A call-out that failed.
    pub fn callout(reason: &'static str, log: impl Into<String>) -> Failure {
        let failure = Failure::new(reason, ErrorCode::PolicyCallout, INTERNAL);
        Failure { log: log.into(), ..failure }
    }

    /// The body of a message is not what it must be.
    pub fn content(section: Section, detail: impl Into<String>) -> Failure {
        let code = if section.is_response() { ErrorCode::BackendContent } else { ErrorCode::RequestContent };
        Failure::new("BodyInvalid", code, detail)
    }

    /// An error of the gateway: of the backend, of the client's body, of a stage.
    pub fn from_gateway(error: GatewayError) -> Failure {
        let reason: &'static str = match error.code {
            ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout => "Timeout",
            ErrorCode::BackendCircuitOpen => "BackendUnavailable",
            code if code.name().starts_with("backend.") => "BackendConnectionFailure",
            code => code.name(),
        };
        Failure {
            source: None,
            reason: reason.into(),
            message: error.detail.to_string(),
            error: Box::new(error),
            response: None,
            log: String::new(),
        }
    }

    /// The same failure with another message in `LastError`.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Failure {
        self.message = message.into();
        self
    }

    /// The same failure with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Failure {
        self.error.extra.get_or_insert_default().status = Some(status);
        self
    }

    /// The same failure with a header of the response.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: String) -> Failure {
        self.error.extra.get_or_insert_default().headers.push((name.to_owned().into(), value));
        self
    }

    /// What `context.LastError` has of it.
    pub fn last_error(&self, section: Option<Section>, origin: Option<&Origin>) -> LastError {
        let source = self.source.or(origin.map(|origin| origin.statement)).unwrap_or("configuration");
        LastError {
            source: source.to_owned(),
            reason: self.reason.to_string(),
            message: self.message.clone(),
            scope: origin.map_or("", |origin| origin.scope.name()),
            section: section.filter(|_| origin.is_some()).map_or("", Section::name),
            path: origin.map(|origin| origin.path.clone()).unwrap_or_default(),
            policy_id: origin.map(|origin| origin.id.clone()).unwrap_or_default(),
        }
    }

    /// The response that `on-error` starts from.
    pub fn into_response(self, form: ErrorForm, instance: &[u8], id: &[u8]) -> Response {
        if let Some(response) = self.response {
            return *response;
        }
        match form {
            ErrorForm::Problem => rescue(&self.error, instance, id, false),
            ErrorForm::ApiManagement => api_management_response(&self.error, id),
        }
    }
}

/// The error body of Azure API Management.
fn api_management_response(error: &GatewayError, id: &[u8]) -> Response {
    let is_internal = error.code.name().starts_with("policy.")
        || (error.code.name().starts_with("backend.") && error.code != ErrorCode::BackendCircuitOpen);
    let status = match error.code {
        _ if is_internal => 500,
        ErrorCode::OperationMethodNotAllowed => 404,
        _ => error.status(false),
    };
    let message = if is_internal { INTERNAL } else { &error.detail };
    let message = serde_json::Value::from(message).to_string();
    let body = match is_internal {
        true => {
            let activity = serde_json::Value::from(String::from_utf8_lossy(id)).to_string();
            format!("{{ \"statusCode\": {status}, \"message\": {message}, \"activityId\": {activity} }}")
        }
        false => format!("{{ \"statusCode\": {status}, \"message\": {message} }}"),
    };
    let mut response = Response::local(status, "application/json", body);
    let phrase = match error.code {
        ErrorCode::SubscriptionMissing | ErrorCode::SubscriptionInvalid => "Access Denied",
        ErrorCode::QuotaExceeded => "Quota Exceeded",
        ErrorCode::OperationNotFound | ErrorCode::OperationMethodNotAllowed => "Resource Not Found",
        _ => reason(status),
    };
    response.head.set_status(status, phrase.as_bytes());
    let headers = error.extra.iter().flat_map(|extra| &extra.headers);
    for (name, value) in headers.filter(|(name, _)| name != "Allow") {
        response.head.append(name.as_bytes(), value.as_bytes());
    }
    response
}
