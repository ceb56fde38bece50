//! Schemes and the state of authentication that outlives a plan.

use super::{
    api_key::ApiKeys,
    basic::Basic,
    external::External,
    introspection::Introspection,
    jwks::{Fetch, HttpFetch, JwksCache},
    jwt::{Jwt, Keys},
    keys::KeySet,
    outcome::AuthOutcome,
    possession::Possession,
    revocations::Revocations,
    session::scheme::SessionScheme,
    settings::{KeySource, RemoteKeys, SchemeConfig, SchemeKind},
    verification_pool::{PoolLimits, VerificationPool},
    webhook::Webhook,
};
use crate::{
    base::{clock::Clock, weak_map::WeakMap},
    net::background::BackgroundRuntime,
    pipeline::exchange::Exchange,
    state::SharedState,
};
use std::sync::{Arc, OnceLock};

/// Signatures are quick: a queue of a thousand takes less than a second.
const SIGNATURE_LIMITS: PoolLimits =
    PoolLimits { max_parallel: 2, max_queued: 1024, max_queued_bytes: 8 << 20 };
/// Password hashes are slow by design.
pub(super) const PASSWORD_LIMITS: PoolLimits =
    PoolLimits { max_parallel: 2, max_queued: 256, max_queued_bytes: 1 << 20 };

/// A compiled scheme.
#[derive(Debug)]
pub enum Scheme {
    Jwt(Arc<Jwt>),
    ApiKey(ApiKeys),
    Basic(Arc<Basic>),
    /// With its name.
    Certificate(Arc<str>),
    Introspection(Arc<Introspection>),
    Hmac(Box<Webhook>),
    /// It authorizes requests in addition to the other schemes.
    External(Arc<External>),
    /// Its cookies are read before the credentials of other schemes.
    Session(Arc<SessionScheme>),
}

impl Scheme {
    /// Checks the credentials of a request, or finds none of its kind. `shared`: where credentials are recorded that may be
    /// used once.
    pub fn authenticate(&self, exchange: &Exchange, shared: Option<&Arc<SharedState>>) -> AuthOutcome {
        match self {
            Scheme::Jwt(jwt) => jwt.authenticate(exchange, shared),
            Scheme::Introspection(introspection) => introspection.authenticate(exchange, shared),
            Scheme::Hmac(webhook) => webhook.authenticate(exchange, shared),
            Scheme::External(_) | Scheme::Session(_) => AuthOutcome::NoCredentials,
            Scheme::ApiKey(keys) => keys.authenticate(exchange),
            Scheme::Basic(basic) => basic.authenticate(exchange),
            Scheme::Certificate(name) => match &exchange.client.certificate {
                Some(certificate) => AuthOutcome::Authenticated(certificate.identity(name)),
                None => AuthOutcome::NoCredentials,
            },
        }
    }

    /// The number of bytes of the body that the scheme needs, if the request has credentials for it.
    pub fn body_limit(&self, exchange: &Exchange) -> Option<usize> {
        match self {
            Scheme::Hmac(webhook) => webhook.body_limit(exchange),
            _ => None,
        }
    }
}

/// The state that outlives a plan: schemes with their caches as long as their settings are unchanged, and the keys of
/// providers as long as a scheme uses them.
#[derive(Debug)]
pub struct AuthState {
    schemes: WeakMap<Arc<SchemeConfig>, Scheme>,
    providers: WeakMap<RemoteKeys, JwksCache>,
    fetch: Arc<dyn Fetch>,
    pools: OnceLock<Pools>,
    revocations: Arc<Revocations>,
}

/// Verification off the workers, shared by all schemes.
#[derive(Debug)]
struct Pools {
    signatures: Arc<VerificationPool>,
    passwords: Arc<VerificationPool>,
}

impl Default for AuthState {
    fn default() -> Self {
        AuthState::new(Arc::new(HttpFetch))
    }
}

impl AuthState {
    /// State with another transport for the keys of providers.
    pub fn new(fetch: Arc<dyn Fetch>) -> AuthState {
        AuthState {
            schemes: WeakMap::default(),
            providers: WeakMap::default(),
            fetch,
            pools: OnceLock::new(),
            revocations: Arc::default(),
        }
    }

    /// The revoked tokens.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The scheme with these settings, created on first use.
    pub fn scheme(
        &self,
        settings: &Arc<SchemeConfig>,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> Arc<Scheme> {
        self.schemes.get_or_insert_with(settings.clone(), || self.create(settings, background, clock))
    }

    fn create(&self, settings: &SchemeConfig, background: &BackgroundRuntime, clock: &Clock) -> Scheme {
        let name = &settings.name;
        let pools = self.pools.get_or_init(|| Pools {
            signatures: VerificationPool::new(SIGNATURE_LIMITS, background.clone()),
            passwords: VerificationPool::new(PASSWORD_LIMITS, background.clone()),
        });
        let (signatures, runtime) = (pools.signatures.clone(), (clock.clone(), background.clone()));
        match &settings.kind {
            SchemeKind::Introspection(own) => {
                let possession = Possession::new(own.possession.clone(), clock.clone(), signatures);
                let keys = own.response_keys.as_ref().map(|keys| self.provider(keys, background));
                let scheme = Introspection::new(name, (**own).clone(), Arc::new(possession), keys, runtime);
                Scheme::Introspection(Arc::new(scheme))
            }
            SchemeKind::OpenIdConnect(own) => {
                let (keys, revocations) = (self.provider(&own.keys, background), self.revocations.clone());
                let scheme = SessionScheme::new(name, (**own).clone(), keys, revocations, runtime);
                Scheme::Session(Arc::new(scheme))
            }
            SchemeKind::External(own) => {
                Scheme::External(Arc::new(External::new(name, (**own).clone(), background)))
            }
            SchemeKind::Hmac(own) => {
                Scheme::Hmac(Box::new(Webhook::new(name, (**own).clone(), clock.clone(), signatures)))
            }
            SchemeKind::Jwt(jwt) => {
                let keys = match &jwt.keys {
                    KeySource::Fixed(keys) => Keys::Fixed(Arc::new(KeySet::new(keys, None, 0))),
                    KeySource::Remote(remote) => Keys::Remote(self.provider(remote, background)),
                };
                Scheme::Jwt(Arc::new(Jwt::new(name, (**jwt).clone(), keys, clock.clone(), signatures)))
            }
            SchemeKind::ApiKey(keys) => Scheme::ApiKey(ApiKeys::new(name, keys.clone())),
            SchemeKind::Basic(basic) => {
                Scheme::Basic(Arc::new(Basic::new(name, basic.clone(), pools.passwords.clone())))
            }
            SchemeKind::Certificate => Scheme::Certificate(name.as_str().into()),
        }
    }

    fn provider(&self, remote: &RemoteKeys, background: &BackgroundRuntime) -> Arc<JwksCache> {
        let provider = self.providers.get_or_insert_with(remote.clone(), || JwksCache::new(remote.clone()));
        JwksCache::start(&provider, background, &self.fetch);
        provider
    }
}
