//! `AuthenticationOptions`: authentication of callers (docs/ocelot-behavior.md, section 15; Envoy's `jwt_authn` filter,
//! nginx's `auth_jwt` and `auth_basic`). The schemes of a route are tried in order, the first that succeeds wins, and the
//! exchange carries the identity. Verified tokens and fetched keys outlive a reload.

mod api_key;
mod basic;
mod compile;
pub mod jwt;
pub mod keys;
mod credential_location;
mod jwks;
pub mod options;
pub mod scheme_document;
pub mod settings;
#[cfg(test)]
mod testing;
mod token;

pub use basic::check_hash;
pub use compile::Schemes;
pub use jwks::{Fetch, HttpFetch};
pub use options::{AuthenticationOptions, GlobalAuthenticationOptions};
pub use scheme_document::AuthenticationSchemeDocument;

use crate::{
    base::{clock::Clock, weak_map::WeakMap},
    net::background::BackgroundRuntime,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use api_key::ApiKeys;
use basic::Basic;
use jwks::JwksCache;
use jwt::{Jwt, Keys};
use keys::KeySet;
use settings::{AuthenticationConfig, KeySource, RemoteKeys, SchemeConfig, SchemeKind};
use std::{future::Future, pin::Pin, sync::Arc};

pub const NAME: &str = "authentication";

/// What a scheme says about a request.
pub enum AuthOutcome {
    /// There is nothing in the request that this scheme reads.
    NoCredentials,
    Authenticated(Arc<Identity>),
    Rejected(GatewayError),
    /// It cannot be said without waiting.
    Pending(Pin<Box<dyn Future<Output = Result<Arc<Identity>, GatewayError>> + Send>>),
}

/// A scheme at work.
#[derive(Debug)]
enum Scheme {
    Jwt(Arc<Jwt>),
    ApiKey(ApiKeys),
    Basic(Arc<Basic>),
    /// Its name.
    Certificate(Arc<str>),
}

impl Scheme {
    fn authenticate(&self, exchange: &Exchange) -> AuthOutcome {
        match self {
            Scheme::Jwt(jwt) => jwt.authenticate(exchange),
            Scheme::ApiKey(keys) => keys.authenticate(exchange),
            Scheme::Basic(basic) => basic.authenticate(exchange),
            Scheme::Certificate(name) => match &exchange.client.certificate {
                Some(certificate) => AuthOutcome::Authenticated(certificate.identity(name)),
                None => AuthOutcome::NoCredentials,
            },
        }
    }
}

impl StageConfig for AuthenticationConfig {
    type State = AuthState;

    fn build(&self, state: &AuthState, context: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(Authentication::new(self, state, context.background, context.clock))]
    }
}

/// What outlives a plan: schemes with their caches for as long as their settings stay the same, and providers with
/// their keys for as long as somebody names them.
#[derive(Debug)]
pub struct AuthState {
    schemes: WeakMap<Arc<SchemeConfig>, Scheme>,
    providers: WeakMap<RemoteKeys, JwksCache>,
    fetch: Arc<dyn Fetch>,
}

impl Default for AuthState {
    fn default() -> Self {
        AuthState::new(Arc::new(HttpFetch))
    }
}

impl AuthState {
    /// Providers are asked that way.
    pub fn new(fetch: Arc<dyn Fetch>) -> AuthState {
        AuthState { schemes: WeakMap::default(), providers: WeakMap::default(), fetch }
    }

    fn scheme(
        &self,
        settings: &Arc<SchemeConfig>,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> Arc<Scheme> {
        self.schemes.get_or_insert_with(settings.clone(), || match &settings.kind {
            SchemeKind::Jwt(jwt) => {
                let keys = match &jwt.keys {
                    KeySource::Fixed(keys) => Keys::Fixed(Arc::new(KeySet::new(keys, None, 0))),
                    KeySource::Remote(remote) => Keys::Remote(self.provider(remote, background)),
                };
                Scheme::Jwt(Arc::new(Jwt::new(&settings.name, (**jwt).clone(), keys, clock.clone())))
            }
            SchemeKind::ApiKey(keys) => Scheme::ApiKey(ApiKeys::new(&settings.name, keys.clone())),
            SchemeKind::Basic(basic) => {
                Scheme::Basic(Arc::new(Basic::new(&settings.name, basic.clone(), background.clone())))
            }
            SchemeKind::Certificate => Scheme::Certificate(settings.name.as_str().into()),
        })
    }

    fn provider(&self, remote: &RemoteKeys, background: &BackgroundRuntime) -> Arc<JwksCache> {
        let provider = self.providers.get_or_insert_with(remote.clone(), || JwksCache::new(remote.clone()));
        JwksCache::start(&provider, background, &self.fetch);
        provider
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authentication(Arc<SchemeChain>);

#[derive(Debug)]
struct SchemeChain {
    schemes: Box<[Arc<Scheme>]>,
    names: Box<[Box<str>]>,
    /// What a 401 asks for, scheme by scheme; empty under Ocelot.
    challenges: Box<[Challenge]>,
    /// Parameters that are taken out of the query.
    strip_credentials: Box<[Box<str>]>,
}

/// The offer of one scheme (RFC 9110 11.6.1).
#[derive(Debug)]
struct Challenge {
    text: String,
    /// RFC 6750 3.1: a bearer token that was refused is told why.
    bearer: bool,
}

impl Authentication {
    pub fn new(
        settings: &AuthenticationConfig,
        kept: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> Authentication {
        let all = || settings.schemes.iter();
        let challenges = all().filter(|_| !settings.ocelot).map(|scheme| challenge(scheme)).collect();
        let strip = all().filter_map(|scheme| match &scheme.kind {
            SchemeKind::Jwt(jwt) => jwt.places.query.as_deref(),
            SchemeKind::ApiKey(keys) => keys.places.query.as_deref(),
            SchemeKind::Basic(_) | SchemeKind::Certificate => None,
        });
        Authentication(Arc::new(SchemeChain {
            schemes: all().map(|scheme| kept.scheme(scheme, background, clock)).collect(),
            names: all().map(|scheme| scheme.name.as_str().into()).collect(),
            challenges,
            strip_credentials: strip.map(Into::into).collect(),
        }))
    }
}

impl Stage for Authentication {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        // Ocelot #633: the preflight of a browser carries no credentials.
        if exchange.request.method() == b"OPTIONS" {
            return self.0.accept(exchange, None);
        }
        let (mut bad, mut later) = (None, Vec::new());
        for (at, scheme) in self.0.schemes.iter().enumerate() {
            match scheme.authenticate(exchange) {
                AuthOutcome::Authenticated(user) => return self.0.accept(exchange, Some(user)),
                AuthOutcome::Rejected(cause) => bad = bad.or(Some((at, cause))),
                AuthOutcome::Pending(wait) => later.push((at, wait)),
                AuthOutcome::NoCredentials => {}
            }
        }
        if later.is_empty() {
            return self.0.reject(bad);
        }
        let schemes = self.0.clone();
        Step::Suspend(Box::pin(async move {
            for (at, wait) in later {
                match wait.await {
                    Ok(user) => return Step::ResumeAt(Box::new(move |x| schemes.accept(x, Some(user)))),
                    Err(cause) => bad = bad.or(Some((at, cause))),
                }
            }
            schemes.reject(bad)
        }))
    }

    fn describe(&self) -> String {
        format!("callers prove who they are: {}", self.0.names.join(", then "))
    }
}

impl SchemeChain {
    fn accept(&self, exchange: &mut Exchange, user: Option<Arc<Identity>>) -> Step {
        self.strip_credentials.iter().for_each(|name| credential_location::strip(exchange, name));
        exchange.client.user = user;
        Step::Next
    }

    /// The first scheme that found something says why; else nothing was there.
    fn reject(&self, bad: Option<(usize, GatewayError)>) -> Step {
        let (at, cause) = match bad {
            Some((at, cause)) => (Some(at), cause),
            None => (None, GatewayError::new(ErrorCode::IdentityMissing, self.no_credentials())),
        };
        if self.challenges.is_empty() || cause.status(false) != 401 {
            return Step::Fail(cause);
        }
        let detail = cause.detail.clone();
        Step::Fail(cause.with_details(|more| {
            for (own, challenge) in self.challenges.iter().enumerate() {
                let told = challenge.bearer && at == Some(own);
                let error =
                    told.then(|| format!(", error=\"invalid_token\", error_description=\"{detail}\""));
                let line = format!("{}{}", challenge.text, error.unwrap_or_default());
                more.headers.push(("WWW-Authenticate".into(), line));
            }
        }))
    }

    fn no_credentials(&self) -> String {
        format!("the request carries no credentials for {}", self.names.join(" or "))
    }
}

fn challenge(scheme: &SchemeConfig) -> Challenge {
    let realm: String = scheme
        .name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { ' ' })
        .collect();
    let (text, bearer) = match &scheme.kind {
        SchemeKind::Jwt(_) => (format!("Bearer realm=\"{realm}\""), true),
        SchemeKind::ApiKey(_) => (format!("ApiKey realm=\"{realm}\""), false),
        SchemeKind::Basic(_) => (format!("Basic realm=\"{realm}\", charset=\"UTF-8\""), false),
        SchemeKind::Certificate => (format!("ClientCertificate realm=\"{realm}\""), false),
    };
    Challenge { text, bearer }
}

#[cfg(test)]
mod tests;
