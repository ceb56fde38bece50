//! Errors of tokens that were not verified.

use crate::pipeline::error::{ErrorCode, GatewayError};

/// `identity.key`.
pub fn unknown_key() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityKey, "no key of the issuer has the `kid` of the token")
}

/// `identity.busy`.
pub fn too_many_verifications() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBusy, "too many token signatures wait for verification")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
}

/// `identity.provider_unavailable`.
pub fn provider_unavailable() -> GatewayError {
    GatewayError::new(
        ErrorCode::IdentityProviderUnavailable,
        "the signing keys of the issuer are unavailable",
    )
    .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
}
