//! The errors with which the firewall rejects requests: their code, never a rule, a score or matched data.

use super::config::{BlockReply, WafPolicyConfig};
use crate::pipeline::error::{ErrorCode, GatewayError};

/// A blocked request: the reply of the policy, with the status of the rule if it has one.
pub fn blocked(policy: &WafPolicyConfig, code: ErrorCode, status: Option<u16>) -> GatewayError {
    let BlockReply { status: general, headers, body } = &policy.reply;
    let error = GatewayError::new(code, "the request was rejected by the web application firewall");
    if status.or(*general).is_none() && headers.is_empty() && body.is_none() {
        return error;
    }
    error.with_details(|details| {
        details.status = status.or(*general);
        details.headers = headers.iter().map(|(name, value)| (name.clone().into(), value.clone())).collect();
        details.plain_body.clone_from(body);
    })
}

/// Too many requests for a custom rule.
pub fn limited(status: Option<u16>, retry_seconds: u64) -> GatewayError {
    GatewayError::new(ErrorCode::WafRate, "too many requests").with_details(|details| {
        details.status = status;
        details.headers.push(("Retry-After".into(), retry_seconds.max(1).to_string()));
    })
}

/// A body that does not have the declared format.
pub fn malformed() -> GatewayError {
    GatewayError::new(ErrorCode::WafMalformed, "the body does not have the format that the request declares")
}

/// A body that is longer than the policy allows.
pub fn oversize() -> GatewayError {
    GatewayError::new(ErrorCode::WafBody, "the body is larger than the web application firewall allows")
}

/// A response that the rules for responses block, with the status of the rule if it has one.
pub fn blocked_response(status: Option<u16>) -> GatewayError {
    let error = GatewayError::new(
        ErrorCode::WafResponse,
        "the response was rejected by the web application firewall",
    );
    match status {
        Some(_) => error.with_details(|details| details.status = status),
        None => error,
    }
}

/// A queue that is full or too slow.
pub fn overloaded() -> GatewayError {
    GatewayError::new(ErrorCode::WafOverload, "the web application firewall is overloaded")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".into())))
}

/// An engine that failed.
pub fn failed() -> GatewayError {
    GatewayError::new(ErrorCode::WafFailed, "the web application firewall failed")
}
