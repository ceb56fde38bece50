//! `WWW-Authenticate` fields of a 401 (RFC 9110 11.6.1).

use super::{
    possession::PROOF_ALGORITHMS,
    settings::{PossessionMode, PossessionSettings, SchemeConfig, SchemeKind},
};
use crate::pipeline::error::{ErrorCode, GatewayError};
use std::sync::Arc;

/// The challenges of the schemes of a route.
#[derive(Debug)]
pub struct Challenges(Box<[Challenge]>);

/// The challenge of one scheme.
#[derive(Debug)]
struct Challenge {
    text: String,
    /// RFC 6750 3.1: the challenge after a rejected token contains the error.
    is_bearer: bool,
    /// The challenge of RFC 9449 7.1, and whether it is sent with every 401.
    dpop: Option<(String, bool)>,
}

impl Challenges {
    /// The challenges of schemes, in their order.
    pub fn new<'s>(schemes: impl Iterator<Item = &'s Arc<SchemeConfig>>) -> Challenges {
        Challenges(schemes.map(|scheme| Challenge::new(scheme)).collect())
    }

    /// The error with all challenges; `rejecting` is the scheme that rejected credentials.
    pub fn add_to(&self, cause: GatewayError, rejecting: Option<usize>) -> GatewayError {
        let (code, detail) = (cause.code, cause.detail.clone());
        cause.with_details(|details| {
            for (index, challenge) in self.0.iter().enumerate() {
                let error = (rejecting == Some(index)).then_some((code, &*detail));
                let lines = challenge.lines(error);
                details.headers.extend(lines.map(|line| ("WWW-Authenticate".into(), line)));
            }
        })
    }
}

impl Challenge {
    fn new(scheme: &SchemeConfig) -> Challenge {
        let realm: String = scheme
            .name
            .chars()
            .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { ' ' })
            .collect();
        let (name, possession) = match &scheme.kind {
            SchemeKind::Jwt(jwt) => ("Bearer", Some(&jwt.possession)),
            SchemeKind::Introspection(introspection) => ("Bearer", Some(&introspection.possession)),
            SchemeKind::ApiKey(_) => ("ApiKey", None),
            SchemeKind::Basic(_) => ("Basic", None),
            SchemeKind::Certificate => ("ClientCertificate", None),
            SchemeKind::Hmac(_) => ("HmacSignature", None),
            SchemeKind::External(_) => ("External", None),
            SchemeKind::OpenIdConnect(_) => ("Session", None),
        };
        let charset = if name == "Basic" { ", charset=\"UTF-8\"" } else { "" };
        Challenge {
            text: format!("{name} realm=\"{realm}\"{charset}"),
            is_bearer: possession.is_some(),
            dpop: possession.and_then(|possession| dpop_challenge(&realm, possession)),
        }
    }

    fn lines(&self, error: Option<(ErrorCode, &str)>) -> impl Iterator<Item = String> {
        let proof_error = error.and_then(|(code, _)| match code {
            ErrorCode::IdentityNonce => Some("use_dpop_nonce"),
            ErrorCode::IdentityProof | ErrorCode::IdentityReplayed => Some("invalid_dpop_proof"),
            _ => None,
        });
        let parameters = |name: &str| {
            let description = error.map_or("", |(_, detail)| detail);
            let description = description.replace(['"', '\\'], "'");
            format!(", error=\"{name}\", error_description=\"{description}\"")
        };
        let is_required = self.dpop.as_ref().is_some_and(|(_, is_required)| *is_required);
        let dpop = self.dpop.as_ref().filter(|(_, is_required)| *is_required || proof_error.is_some());
        let token_error = || error.filter(|_| self.is_bearer).map(|_| parameters("invalid_token"));
        let own_error = proof_error.map(parameters);
        let dpop_error = own_error.clone().or_else(|| token_error().filter(|_| is_required));
        let dpop = dpop.map(|(text, _)| format!("{text}{}", dpop_error.unwrap_or_default()));
        let bearer_error = token_error().filter(|_| own_error.is_none() || self.dpop.is_none());
        let bearer = (!is_required).then(|| format!("{}{}", self.text, bearer_error.unwrap_or_default()));
        bearer.into_iter().chain(dpop)
    }
}

fn dpop_challenge(realm: &str, possession: &PossessionSettings) -> Option<(String, bool)> {
    let text = || format!("DPoP realm=\"{realm}\", algs=\"{PROOF_ALGORITHMS}\"");
    match possession.dpop {
        PossessionMode::Off => None,
        mode => Some((text(), mode == PossessionMode::Required)),
    }
}
