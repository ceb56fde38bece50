//! The keys that verify the tokens of statements: fixed ones, and those of discovery documents.

use super::messages::switch;
use crate::{
    base::{expr::Value, url::HttpUrl},
    net::tls::trust::TrustAnchors,
    pipeline::error::ErrorCode,
    stages::{
        authentication::{
            issuer::IssuerPattern,
            settings::{
                CredentialLocations, JwtSettings, KeySource, PossessionSettings, RemoteKeys, SchemeConfig,
                SchemeKind,
            },
        },
        program::{Context, Failure, Template},
    },
};
use jsonwebtoken::Algorithm;
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// The end of the URL of a discovery document.
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// How often keys are fetched again, and the shortest time between two fetches.
const REFRESH: Duration = Duration::from_secs(3600);

const MIN_REFRESH: Duration = Duration::from_secs(5);

/// The keys that verify tokens.
#[derive(Debug)]
pub(super) enum TokenKeys {
    Scheme(Arc<SchemeConfig>),
    /// The discovery document of a tenant that an expression names.
    Tenant {
        authority: String,
        tenant: Template,
    },
}

/// The checks of `exp` and `nbf` that expressions configure.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) skew: Option<Template>,
    pub(super) requires_expiry: Option<Template>,
}

/// The keys of a discovery document.
pub(super) fn discovery(url: &str) -> Option<KeySource> {
    let authority = url.trim().strip_suffix(DISCOVERY)?;
    let url = HttpUrl::parse(authority).ok()?;
    Some(KeySource::Remote(RemoteKeys {
        url,
        use_discovery: true,
        requires_own_issuer: false,
        trust: TrustAnchors::default(),
        refresh: REFRESH,
        min_refresh_interval: MIN_REFRESH,
    }))
}

/// The scheme of these keys.
pub(super) fn scheme(keys: KeySource, requires_expiry: bool, skew: f64) -> Arc<SchemeConfig> {
    let algorithms = match &keys {
        KeySource::Fixed(keys) => {
            keys.iter().flat_map(|key| key.material.algorithms().iter().copied()).collect()
        }
        KeySource::Remote(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ],
    };
    let settings = JwtSettings {
        locations: CredentialLocations::default(),
        keys,
        algorithms,
        issuers: Vec::new(),
        max_keys_tried: 4,
        audiences: Vec::new(),
        clock_skew: Duration::from_secs_f64(skew.min(9e11)),
        token_types: Vec::new(),
        requires_expiry,
        possession: PossessionSettings::default(),
        verifies_signature_first: true,
    };
    Arc::new(SchemeConfig { name: "validate-jwt".to_owned(), kind: SchemeKind::Jwt(Box::new(settings)) })
}

impl TokenKeys {
    /// Whether the keys come with an issuer.
    pub(super) fn has_issuer(&self) -> bool {
        match self {
            TokenKeys::Scheme(scheme) => {
                matches!(&scheme.kind, SchemeKind::Jwt(jwt) if matches!(jwt.keys, KeySource::Remote(_)))
            }
            TokenKeys::Tenant { .. } => true,
        }
    }
}

/// The scheme of a tenant.
pub(super) fn tenant_scheme(authority: &str, tenant: &str) -> Result<Arc<SchemeConfig>, Failure> {
    let is_tenant =
        !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let keys = discovery(&format!("{authority}/{tenant}/v2.0{DISCOVERY}")).filter(|_| is_tenant);
    let keys = keys.ok_or_else(|| Failure::statement("validate-azure-ad-token: invalid tenant-id"))?;
    Ok(scheme(keys, true, 0.0))
}

/// The same keys for these issuers.
pub(super) fn with_issuers(source: &SchemeConfig, issuers: &[Arc<str>]) -> Arc<SchemeConfig> {
    let mut source = source.clone();
    if let SchemeKind::Jwt(settings) = &mut source.kind {
        settings.issuers = issuers.iter().map(|issuer| IssuerPattern::exact(issuer)).collect();
    }
    Arc::new(source)
}

impl Times {
    /// Checks the times of a decoded token.
    pub(super) fn check(&self, token: &Value, context: &Context<'_>) -> Result<(), Failure> {
        if self.skew.is_none() && self.requires_expiry.is_none() {
            return Ok(());
        }
        let Value::Map(token) = token else { return Ok(()) };
        let skew = self.skew.as_ref().map(|skew| skew.number(context)).transpose()?.unwrap_or(0.0);
        let skew = (skew.clamp(0.0, 9e9) * 1e9) as i128;
        let now = context.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        match token.get("ExpirationTime") {
            Some(Value::Timestamp(at)) if at + skew <= now => {
                return Err(Failure::new(
                    "TokenExpired",
                    ErrorCode::IdentityExpired,
                    "the token has expired",
                ));
            }
            Some(Value::Timestamp(_)) => {}
            _ if switch(&self.requires_expiry, true, context)? => {
                return Err(Failure::new(
                    "JwtInvalid",
                    ErrorCode::IdentityMalformed,
                    "the token has no `exp`",
                ));
            }
            _ => {}
        }
        match token.get("NotBefore") {
            Some(Value::Timestamp(at)) if *at > now + skew => {
                Err(Failure::new("JwtInvalid", ErrorCode::IdentityNotYetValid, "the token is not valid yet"))
            }
            _ => Ok(()),
        }
    }
}
