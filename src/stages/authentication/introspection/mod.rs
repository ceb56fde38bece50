//! `Introspection`: the authorization server checks tokens (RFC 7662), for opaque tokens and for those that can be revoked.
//!
//! - Entry point: [`Introspection::authenticate`].
//! - Owns: results, until the token expires; an idle connection to the endpoint. Requests with the same token wait for one
//!   call, which runs in the background.

mod response;
pub mod settings;
#[cfg(test)]
mod tests;

use super::{
    credential_location::Credential,
    jwks::JwksCache,
    jws::JwsError,
    jwt_claims::identity_from_claims,
    numeric_date::numeric_date,
    oauth::{
        form::{self, Form},
        metadata::MetadataSource,
    },
    outcome::AuthOutcome,
    possession::{Evidence, Possession},
    shared_calls::SharedCalls,
    token_location::{self, PresentedToken},
    waiting::WaitingLimit,
};
use crate::{
    base::{
        clock::Clock,
        compact_jws::{JsonObject, MAX_TOKEN_BYTES},
        failure_log::FailureLog,
        url::HttpUrl,
    },
    net::{
        background::BackgroundRuntime,
        http_client::{KeepAliveClient, Request, RequestLimits},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
    },
    state::SharedState,
};
use moka::{policy::EvictionPolicy, sync::Cache};
use serde_json::Value;
use settings::{IntrospectionEndpoint, IntrospectionSettings};
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Memory for the results of one scheme.
const RESULT_CACHE_BYTES: u64 = 32 << 20;
/// Requests that wait for one endpoint.
const MAX_WAITING: usize = 4096;
/// Longest time for which a token that is not active is not checked again.
const INACTIVE_TTL: Duration = Duration::from_secs(5);
const MAX_RESPONSE_BYTES: usize = 256 << 10;

type TokenDigest = [u8; 32];
/// What is known about a token.
type Verdict = Result<Arc<Identity>, GatewayError>;

/// A verdict and when it expires.
#[derive(Clone, Debug)]
struct StoredVerdict {
    verdict: Verdict,
    expires_at: Instant,
}

/// The compiled scheme.
#[derive(Debug)]
pub struct Introspection {
    name: Arc<str>,
    settings: IntrospectionSettings,
    possession: Arc<Possession>,
    client: KeepAliveClient,
    metadata: Option<MetadataSource>,
    /// The keys of signed responses.
    response_keys: Option<Arc<JwksCache>>,
    clock: Clock,
    background: BackgroundRuntime,
    verdicts: Cache<TokenDigest, StoredVerdict>,
    /// Calls in progress.
    calls: SharedCalls<TokenDigest, Verdict>,
    waiting: WaitingLimit,
    failures: FailureLog,
}

impl Introspection {
    /// A scheme without results; `clock` decides about `exp` and `nbf`.
    pub fn new(
        name: &str,
        settings: IntrospectionSettings,
        possession: Arc<Possession>,
        response_keys: Option<Arc<JwksCache>>,
        (clock, background): (Clock, BackgroundRuntime),
    ) -> Introspection {
        let metadata = match &settings.endpoint {
            IntrospectionEndpoint::Url(_) => None,
            IntrospectionEndpoint::Discovery(authority) => {
                let requires_own_issuer = settings.issuers.is_empty();
                Some(MetadataSource::new(authority.clone(), settings.tls.clone(), requires_own_issuer))
            }
        };
        let verdicts = Cache::<TokenDigest, StoredVerdict>::builder()
            .max_capacity(RESULT_CACHE_BYTES)
            .weigher(|_, stored| weight(stored))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Introspection {
            name: name.into(),
            client: KeepAliveClient::new(settings.tls.clone()),
            settings,
            possession,
            metadata,
            response_keys,
            clock,
            background,
            verdicts,
            calls: SharedCalls::default(),
            waiting: WaitingLimit::new(MAX_WAITING),
            failures: FailureLog::default(),
        }
    }

    /// Authenticates a request by its token.
    pub fn authenticate(
        self: &Arc<Self>,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> AuthOutcome {
        let found = token_location::find(&self.settings.locations, exchange, self.possession.has_dpop());
        let PresentedToken { token, presentation } = match found {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => return AuthOutcome::Rejected(ambiguous()),
            Credential::Value(found) => found,
        };
        if token.len() > MAX_TOKEN_BYTES {
            let detail = "the token is longer than 64 KiB";
            return AuthOutcome::Rejected(GatewayError::new(ErrorCode::IdentityMalformed, detail));
        }
        let digest: TokenDigest = Sha256::digest(token).into();
        if let Some(stored) = self.stored(&digest, exchange.now) {
            return match stored.verdict {
                Ok(user) => self.possession.check(user, token, presentation, exchange, shared),
                Err(cause) => AuthOutcome::Rejected(cause),
            };
        }
        if exchange.is_dry_run {
            return AuthOutcome::Rejected(not_called());
        }
        let Some(guard) = self.waiting.try_enter(exchange.client.ip) else {
            return AuthOutcome::Rejected(busy());
        };
        let evidence =
            (!self.possession.is_off()).then(|| Evidence::new(token, presentation, exchange, shared));
        let (scheme, token) = (self.clone(), Box::<[u8]>::from(token));
        AuthOutcome::Pending(Box::pin(async move {
            let user = scheme.introspect(digest, token).await;
            drop(guard);
            match evidence {
                Some(evidence) => scheme.possession.clone().check_later(user?, evidence).await,
                None => user,
            }
        }))
    }

    /// The verdict of one call for all requests with this token.
    async fn introspect(self: &Arc<Self>, digest: TokenDigest, token: Box<[u8]>) -> Verdict {
        let call = self.calls.join(
            digest,
            &self.background,
            |digest| Some(self.stored(digest, self.clock.now())?.verdict),
            || {
                let scheme = self.clone();
                async move { scheme.call(digest, &token).await }
            },
        );
        call.result().await.unwrap_or_else(|| Err(unavailable()))
    }

    /// A verdict that has not expired.
    fn stored(&self, digest: &TokenDigest, now: Instant) -> Option<StoredVerdict> {
        self.verdicts.get(digest).filter(|stored| now < stored.expires_at)
    }

    async fn call(&self, digest: TokenDigest, token: &[u8]) -> Verdict {
        let response = self.request(token).await;
        self.report(response.as_ref().err());
        let claims = response.map_err(|_| unavailable())?;
        let now = self.unix_now();
        let (verdict, ttl) = match self.check_claims(&claims, now) {
            Ok(remaining) => {
                let user = Arc::new(identity_from_claims(self.name.clone(), &claims));
                (Ok(user), remaining.min(self.settings.cache_ttl))
            }
            Err(cause) => (Err(cause), INACTIVE_TTL.min(self.settings.cache_ttl)),
        };
        if !ttl.is_zero() {
            let stored = StoredVerdict { verdict: verdict.clone(), expires_at: self.clock.now() + ttl };
            self.verdicts.insert(digest, stored);
        }
        verdict
    }

    /// Logs a new failure, a lasting one from time to time, and the recovery.
    fn report(&self, failure: Option<&String>) {
        let (name, now) = (&self.name, self.clock.now());
        match failure {
            Some(why) => {
                if let Some(why) = self.failures.record_failure(why, now) {
                    log::warn!("authentication scheme {name}: {why}");
                }
            }
            None => {
                if let Some(recovery) = self.failures.record_success(now) {
                    log::info!("authentication scheme {name}: introspection {recovery}");
                }
            }
        }
    }

    /// Sends the token to the endpoint; returns what the endpoint knows about it.
    async fn request(&self, token: &[u8]) -> Result<JsonObject, String> {
        let url = self.endpoint().await?;
        let token = String::from_utf8_lossy(token);
        let mut form = Form::default().with("token", &token).with("token_type_hint", "access_token");
        let now = self.unix_now();
        let authorization = self.settings.client.authenticate(&url.to_string(), now as u64, &mut form)?;
        let accepted =
            if self.response_keys.is_some() { response::SIGNED_MEDIA_TYPE } else { "application/json" };
        let mut request = Request::new("POST", &url)
            .header("Content-Type", form::MEDIA_TYPE)
            .header("Accept", accepted)
            .body(form.as_str().as_bytes());
        if let Some(authorization) = &authorization {
            request = request.header("Authorization", authorization);
        }
        let limits = RequestLimits { timeout: self.settings.timeout, max_body: MAX_RESPONSE_BYTES };
        let response = self.client.send(&request, limits, 0).await?;
        let is_refused = matches!(response.status(), 400 | 401 | 403);
        let body = response.body_if_ok().map_err(|why| match is_refused {
            true => format!("{url}: {why}; check ClientId and ClientSecret"),
            false => format!("{url}: {why}"),
        })?;
        match &self.response_keys {
            None => response::plain(&body).map_err(|why| format!("{url}: {why}")),
            Some(keys) => self.read_signed(&body, keys).await.map_err(|why| format!("{url}: {why}")),
        }
    }

    async fn read_signed(&self, body: &[u8], keys: &JwksCache) -> Result<JsonObject, String> {
        let read = || match keys.keys() {
            Some(set) => response::signed(body, &set, &self.settings.client.id),
            None => Err(JwsError::UnknownKey),
        };
        let result = match read() {
            Err(JwsError::UnknownKey) => {
                keys.refresh().await;
                read()
            }
            result => result,
        };
        result.map_err(|error| match error {
            JwsError::Invalid(why) => format!("the signed response is not valid: {why}"),
            JwsError::UnknownKey => "no key of the provider has signed the response".to_owned(),
        })
    }

    async fn endpoint(&self) -> Result<HttpUrl, String> {
        match (&self.settings.endpoint, &self.metadata) {
            (IntrospectionEndpoint::Url(url), _) => Ok(url.clone()),
            (IntrospectionEndpoint::Discovery(authority), Some(metadata)) => {
                let metadata = metadata.get().await?;
                let endpoint = metadata.introspection_endpoint.clone();
                endpoint.ok_or_else(|| format!("{authority} has no introspection_endpoint"))
            }
            (IntrospectionEndpoint::Discovery(authority), None) => Err(format!("{authority} is unknown")),
        }
    }

    /// Checks what the endpoint knows about a token; returns the remaining validity.
    fn check_claims(&self, claims: &JsonObject, now: f64) -> Result<Duration, GatewayError> {
        let fail = |code, detail: String| Err(GatewayError::new(code, detail));
        if claims.get("active").and_then(Value::as_bool) != Some(true) {
            return fail(ErrorCode::IdentityInactive, "the token is not active".to_owned());
        }
        let skew = self.settings.clock_skew.as_secs_f64();
        let time = |name| {
            let malformed = |why: &'static str| GatewayError::new(ErrorCode::IdentityMalformed, why);
            numeric_date(claims, name).map_err(malformed)
        };
        let expires_at = time("exp")?;
        if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at + skew <= now) {
            let ago = (now - expires_at) as u64;
            return fail(ErrorCode::IdentityExpired, format!("the token expired {ago} s ago"));
        }
        if time("nbf")?.is_some_and(|not_before| not_before > now + skew) {
            return fail(ErrorCode::IdentityNotYetValid, "the token is not valid yet".to_owned());
        }
        let issuer = claims.get("iss").and_then(Value::as_str);
        let is_issuer =
            |issuer: &str| self.settings.issuers.iter().any(|pattern| pattern.matches(issuer, claims));
        if !self.settings.issuers.is_empty() && !issuer.is_some_and(is_issuer) {
            return fail(ErrorCode::IdentityIssuer, "the token has another issuer (`iss`)".to_owned());
        }
        if !self.has_audience(claims) {
            return fail(ErrorCode::IdentityAudience, "the token has another audience (`aud`)".to_owned());
        }
        let remaining = expires_at.map_or(f64::MAX, |expires_at| expires_at + skew - now);
        Ok(Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX))
    }

    fn has_audience(&self, claims: &JsonObject) -> bool {
        let is_expected = |value: &Value| {
            value.as_str().is_some_and(|audience| self.settings.audiences.iter().any(|one| one == audience))
        };
        self.settings.audiences.is_empty()
            || match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(is_expected),
                Some(audience) => is_expected(audience),
                None => false,
            }
    }

    fn unix_now(&self) -> f64 {
        self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }
}

fn weight(stored: &StoredVerdict) -> u32 {
    let claims = match &stored.verdict {
        Ok(user) => user.claims().iter().map(|claim| claim.name.len() + claim.value.len() + 64).sum(),
        Err(_) => 0,
    };
    u32::try_from(claims + 256).unwrap_or(u32::MAX)
}

fn ambiguous() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityMalformed, "the request has several token headers")
}

fn not_called() -> GatewayError {
    let detail = "the endpoint is not called in a dry run, and the token was not checked before";
    GatewayError::new(ErrorCode::IdentityProviderUnavailable, detail)
}

fn busy() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBusy, "too many requests wait for the introspection endpoint")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
}

fn unavailable() -> GatewayError {
    let detail = "the introspection endpoint of the issuer is unavailable";
    GatewayError::new(ErrorCode::IdentityProviderUnavailable, detail)
        .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
}
