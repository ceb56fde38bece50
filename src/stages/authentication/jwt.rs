//! `JwtBearer`: signed tokens (RFC 7519), verified once and cached until they expire.

use super::{
    cpu_budget::CpuBudget,
    credential_location::Credential,
    issuer::IssuerPattern,
    jwks::JwksCache,
    jwt_claims::identity_from_claims,
    jwt_failures::{provider_unavailable, too_many_verifications, unknown_key},
    keys::{KeySet, NoKey},
    numeric_date::{MAX_TIMESTAMP, numeric_date},
    outcome::AuthOutcome,
    possession::{Evidence, Possession},
    settings::JwtSettings,
    token_location::{self, PresentedToken},
    verification_pool::{JobSource, Priority, VerificationPool},
};
use crate::{
    base::{
        client_prefix::ClientPrefix,
        clock::Clock,
        compact_jws::{JsonObject, TokenParts},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
    },
    state::SharedState,
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
    /// Verifies what exceeds the budget of a worker.
    pool: Arc<VerificationPool>,
    possession: Arc<Possession>,
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
    /// `clock` decides about `exp` and `nbf`; verified tokens are cached until they expire. `pool` verifies the signatures that
    /// exceed the budget of a worker.
    pub fn new(
        name: &str,
        settings: JwtSettings,
        keys: Keys,
        clock: Clock,
        pool: Arc<VerificationPool>,
    ) -> Jwt {
        let token_cache = Cache::<Box<[u8]>, CachedToken>::builder()
            .max_capacity(TOKEN_CACHE_BYTES)
            .weigher(|token, cached| cache_weight(token, cached))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let possession = Arc::new(Possession::new(settings.possession.clone(), clock.clone(), pool.clone()));
        Jwt { name: name.into(), settings, keys, clock, pool, possession, token_cache }
    }

    fn generation(&self) -> u64 {
        match &self.keys {
            Keys::Fixed(_) => 0,
            Keys::Remote(provider) => provider.generation(),
        }
    }

    /// Authenticates a request by its token. `shared`: where the proofs are recorded that were used.
    pub fn authenticate(
        self: &Arc<Self>,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> AuthOutcome {
        let found = token_location::find(&self.settings.locations, exchange, self.possession.has_dpop());
        let PresentedToken { token, presentation } = match found {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return rejection(ErrorCode::IdentityMalformed, "the request has several token headers");
            }
            Credential::Value(found) => found,
        };
        match self.authenticate_token(token, exchange) {
            outcome if self.possession.is_off() => outcome,
            AuthOutcome::Authenticated(user) => {
                self.possession.check(user, token, presentation, exchange, shared)
            }
            AuthOutcome::Pending(wait) => {
                let evidence = Evidence::new(token, presentation, exchange, shared);
                let possession = self.possession.clone();
                AuthOutcome::Pending(Box::pin(
                    async move { possession.check_later(wait.await?, evidence).await },
                ))
            }
            rejected => rejected,
        }
    }

    /// Authenticates a token, without the proof that the client may use it.
    pub fn authenticate_token(self: &Arc<Self>, token: &[u8], exchange: &Exchange) -> AuthOutcome {
        let cached = self.token_cache.get(token).filter(|cached| cached.generation == self.generation());
        match cached {
            Some(cached) if exchange.now < cached.expires_at => AuthOutcome::Authenticated(cached.user),
            _ => self.verify(token, exchange),
        }
    }

    /// Verifies a token that is not cached. A token with an unknown key waits for a refresh of the keys, and one that
    /// exceeds the budget of the worker for the pool.
    fn verify(self: &Arc<Self>, token: &[u8], exchange: &Exchange) -> AuthOutcome {
        let budget = if exchange.is_dry_run { CpuBudget::Unlimited } else { CpuBudget::Worker };
        let rejection = match self.check(token, exchange.now, budget, exchange.is_dry_run) {
            Ok(user) => return AuthOutcome::Authenticated(user),
            Err(rejection) => rejection,
        };
        match (rejection, &self.keys) {
            (Rejection::Final(cause), _) => AuthOutcome::Rejected(cause),
            (Rejection::UnknownKey, Keys::Fixed(_)) => AuthOutcome::Rejected(unknown_key()),
            (Rejection::UnknownKey, Keys::Remote(provider)) if exchange.is_dry_run => {
                AuthOutcome::Rejected(match provider.keys() {
                    Some(_) => unknown_key(),
                    None => provider_unavailable(),
                })
            }
            (rejection, _) => AuthOutcome::Pending(Box::pin(self.clone().verify_later(
                token.into(),
                exchange.client.ip.into(),
                exchange.now,
                rejection,
            ))),
        }
    }

    /// Continues after the worker could not decide.
    async fn verify_later(
        self: Arc<Self>,
        token: Arc<[u8]>,
        client: ClientPrefix,
        now: Instant,
        mut rejection: Rejection,
    ) -> Result<Arc<Identity>, GatewayError> {
        let mut refreshed = None;
        loop {
            let result = match (rejection, refreshed, &self.keys) {
                (Rejection::Final(cause), _, _) => return Err(cause),
                (Rejection::OverBudget, _, _) => self.verify_in_pool(&token, client, now).await,
                (Rejection::UnknownKey, None, Keys::Remote(provider)) => {
                    refreshed = Some(provider.refresh().await);
                    self.check(&token, now, CpuBudget::Worker, false)
                }
                (Rejection::UnknownKey, Some(false), _) => return Err(provider_unavailable()),
                (Rejection::UnknownKey, _, _) => return Err(unknown_key()),
            };
            match result {
                Ok(user) => return Ok(user),
                Err(next) => rejection = next,
            }
        }
    }

    async fn verify_in_pool(
        self: &Arc<Self>,
        token: &Arc<[u8]>,
        client: ClientPrefix,
        now: Instant,
    ) -> Result<Arc<Identity>, Rejection> {
        let (jwt, owned) = (self.clone(), token.clone());
        let job = move || jwt.check(&owned, now, CpuBudget::Unlimited, false);
        let source = JobSource { client, name: 0, priority: Priority::High };
        let verified = self.pool.run(source, token.len(), job).await;
        verified.unwrap_or_else(|| Err(Rejection::Final(too_many_verifications())))
    }

    /// Checks signature and claims, cheap checks first, and caches a valid token.
    fn check(
        &self,
        token: &[u8],
        now: Instant,
        budget: CpuBudget,
        is_dry_run: bool,
    ) -> Result<Arc<Identity>, Rejection> {
        let parts = TokenParts::split(token).map_err(malformed)?;
        let algorithm = self.check_header(&parts.header)?;
        let claims = parts.claims().map_err(malformed)?;
        let set = match &self.keys {
            Keys::Fixed(set) => Some(set.clone()),
            Keys::Remote(provider) => provider.keys(),
        };
        if !self.settings.verifies_signature_first {
            // A token of another issuer does not cause a refresh of the keys.
            self.check_issuer(&claims, set.as_deref())?;
        }
        let set = set.ok_or(Rejection::UnknownKey)?;
        if self.settings.verifies_signature_first {
            self.check_signature(&parts, algorithm, &set, budget)?;
            self.check_issuer(&claims, Some(&set))?;
        }
        let remaining = self.check_times(&claims)?;
        self.check_audience(&claims)?;
        if !self.settings.verifies_signature_first {
            self.check_signature(&parts, algorithm, &set, budget)?;
        }
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

    fn check_signature(
        &self,
        parts: &TokenParts,
        algorithm: Algorithm,
        set: &KeySet,
        budget: CpuBudget,
    ) -> Result<(), Rejection> {
        let kid = parts.header.get("kid").and_then(Value::as_str);
        let candidates = match set.select(kid, algorithm, self.settings.max_keys_tried) {
            Ok(candidates) => candidates,
            Err(NoKey::Unknown) => return Err(Rejection::UnknownKey),
            Err(NoKey::Algorithm) => {
                return Err(reject(
                    ErrorCode::IdentityAlgorithm,
                    "the algorithm of the token is not allowed for its key",
                ));
            }
        };
        if !budget.try_spend(candidates.cost()) {
            return Err(Rejection::OverBudget);
        }
        match (candidates.verify(parts.message, parts.signature), candidates.untried) {
            (true, _) => Ok(()),
            (false, 0) => Err(reject(ErrorCode::IdentitySignature, "the token signature is invalid")),
            (false, untried) => Err(reject(
                ErrorCode::IdentityKey,
                format!("the token has no `kid`, and {untried} keys beyond MaxKeysTried are not tried"),
            )),
        }
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
        let issuer = claims.get("iss").and_then(Value::as_str);
        let has = |pattern: &IssuerPattern| issuer.is_some_and(|issuer| pattern.matches(issuer, claims));
        let is_accepted = match (self.settings.issuers.as_slice(), set.and_then(|set| set.issuer.as_deref()))
        {
            ([], None) => true,
            ([], discovered) => issuer == discovered,
            (patterns, _) => patterns.iter().any(has),
        };
        match is_accepted {
            true => Ok(()),
            false => Err(reject(ErrorCode::IdentityIssuer, "the token has another issuer (`iss`)")),
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
        let time = |name| numeric_date(claims, name).map_err(malformed);
        let expires_at = match time("exp")? {
            Some(at) => at,
            None if self.settings.requires_expiry => return Err(malformed("the token has no `exp`")),
            None => MAX_TIMESTAMP,
        };
        let remaining = expires_at + skew - now;
        if remaining <= 0.0 {
            let ago = (now - expires_at).min(MAX_TIMESTAMP) as u64;
            return Err(reject(ErrorCode::IdentityExpired, format!("the token expired {ago} s ago")));
        }
        let not_before = time("nbf")?.unwrap_or(0.0);
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
    /// Verification is too expensive for the worker.
    OverBudget,
}

fn reject(code: ErrorCode, detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::Final(GatewayError::new(code, detail))
}

fn malformed(detail: &'static str) -> Rejection {
    reject(ErrorCode::IdentityMalformed, detail)
}

fn rejection(code: ErrorCode, detail: &'static str) -> AuthOutcome {
    AuthOutcome::Rejected(GatewayError::new(code, detail))
}

fn cache_weight(token: &[u8], cached: &CachedToken) -> u32 {
    let claims: usize = cached.user.claims().iter().map(|c| c.name.len() + c.value.len() + 64).sum();
    u32::try_from(token.len() + claims + 256).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
