//! `JwtBearer`: signed tokens (RFC 7519), verified once and cached until they expire.

use super::{
    credential_location::Credential,
    jwks::JwksCache,
    keys::{KeySet, SignatureCheck},
    outcome::AuthOutcome,
    settings::JwtSettings,
    token::{JsonObject, TokenParts},
};
use crate::{
    base::clock::Clock,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
    },
};
use jsonwebtoken::Algorithm;
use moka::{policy::EvictionPolicy, sync::Cache};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Memory for the verified tokens and identities of one scheme.
const TOKEN_CACHE_BYTES: u64 = 32 << 20;
/// The last second of the year 9999: later times are invalid.
const MAX_TIMESTAMP: f64 = 253_402_300_799.0;

/// The keys of a scheme.
#[derive(Debug)]
pub enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Arc<JwksCache>),
}

/// The compiled scheme.
#[derive(Debug)]
pub struct Jwt {
    name: Arc<str>,
    settings: JwtSettings,
    keys: Keys,
    clock: Clock,
    /// Keyed by the whole token.
    token_cache: Cache<Box<[u8]>, CachedToken>,
}

/// A verified token.
#[derive(Clone, Debug)]
struct CachedToken {
    user: Arc<Identity>,
    expires_at: Instant,
    generation: u64,
}

impl Jwt {
    /// `clock` decides about `exp` and `nbf`; verified tokens are cached until they expire.
    pub fn new(name: &str, settings: JwtSettings, keys: Keys, clock: Clock) -> Jwt {
        let token_cache = Cache::<Box<[u8]>, CachedToken>::builder()
            .max_capacity(TOKEN_CACHE_BYTES)
            .weigher(|token, cached| cache_weight(token, cached))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Jwt { name: name.into(), settings, keys, clock, token_cache }
    }

    fn generation(&self) -> u64 {
        match &self.keys {
            Keys::Fixed(_) => 0,
            Keys::Remote(provider) => provider.generation(),
        }
    }

    /// Authenticates a request by its token.
    pub fn authenticate(self: &Arc<Self>, exchange: &Exchange) -> AuthOutcome {
        let token = match self.settings.locations.find(exchange, "Bearer") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return rejection(ErrorCode::IdentityMalformed, "the request has several token headers");
            }
            Credential::Value(token) => token,
        };
        let cached = self.token_cache.get(token).filter(|cached| cached.generation == self.generation());
        match cached {
            Some(cached) if exchange.now < cached.expires_at => AuthOutcome::Authenticated(cached.user),
            _ => self.verify(token, exchange.now, exchange.is_dry_run),
        }
    }

    /// Verifies a token that is not cached. A token with an unknown key waits for a refresh of the keys.
    fn verify(self: &Arc<Self>, token: &[u8], now: Instant, is_dry_run: bool) -> AuthOutcome {
        match (self.check(token, now, is_dry_run), &self.keys) {
            (Ok(user), _) => AuthOutcome::Authenticated(user),
            (Err(Rejection::Final(cause)), _) => AuthOutcome::Rejected(cause),
            (Err(Rejection::UnknownKey), Keys::Fixed(_)) => AuthOutcome::Rejected(unknown_key()),
            (Err(Rejection::UnknownKey), Keys::Remote(provider)) if is_dry_run => {
                AuthOutcome::Rejected(match provider.keys() {
                    Some(_) => unknown_key(),
                    None => provider_unavailable(),
                })
            }
            (Err(Rejection::UnknownKey), Keys::Remote(provider)) => {
                let (jwt, provider, token) = (self.clone(), provider.clone(), token.to_vec());
                AuthOutcome::Pending(Box::pin(async move {
                    let refreshed = provider.refresh().await;
                    match jwt.check(&token, now, false) {
                        Ok(user) => Ok(user),
                        Err(Rejection::Final(cause)) => Err(cause),
                        Err(Rejection::UnknownKey) if refreshed => Err(unknown_key()),
                        Err(Rejection::UnknownKey) => Err(provider_unavailable()),
                    }
                }))
            }
        }
    }

    /// Checks signature and claims, cheap checks first, and caches a valid token.
    fn check(&self, token: &[u8], now: Instant, is_dry_run: bool) -> Result<Arc<Identity>, Rejection> {
        let parts = TokenParts::split(token).map_err(malformed)?;
        let algorithm = self.check_header(&parts.header)?;
        let claims = parts.claims().map_err(malformed)?;
        let set = match &self.keys {
            Keys::Fixed(set) => Some(set.clone()),
            Keys::Remote(provider) => provider.keys(),
        };
        // A token of another issuer does not cause a refresh of the keys.
        self.check_issuer(&claims, set.as_deref())?;
        let set = set.ok_or(Rejection::UnknownKey)?;
        let kid = parts.header.get("kid").and_then(Value::as_str);
        match set.check(kid, algorithm, parts.message, parts.signature) {
            SignatureCheck::Valid => {}
            SignatureCheck::Unknown => return Err(Rejection::UnknownKey),
            SignatureCheck::Invalid => {
                return Err(reject(ErrorCode::IdentitySignature, "the token signature is invalid"));
            }
            SignatureCheck::Algorithm => {
                return Err(reject(
                    ErrorCode::IdentityAlgorithm,
                    "the algorithm of the token is not allowed for its key",
                ));
            }
        }
        let remaining = self.check_times(&claims)?;
        self.check_audience(&claims)?;
        let user = Arc::new(identity_from_claims(self.name.clone(), &claims));
        let valid_until = now + remaining;
        if !is_dry_run {
            self.token_cache.insert(
                token.into(),
                CachedToken { user: user.clone(), expires_at: valid_until, generation: set.generation },
            );
        }
        Ok(user)
    }

    /// Checks the header; returns its algorithm if the scheme allows it.
    fn check_header(&self, header: &JsonObject) -> Result<Algorithm, Rejection> {
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("`alg`, `kid` and `typ` in the token header must be strings")),
        };
        let algorithm = text("alg")?.ok_or_else(|| malformed("the token header has no `alg`"))?;
        text("kid")?;
        let algorithm = algorithm.parse().ok().filter(|one| self.settings.algorithms.contains(one));
        let algorithm = algorithm.ok_or_else(|| {
            reject(ErrorCode::IdentityAlgorithm, "the algorithm of the token is not allowed")
        })?;
        if header.get("crit").is_some() {
            return Err(reject(
                ErrorCode::IdentityCritical,
                "the token requires an unsupported extension (`crit`)",
            ));
        }
        if ["jwk", "jku", "x5u"].iter().any(|name| header.get(name).is_some()) {
            return Err(reject(ErrorCode::IdentityKey, "the token contains its own key"));
        }
        if !self.is_type(text("typ")?) {
            return Err(reject(ErrorCode::IdentityType, "the token type (`typ`) is not accepted"));
        }
        Ok(algorithm)
    }

    /// RFC 7515 4.1.9: media types, case-insensitive, with or without `application/`.
    fn is_type(&self, token_type: Option<&str>) -> bool {
        let Some(token_type) = token_type else { return self.settings.token_types.is_empty() };
        let long = token_type.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("application/"));
        let token_type = if long { &token_type[12..] } else { token_type };
        let is = |one: &str| one.eq_ignore_ascii_case(token_type);
        match self.settings.token_types.as_slice() {
            [] => is("JWT") || is("at+jwt"),
            types => types.iter().any(|one| is(one)),
        }
    }

    fn check_issuer(&self, claims: &JsonObject, set: Option<&KeySet>) -> Result<(), Rejection> {
        let expected = self.settings.issuer.as_deref().or_else(|| set?.issuer.as_deref());
        match expected {
            Some(expected) if claims.get("iss").and_then(Value::as_str) != Some(expected) => {
                Err(reject(ErrorCode::IdentityIssuer, "the token has another issuer (`iss`)"))
            }
            _ => Ok(()),
        }
    }

    fn check_audience(&self, claims: &JsonObject) -> Result<(), Rejection> {
        let expected =
            |one: &Value| one.as_str().is_some_and(|one| self.settings.audiences.iter().any(|a| a == one));
        let matches = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(expected),
            Some(one) => expected(one),
            None => false,
        };
        if matches || self.settings.audiences.is_empty() {
            return Ok(());
        }
        Err(reject(ErrorCode::IdentityAudience, "the token has another audience (`aud`)"))
    }

    /// Checks `exp` and `nbf`; returns the remaining validity.
    fn check_times(&self, claims: &JsonObject) -> Result<Duration, Rejection> {
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let skew = self.settings.clock_skew.as_secs_f64();
        let expires_at = numeric_date(claims, "exp")?.ok_or_else(|| malformed("the token has no `exp`"))?;
        let remaining = expires_at + skew - now;
        if remaining <= 0.0 {
            let ago = (now - expires_at).min(MAX_TIMESTAMP) as u64;
            return Err(reject(ErrorCode::IdentityExpired, format!("the token expired {ago} s ago")));
        }
        let not_before = numeric_date(claims, "nbf")?.unwrap_or(0.0);
        if not_before > now + skew {
            let still = (not_before - now).min(MAX_TIMESTAMP) as u64;
            return Err(reject(
                ErrorCode::IdentityNotYetValid,
                format!("the token is not valid for another {still} s"),
            ));
        }
        Ok(Duration::from_secs_f64(remaining.min(MAX_TIMESTAMP)))
    }
}

/// Why a token is rejected.
enum Rejection {
    Final(GatewayError),
    /// No key has its `kid`; a refresh may bring it.
    UnknownKey,
}

fn reject(why: ErrorCode, detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::Final(GatewayError::new(why, detail))
}

fn malformed(detail: &'static str) -> Rejection {
    reject(ErrorCode::IdentityMalformed, detail)
}

fn rejection(why: ErrorCode, detail: &'static str) -> AuthOutcome {
    AuthOutcome::Rejected(GatewayError::new(why, detail))
}

fn unknown_key() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityKey, "no key of the issuer has the `kid` of the token")
}

fn provider_unavailable() -> GatewayError {
    GatewayError::new(
        ErrorCode::IdentityProviderUnavailable,
        "the signing keys of the issuer are unavailable",
    )
    .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
}

/// A NumericDate: seconds since 1970, fractions allowed.
fn numeric_date(claims: &JsonObject, name: &str) -> Result<Option<f64>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|n| n.abs() <= MAX_TIMESTAMP);
    seconds.map(Some).ok_or_else(|| malformed("`exp` and `nbf` must be seconds since 1970"))
}

/// The claims under their own names: one for each item of a list; objects as JSON text.
fn identity_from_claims(scheme: Arc<str>, claims: &JsonObject) -> Identity {
    let mut user = Identity::new(scheme);
    for (name, value) in &claims.0 {
        match value {
            Value::Array(all) => all.iter().for_each(|one| add_claim(&mut user, name, one)),
            one => add_claim(&mut user, name, one),
        }
    }
    user
}

fn add_claim(user: &mut Identity, name: &str, value: &Value) {
    match value {
        Value::String(text) => user.add(name, text),
        Value::Null => user.add(name, ""),
        other => user.add(name, &other.to_string()),
    }
}

fn cache_weight(token: &[u8], cached: &CachedToken) -> u32 {
    let claims: usize = cached.user.claims().iter().map(|c| c.name.len() + c.value.len() + 64).sum();
    u32::try_from(token.len() + claims + 256).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
