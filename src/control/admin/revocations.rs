//! Revoked tokens.

use super::{context::AdminContext, error::AdminError, extract::JsonBody, page::JsonPage};
use crate::{
    base::units::DurationText,
    stages::authentication::revocations::{
        MAX_REVOCATIONS, MAX_VALUE_BYTES, Revocation, RevokedClaim, unix_now,
    },
};
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DEFAULT_DURATION: Duration = Duration::from_secs(86_400);
const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// A revocation of tokens; one of `jti`, `sid` and `sub` is required.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RevocationRequest {
    /// The token with this ID.
    #[schema(required = false)]
    pub jti: String,
    /// The tokens of this session.
    #[schema(required = false)]
    pub sid: String,
    /// The tokens of this subject.
    #[schema(required = false)]
    pub sub: String,
    /// With `sub`: only tokens that were issued before this Unix time. Default: now.
    #[schema(required = false)]
    pub issued_before: Option<u64>,
    /// How long the tokens could still be used, such as `1h`; then the entry is dropped. 1s to 366d. Default: `1d`.
    #[serde(rename = "for")]
    #[schema(required = false)]
    pub duration: String,
}

/// The list after a change.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct RevocationList {
    /// Entries that this gateway holds.
    pub count: usize,
}

/// Revokes tokens, on all gateways that share their state.
#[utoipa::path(post, path = "/v1/revocations", tag = "authentication", request_body = RevocationRequest,
    responses((status = 200, body = RevocationList)))]
pub async fn revoke(
    State(context): State<AdminContext>,
    JsonBody(request): JsonBody<RevocationRequest>,
) -> Result<JsonPage<RevocationList>, AdminError> {
    let revocation =
        read(&request).map_err(|detail| AdminError::new(StatusCode::BAD_REQUEST, "admin.body", detail))?;
    let gateway = context.gateway()?;
    let list = gateway.shared_state.stage_state.authentication.revocations();
    if !list.add(revocation.clone()) {
        let detail = format!("the list is full: {MAX_REVOCATIONS} entries");
        return Err(AdminError::new(StatusCode::CONFLICT, "admin.revocations", detail));
    }
    list.announce(&revocation).await.map_err(|error| {
        let detail = format!("only this gateway has revoked the tokens: {error}");
        AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.shared_state", detail)
    })?;
    Ok(JsonPage(RevocationList { count: list.len() }))
}

fn read(request: &RevocationRequest) -> Result<Revocation, String> {
    let values = [
        (RevokedClaim::Jti, &request.jti),
        (RevokedClaim::Sid, &request.sid),
        (RevokedClaim::Sub, &request.sub),
    ];
    let mut set = values.into_iter().filter(|(_, value)| !value.is_empty());
    let (Some((claim, value)), None) = (set.next(), set.next()) else {
        return Err("expected one of jti, sid and sub".to_owned());
    };
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("{} is longer than {MAX_VALUE_BYTES} bytes", claim.name()));
    }
    if request.issued_before.is_some() && claim != RevokedClaim::Sub {
        return Err("issued_before needs sub".to_owned());
    }
    let is_subject = claim == RevokedClaim::Sub;
    Ok(Revocation {
        claim,
        value: value.clone(),
        issued_before: is_subject.then(|| request.issued_before.unwrap_or_else(unix_now)),
        expires_at: unix_now() + duration(&request.duration)?.as_secs(),
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Ok(DEFAULT_DURATION);
    }
    let duration = crate::base::from_text::FromText::from_text(text).map(|DurationText(duration)| duration);
    match duration {
        Ok(duration) if (Duration::from_secs(1)..=MAX_DURATION).contains(&duration) => Ok(duration),
        _ => Err(format!("invalid for \"{text}\": must be a duration between 1s and 366d, such as 1h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_has_one_claim_and_a_time() {
        let request = |jti: &str, sub: &str, duration: &str| RevocationRequest {
            jti: jti.into(),
            sub: sub.into(),
            duration: duration.into(),
            ..RevocationRequest::default()
        };
        let token = read(&request("a", "", "")).expect("a revocation");
        assert_eq!((token.claim, token.issued_before), (RevokedClaim::Jti, None));
        assert!((86_399..=86_401).contains(&(token.expires_at - unix_now())));
        let subject = read(&request("", "ann", "1h")).expect("a revocation");
        assert!(subject.issued_before.is_some_and(|time| unix_now() - time < 5));
        for (jti, sub, duration) in [("", "", ""), ("a", "b", ""), ("a", "", "0s"), ("a", "", "soon")] {
            assert!(read(&request(jti, sub, duration)).is_err(), "{jti} {sub} {duration}");
        }
        let wrong = RevocationRequest { issued_before: Some(1), ..request("a", "", "") };
        assert_eq!(read(&wrong), Err("issued_before needs sub".to_owned()));
    }
}
