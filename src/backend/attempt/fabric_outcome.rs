//! What the result of an attempt with a replica means: final, or another attempt; and the errors that clients get.

use super::retry::is_idempotent;
use crate::{
    backend::fabric::{
        error::fabric_code,
        route::{FabricRoute, StatusRule},
    },
    pipeline::{
        body::ClientBody,
        error::{ErrorCode, Fault, GatewayError},
        exchange::Exchange,
        response::{Response, RouteResult},
    },
    telemetry::FabricRetry,
};

/// Why another attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureCause {
    /// Nothing was sent.
    Connect,
    Reset,
    /// 404, 410 or 503.
    Status(u16),
    /// No replica.
    Offline,
    /// The resolver did not respond.
    Naming,
}

impl FailureCause {
    /// The label in metrics.
    pub fn reason(self) -> FabricRetry {
        match self {
            FailureCause::Connect => FabricRetry::Connect,
            FailureCause::Reset => FabricRetry::Reset,
            FailureCause::Status(404) => FabricRetry::NotFound,
            FailureCause::Status(410) => FabricRetry::Gone,
            FailureCause::Status(_) => FabricRetry::Unavailable,
            FailureCause::Offline => FabricRetry::Offline,
            FailureCause::Naming => FabricRetry::Naming,
        }
    }

    /// Whether a replica was called.
    pub fn is_attempt(self) -> bool {
        matches!(self, FailureCause::Connect | FailureCause::Reset | FailureCause::Status(_))
    }
}

/// A failed attempt or look-up.
#[derive(Debug)]
pub(super) struct Failure {
    pub cause: FailureCause,
    pub outcome: Box<RouteResult>,
}

/// The final outcome, or a failure after which another attempt may be made.
pub(super) fn classify(
    route: &FabricRoute,
    outcome: RouteResult,
    exchange: &Exchange,
    caller: &mut dyn ClientBody,
) -> Result<RouteResult, Failure> {
    let cause = match &outcome {
        Ok(response) => retried_status(route, response, exchange),
        Err(error) => retried_error(route, error, exchange),
    };
    match cause {
        // What was sent of the body must be there for the next replica.
        Some(cause) if caller.rewind() => Err(Failure { cause, outcome: Box::new(outcome) }),
        _ => Ok(outcome),
    }
}

fn retried_status(route: &FabricRoute, response: &Response, exchange: &Exchange) -> Option<FailureCause> {
    let [not_found, gone, unavailable] = route.config.status_rules;
    let rule = match response.status() {
        404 => not_found,
        410 => gone,
        503 => unavailable,
        _ => return None,
    };
    let is_retried = match rule {
        StatusRule::Always => true,
        StatusRule::Never => false,
        StatusRule::UnlessResourceNotFound => !is_resource_not_found(response),
    };
    let is_safe = matches!(exchange.request.method(), b"GET" | b"HEAD" | b"OPTIONS");
    (is_retried && is_safe).then_some(FailureCause::Status(response.status()))
}

/// Whether the service reports that the resource does not exist, so that its replica is the right one.
fn is_resource_not_found(response: &Response) -> bool {
    let mut values = response.head.get_all(b"X-ServiceFabric");
    values.any(|value| value.trim_ascii() == b"ResourceNotFound")
}

fn retried_error(route: &FabricRoute, error: &GatewayError, exchange: &Exchange) -> Option<FailureCause> {
    match error.code {
        ErrorCode::BackendDns
        | ErrorCode::BackendConnect
        | ErrorCode::BackendConnectTimeout
        | ErrorCode::BackendTls => Some(FailureCause::Connect),
        ErrorCode::BackendReset | ErrorCode::BackendSend
            if !route.config.is_strict && is_idempotent(exchange.request.method()) =>
        {
            Some(FailureCause::Reset)
        }
        _ => None,
    }
}

/// The error of a request whose time is over.
pub(super) fn timeout_error(route: &FabricRoute, service: Option<&str>) -> GatewayError {
    let label = route.service_label(service.unwrap_or("the service"));
    let detail = format!("{label} did not respond in time");
    route.error((ErrorCode::FabricTimeout, fabric_code::TIMEOUT), detail)
}

/// The error of a final attempt. It does not contain the address of the replica: only the log has it.
pub(super) fn redacted_error(
    route: &FabricRoute,
    service: Option<&str>,
    error: GatewayError,
) -> GatewayError {
    if error.code.fault() == Fault::Client || error.code == ErrorCode::GatewayInternal {
        return error;
    }
    log::debug!("{}: {}", error.code.name(), error.detail);
    let label = route.service_label(service.unwrap_or("the service"));
    let detail = match error.code {
        ErrorCode::BackendTimeout => return timeout_error(route, service),
        ErrorCode::BackendCertificate => format!("the certificate of a replica of {label} is not trusted"),
        ErrorCode::BackendTls => format!("no TLS connection to a replica of {label}"),
        ErrorCode::BackendReset | ErrorCode::BackendSend => {
            format!("a replica of {label} closed the connection before it responded")
        }
        ErrorCode::BackendMalformed => format!("a replica of {label} sent a malformed response"),
        _ => format!("the call of a replica of {label} failed"),
    };
    let is_cut =
        route.config.is_strict && matches!(error.code, ErrorCode::BackendReset | ErrorCode::BackendSend);
    GatewayError::new(error.code, detail).with_details(|details| {
        details.aborts = is_cut;
        details.plain_body = route.config.is_strict.then(String::new);
    })
}

/// The error when no more attempts are made.
pub(super) fn exhausted_error(
    route: &FabricRoute,
    service: Option<&str>,
    error: GatewayError,
) -> GatewayError {
    match error.code {
        ErrorCode::BackendDns | ErrorCode::BackendConnect | ErrorCode::BackendConnectTimeout => {
            log::debug!("{}: {}", error.code.name(), error.detail);
            let label = route.service_label(service.unwrap_or("the service"));
            let detail = format!("no replica of {label} accepts a connection");
            route.error((ErrorCode::BackendConnect, fabric_code::SERVICE_OFFLINE), detail)
        }
        ErrorCode::FabricOffline
        | ErrorCode::FabricNaming
        | ErrorCode::FabricTimeout
        | ErrorCode::FabricPartition => error,
        _ => redacted_error(route, service, error),
    }
}
