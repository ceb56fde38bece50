//! The outcome of an attempt as metrics, health and circuit breakers see it.

use super::deadlines::Deadlines;
use crate::{
    backend::health::AttemptReport,
    pipeline::{
        error::{ErrorCode, Fault, GatewayError},
        response::RouteResult,
    },
    telemetry::AttemptOutcome,
};

/// The outcome of an attempt in metrics.
pub(super) fn attempt_outcome(outcome: &RouteResult) -> AttemptOutcome {
    let code = match outcome {
        Ok(response) if response.status() >= 500 => return AttemptOutcome::ServerError,
        Ok(_) => return AttemptOutcome::Success,
        Err(error) => error.code,
    };
    match code {
        ErrorCode::BackendDns
        | ErrorCode::BackendConnect
        | ErrorCode::BackendConnectTimeout
        | ErrorCode::BackendCertificate
        | ErrorCode::BackendTls
        | ErrorCode::AgentOffline
        | ErrorCode::AgentService
        | ErrorCode::AgentConnect
        | ErrorCode::AgentConnectTimeout => AttemptOutcome::Connect,
        ErrorCode::BackendTimeout => AttemptOutcome::Timeout,
        ErrorCode::BackendSend | ErrorCode::BackendReset => AttemptOutcome::Reset,
        code if code.fault() == Fault::Backend => AttemptOutcome::Failed,
        _ => AttemptOutcome::Canceled,
    }
}

/// The result of an attempt, as far as it concerns the health of the endpoint.
pub(super) fn classify_for_health(outcome: &RouteResult, deadlines: &Deadlines) -> AttemptReport {
    match outcome {
        Ok(response) if response.status() >= 500 && deadlines.is_held_by_client() => AttemptReport::Abandoned,
        Ok(response) => AttemptReport::Response(response.status()),
        Err(error) if error.code.fault() == Fault::Backend => AttemptReport::Failed(error.code),
        Err(_) => AttemptReport::Abandoned,
    }
}

/// Whether the backend failed, for circuit breakers; `None` if the result does not concern it (Ocelot's list of statuses,
/// docs/ocelot-behavior.md, section 12.2).
pub(super) fn has_failed(outcome: &RouteResult) -> Option<bool> {
    match outcome {
        Ok(response) => Some(matches!(response.status(), 500..=508)),
        Err(GatewayError { code: ErrorCode::BackendNoEndpoint | ErrorCode::BackendCircuitOpen, .. }) => None,
        Err(error) => (error.code.fault() == Fault::Backend).then_some(true),
    }
}
