//! `JwtBearer`: tokens that somebody signed (RFC 7519), checked once and remembered until they expire.

use super::{
    AuthOutcome,
    credential_location::Credential,
    jwks::JwksCache,
    keys::{KeySet, SignatureCheck},
    settings::JwtSettings,
    token::{JsonObject, Parts},
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

/// Bytes of tokens and identities that one scheme remembers.
const CACHE_TTL: u64 = 32 << 20;
/// The last second of the year 9999: later times are overflows, not dates.
const MAX_TIMESTAMP: f64 = 253_402_300_799.0;

/// Where the keys are.
#[derive(Debug)]
pub enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Arc<JwksCache>),
}

/// The scheme at work.
#[derive(Debug)]
pub struct Jwt {
    name: Arc<str>,
    settings: JwtSettings,
    keys: Keys,
    clock: Clock,
    /// By the whole token: another token never finds it.
    token_cache: Cache<Box<[u8]>, CachedToken>,
}

/// A token that was good.
#[derive(Clone, Debug)]
struct CachedToken {
    user: Arc<Identity>,
    until: Instant,
    generation: u64,
}

impl Jwt {
    pub fn new(name: &str, settings: JwtSettings, keys: Keys, clock: Clock) -> Jwt {
        let token_cache = Cache::<Box<[u8]>, CachedToken>::builder()
            .max_capacity(CACHE_TTL)
            .weigher(|token, known| cache_weight(token, known))
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

    /// Judges the token of a request.
    pub fn authenticate(self: &Arc<Self>, exchange: &Exchange) -> AuthOutcome {
        let token = match self.settings.places.find(exchange, "Bearer") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return rejection(ErrorCode::IdentityMalformed, "the header of the token is there twice");
            }
            Credential::Value(token) => token,
        };
        let known = self.token_cache.get(token).filter(|known| known.generation == self.generation());
        match known {
            Some(known) if exchange.now < known.until => AuthOutcome::Authenticated(known.user),
            _ => self.verify(token, exchange.now, exchange.is_dry_run),
        }
    }

    /// Judges a token that is not remembered; one that names an unknown key waits for new keys.
    fn verify(self: &Arc<Self>, token: &[u8], now: Instant, dry: bool) -> AuthOutcome {
        match (self.check(token, now, dry), &self.keys) {
            (Ok(user), _) => AuthOutcome::Authenticated(user),
            (Err(Rejection::Final(cause)), _) => AuthOutcome::Rejected(cause),
            (Err(Rejection::UnknownKey), Keys::Fixed(_)) => AuthOutcome::Rejected(unknown_key()),
            (Err(Rejection::UnknownKey), Keys::Remote(provider)) if dry => {
                AuthOutcome::Rejected(match provider.keys() {
                    Some(_) => unknown_key(),
                    None => provider_unavailable(),
                })
            }
            (Err(Rejection::UnknownKey), Keys::Remote(provider)) => {
                let (jwt, provider, token) = (self.clone(), provider.clone(), token.to_vec());
                AuthOutcome::Pending(Box::pin(async move {
                    let fresh = provider.refresh().await;
                    match jwt.check(&token, now, false) {
                        Ok(user) => Ok(user),
                        Err(Rejection::Final(cause)) => Err(cause),
                        Err(Rejection::UnknownKey) if fresh => Err(unknown_key()),
                        Err(Rejection::UnknownKey) => Err(provider_unavailable()),
                    }
                }))
            }
        }
    }

    /// Checks everything, the cheap things first, and remembers a good token.
    fn check(&self, token: &[u8], now: Instant, dry: bool) -> Result<Arc<Identity>, Rejection> {
        let parts = Parts::split(token).map_err(malformed)?;
        let algorithm = self.header(&parts.header)?;
        let claims = parts.claims().map_err(malformed)?;
        let set = match &self.keys {
            Keys::Fixed(set) => Some(set.clone()),
            Keys::Remote(provider) => provider.keys(),
        };
        // A token of another issuer is not worth a fetch of keys.
        self.issuer(&claims, set.as_deref())?;
        let set = set.ok_or(Rejection::UnknownKey)?;
        let id = parts.header.get("kid").and_then(Value::as_str);
        match set.check(id, algorithm, parts.message, parts.signature) {
            SignatureCheck::Valid => {}
            SignatureCheck::Unknown => return Err(Rejection::UnknownKey),
            SignatureCheck::Invalid => {
                return Err(reject(
                    ErrorCode::IdentitySignature,
                    "no key of the issuer made the signature of the token",
                ));
            }
            SignatureCheck::Algorithm => {
                return Err(reject(
                    ErrorCode::IdentityAlgorithm,
                    "the token names an algorithm that its key is not for",
                ));
            }
        }
        let left = self.check_times(&claims)?;
        self.audience(&claims)?;
        let user = Arc::new(identity(self.name.clone(), &claims));
        let until = now + left;
        if !dry {
            self.token_cache
                .insert(token.into(), CachedToken { user: user.clone(), until, generation: set.generation });
        }
        Ok(user)
    }

    /// What the header says of itself; the algorithm, when it is one that the scheme allows.
    fn header(&self, header: &JsonObject) -> Result<Algorithm, Rejection> {
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("a field of the header of the token is not text")),
        };
        let algorithm = text("alg")?.ok_or_else(|| malformed("the token names no algorithm"))?;
        text("kid")?;
        let algorithm = algorithm.parse().ok().filter(|one| self.settings.algorithms.contains(one));
        let algorithm = algorithm.ok_or_else(|| {
            reject(ErrorCode::IdentityAlgorithm, "the token names an algorithm that is not allowed")
        })?;
        if header.get("crit").is_some() {
            return Err(reject(
                ErrorCode::IdentityCritical,
                "the token demands an extension that is not known here",
            ));
        }
        if ["jwk", "jku", "x5u"].iter().any(|name| header.get(name).is_some()) {
            return Err(reject(ErrorCode::IdentityKey, "the token brings its own key"));
        }
        if !self.is_type(text("typ")?) {
            return Err(reject(ErrorCode::IdentityType, "the token is of another type"));
        }
        Ok(algorithm)
    }

    /// RFC 7515 4.1.9: compared as media types, without regard to case, `application/` left out or not.
    fn is_type(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else { return self.settings.token_types.is_empty() };
        let long = kind.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("application/"));
        let kind = if long { &kind[12..] } else { kind };
        let is = |one: &str| one.eq_ignore_ascii_case(kind);
        match self.settings.token_types.as_slice() {
            [] => is("JWT") || is("at+jwt"),
            types => types.iter().any(|one| is(one)),
        }
    }

    fn issuer(&self, claims: &JsonObject, set: Option<&KeySet>) -> Result<(), Rejection> {
        let wanted = self.settings.issuer.as_deref().or_else(|| set?.issuer.as_deref());
        match wanted {
            Some(wanted) if claims.get("iss").and_then(Value::as_str) != Some(wanted) => {
                Err(reject(ErrorCode::IdentityIssuer, "the token is of another issuer"))
            }
            _ => Ok(()),
        }
    }

    fn audience(&self, claims: &JsonObject) -> Result<(), Rejection> {
        let wanted =
            |one: &Value| one.as_str().is_some_and(|one| self.settings.audiences.iter().any(|a| a == one));
        let found = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(wanted),
            Some(one) => wanted(one),
            None => false,
        };
        if found || self.settings.audiences.is_empty() {
            return Ok(());
        }
        Err(reject(ErrorCode::IdentityAudience, "the token is for another audience"))
    }

    /// How long the token is still good.
    fn check_times(&self, claims: &JsonObject) -> Result<Duration, Rejection> {
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let skew = self.settings.clock_skew.as_secs_f64();
        let end = date(claims, "exp")?.ok_or_else(|| malformed("the token has no exp"))?;
        let left = end + skew - now;
        if left <= 0.0 {
            let ago = (now - end).min(MAX_TIMESTAMP) as u64;
            return Err(reject(ErrorCode::IdentityExpired, format!("the token expired {ago} s ago")));
        }
        let begin = date(claims, "nbf")?.unwrap_or(0.0);
        if begin > now + skew {
            let still = (begin - now).min(MAX_TIMESTAMP) as u64;
            return Err(reject(
                ErrorCode::IdentityNotYetValid,
                format!("the token is not valid for another {still} s"),
            ));
        }
        Ok(Duration::from_secs_f64(left.min(MAX_TIMESTAMP)))
    }
}

/// Why a token is not good.
enum Rejection {
    Final(GatewayError),
    /// No key has the name that it says; perhaps there are new ones.
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
    GatewayError::new(ErrorCode::IdentityKey, "the token names a key that its issuer does not have")
}

fn provider_unavailable() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityProviderUnavailable, "the keys of the issuer cannot be fetched now")
        .with_details(|more| more.headers.push(("Retry-After".into(), "2".to_owned())))
}

/// A NumericDate: seconds since 1970, fractions allowed.
fn date(claims: &JsonObject, name: &str) -> Result<Option<f64>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|n| n.abs() <= MAX_TIMESTAMP);
    seconds.map(Some).ok_or_else(|| malformed("a time of the token is not a time"))
}

/// The claims under their own names: of a list every item, of an object its JSON text.
fn identity(scheme: Arc<str>, claims: &JsonObject) -> Identity {
    let mut user = Identity::new(scheme);
    for (name, value) in &claims.0 {
        match value {
            Value::Array(all) => all.iter().for_each(|one| add(&mut user, name, one)),
            one => add(&mut user, name, one),
        }
    }
    user
}

fn add(user: &mut Identity, name: &str, value: &Value) {
    match value {
        Value::String(text) => user.add(name, text),
        Value::Null => user.add(name, ""),
        other => user.add(name, &other.to_string()),
    }
}

fn cache_weight(token: &[u8], known: &CachedToken) -> u32 {
    let claims: usize = known.user.claims().iter().map(|c| c.name.len() + c.value.len() + 64).sum();
    u32::try_from(token.len() + claims + 256).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
