//! `AuthenticationOptions`: authentication of callers with JWTs, API keys, passwords or client certificates
//! (docs/ocelot-behavior.md, section 15).
//!
//! - Elsewhere: Envoy's `jwt_authn` and `basic_auth` filters, nginx `auth_jwt` and `auth_basic`, ASP.NET authentication
//!   schemes under YARP.
//! - Entry point: `Authentication`, the stage. It tries the schemes of a route in order; the first success sets
//!   `Exchange::user`.
//! - Callers: `plan::build` makes the stage, `plan::compile` the settings (`check_hash` and `keys` validate files).
//! - Owns: token caches, verified passwords, the keys that providers publish (JWKS) and their refresh tasks.
//! - Outlives a reload: all of that (`AuthState`), as long as a plan has a scheme with equal settings.

mod api_key;
mod basic;
mod bearer;
mod cpu_budget;
mod compile;
mod credential_location;
mod failures;
pub mod issuer;
mod jwks;
pub mod jwt;
mod jwt_claims;
pub mod keys;
pub mod options;
pub mod outcome;
pub mod revocations;
pub mod scheme_document;
pub mod scheme_set;
pub mod settings;
pub mod state;
#[cfg(test)]
mod testing;
pub mod verification_pool;
mod verifier;

pub use basic::check_hash;
pub use bearer::BearerAuthenticator;
pub use jwks::{Fetch, HttpFetch};
pub use options::{AuthenticationOptions, GlobalAuthenticationOptions};
pub use scheme_document::AuthenticationSchemeDocument;
pub use state::AuthState;

use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use outcome::AuthOutcome;
use revocations::{Follower, Revocations};
use settings::{AuthenticationConfig, SchemeConfig, SchemeKind};
use state::Scheme;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "authentication";

impl StageConfig for AuthenticationConfig {
    type State = AuthState;

    fn build(&self, state: &AuthState, context: &BuildContext) -> Vec<BoxStage> {
        let follower = context.shared_state.map(|shared| state.revocations().follow(shared));
        let stage = Authentication::new(self, state, context.background, context.clock);
        vec![Box::new(stage.with_follower(follower))]
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authentication {
    chain: Arc<SchemeChain>,
    /// Held, so that the list of revoked tokens is that of the shared state.
    _follower: Option<Arc<Follower>>,
}

#[derive(Debug)]
struct SchemeChain {
    schemes: Box<[Arc<Scheme>]>,
    names: Box<[Box<str>]>,
    /// The `WWW-Authenticate` challenge of each scheme; empty under Ocelot.
    challenges: Box<[Challenge]>,
    /// Query parameters with credentials, removed from the request.
    credential_parameters: Box<[Box<str>]>,
    revocations: Arc<Revocations>,
}

/// The challenge of one scheme (RFC 9110 11.6.1).
#[derive(Debug)]
struct Challenge {
    text: String,
    /// RFC 6750 3.1: the challenge after a rejected bearer token contains the error.
    bearer: bool,
}

impl Authentication {
    /// Compiles the schemes in the order in which they are tried; `state` shares them between routes and plans.
    pub fn new(
        settings: &AuthenticationConfig,
        state: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> Authentication {
        let schemes = || settings.schemes.iter();
        let challenges = schemes().filter(|_| !settings.ocelot).map(|scheme| challenge(scheme)).collect();
        let query_names = schemes().filter_map(|scheme| match &scheme.kind {
            SchemeKind::Jwt(jwt) => jwt.locations.removed_parameter(),
            SchemeKind::ApiKey(keys) => keys.locations.removed_parameter(),
            SchemeKind::Basic(_) | SchemeKind::Certificate => None,
        });
        let chain = Arc::new(SchemeChain {
            schemes: schemes().map(|scheme| state.scheme(scheme, background, clock)).collect(),
            names: schemes().map(|scheme| scheme.name.as_str().into()).collect(),
            challenges,
            credential_parameters: query_names.map(Into::into).collect(),
            revocations: state.revocations().clone(),
        });
        Authentication { chain, _follower: None }
    }

    /// The same stage, which keeps the list of revoked tokens current.
    #[must_use]
    fn with_follower(self, follower: Option<Arc<Follower>>) -> Authentication {
        Authentication { _follower: follower, ..self }
    }
}

impl Stage for Authentication {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        // Ocelot #633: the preflight of a browser has no credentials.
        if exchange.request.method() == b"OPTIONS" {
            return self.chain.accept(exchange, None);
        }
        let (mut rejection, mut pending) = (None, Vec::new());
        for (index, scheme) in self.chain.schemes.iter().enumerate() {
            match scheme.authenticate(exchange) {
                AuthOutcome::Authenticated(user) => return self.chain.accept(exchange, Some(user)),
                AuthOutcome::Rejected(cause) => rejection = rejection.or(Some((index, cause))),
                AuthOutcome::Pending(wait) => pending.push((index, wait)),
                AuthOutcome::NoCredentials => {}
            }
        }
        if pending.is_empty() {
            return self.chain.reject(rejection);
        }
        let schemes = self.chain.clone();
        Step::Suspend(Box::pin(async move {
            for (index, wait) in pending {
                match wait.await {
                    Ok(user) => {
                        return Step::ResumeAt(Box::new(move |exchange| {
                            schemes.accept(exchange, Some(user))
                        }));
                    }
                    Err(cause) => rejection = rejection.or(Some((index, cause))),
                }
            }
            schemes.reject(rejection)
        }))
    }

    fn describe(&self) -> String {
        format!("authenticates callers: {}", self.chain.names.join(", then "))
    }
}

impl SchemeChain {
    fn accept(&self, exchange: &mut Exchange, user: Option<Arc<Identity>>) -> Step {
        if let Some((user, claim)) =
            user.as_deref().and_then(|user| Some((user, self.revocations.revoked_by(user)?)))
        {
            let detail = format!("the token is revoked by its {}", claim.name());
            let scheme = self.names.iter().position(|name| **name == *user.scheme).unwrap_or(usize::MAX);
            return self.reject(Some((scheme, GatewayError::new(ErrorCode::IdentityRevoked, detail))));
        }
        self.credential_parameters.iter().for_each(|name| credential_location::strip(exchange, name));
        exchange.client.user = user;
        Step::Next
    }

    /// Fails with the error of the first scheme that found credentials.
    fn reject(&self, rejection: Option<(usize, GatewayError)>) -> Step {
        let (index, cause) = match rejection {
            Some((index, cause)) => (Some(index), cause),
            None => (None, GatewayError::new(ErrorCode::IdentityMissing, self.no_credentials())),
        };
        if self.challenges.is_empty() || cause.status(false) != 401 {
            return Step::Fail(cause);
        }
        let detail = cause.detail.clone();
        Step::Fail(cause.with_details(|details| {
            for (scheme, challenge) in self.challenges.iter().enumerate() {
                let has_error = challenge.bearer && index == Some(scheme);
                let error =
                    has_error.then(|| format!(", error=\"invalid_token\", error_description=\"{detail}\""));
                let line = format!("{}{}", challenge.text, error.unwrap_or_default());
                details.headers.push(("WWW-Authenticate".into(), line));
            }
        }))
    }

    fn no_credentials(&self) -> String {
        format!("the request has no credentials for {}", self.names.join(" or "))
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
