//! Finds the token of a request, and how it was sent.

use super::{
    credential_location::{Credential, CredentialLocations},
    possession::Presentation,
};
use crate::pipeline::exchange::Exchange;

/// A token, not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedToken<'r> {
    pub token: &'r [u8],
    pub presentation: Presentation,
}

/// Finds a token: after `Bearer`, or after `DPoP` if that is read.
pub fn find<'r>(
    locations: &CredentialLocations,
    exchange: &'r Exchange,
    has_dpop: bool,
) -> Credential<PresentedToken<'r>> {
    let is_authorization = locations.header.eq_ignore_ascii_case("authorization");
    let bearer = locations.find_in_header(exchange, "Bearer");
    let presented = |token, presentation| Credential::Value(PresentedToken { token, presentation });
    match bearer {
        Credential::Ambiguous => return Credential::Ambiguous,
        Credential::Value(token) if is_authorization => return presented(token, Presentation::Bearer),
        Credential::Value(token) => return presented(token, Presentation::Elsewhere),
        Credential::None => {}
    }
    if has_dpop
        && is_authorization
        && let Credential::Value(token) = locations.find_in_header(exchange, "DPoP")
    {
        return presented(token, Presentation::Dpop);
    }
    match locations.find_elsewhere(exchange) {
        Some(token) => presented(token, Presentation::Elsewhere),
        None => Credential::None,
    }
}
