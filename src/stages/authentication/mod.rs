//! `AuthenticationOptions`: authentication of callers with tokens, API keys, passwords, client certificates or signatures
//! (docs/ocelot-behavior.md, section 15), and authorization by services outside of the gateway.
//!
//! - Elsewhere: Envoy's `jwt_authn`, `basic_auth` and `ext_authz` filters, nginx `auth_jwt`, `auth_basic` and `auth_request`,
//!   ASP.NET authentication schemes under YARP.
//! - Entry point: `Authentication`, the stage. It tries the schemes of a route in order; the first success sets
//!   `Exchange::user`. Then every `External` one must allow the request.
//! - Callers: `plan::build` makes the stage, `plan::compile` the settings (`check_hash` and `keys` validate files).
//! - Owns: token caches, verified passwords, the keys that providers publish (JWKS) and their refresh tasks.
//! - Outlives a reload: all of that (`AuthState`), as long as a plan has a scheme with equal settings.

mod api_key;
mod basic;
mod bearer;
mod challenge;
mod cpu_budget;
mod compile;
mod credential_location;
pub mod external;
mod failures;
pub mod introspection;
pub mod issuer;
mod jwks;
mod jws;
pub mod jwt;
mod jwt_claims;
mod jwt_failures;
pub mod keys;
mod numeric_date;
pub mod oauth;
pub mod options;
pub mod outcome;
pub mod possession;
mod remote_keys;
mod replay;
pub mod revocations;
pub mod scheme_document;
pub mod scheme_set;
pub mod settings;
pub mod state;
#[cfg(test)]
mod testing;
mod token_location;
pub mod verification_pool;
mod verifier;
mod waiting;
pub mod webhook;

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
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
    state::SharedState,
};
use challenge::Challenges;
use external::External;
use outcome::AuthOutcome;
use revocations::{Follower, Revocations};
use settings::{AuthenticationConfig, SchemeKind};
use state::Scheme;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "authentication";

impl StageConfig for AuthenticationConfig {
    type State = AuthState;

    fn build(&self, state: &AuthState, context: &BuildContext) -> Vec<BoxStage> {
        let follower = context.shared_state.map(|shared| state.revocations().follow(shared));
        let stage = Authentication::new(self, state, context.background, context.clock);
        vec![Box::new(stage.with_shared_state(follower, context.shared_state.cloned()))]
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authentication {
    chain: Arc<SchemeChain>,
    /// Where credentials are recorded that may be used once.
    shared_state: Option<Arc<SharedState>>,
    /// Held, so that the list of revoked tokens is that of the shared state.
    _follower: Option<Arc<Follower>>,
}

#[derive(Debug)]
struct SchemeChain {
    schemes: Box<[Arc<Scheme>]>,
    names: Box<[Box<str>]>,
    /// All of them must allow the request.
    authorizers: Box<[Arc<External>]>,
    /// `None` under Ocelot.
    challenges: Option<Challenges>,
    /// Query parameters with credentials, removed from the request.
    credential_parameters: Box<[Box<str>]>,
    revocations: Arc<Revocations>,
}

impl Authentication {
    /// Compiles the schemes in the order in which they are tried; `state` shares them between routes and plans.
    pub fn new(
        settings: &AuthenticationConfig,
        state: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> Authentication {
        let is_external = |kind: &SchemeKind| matches!(kind, SchemeKind::External(_));
        let schemes = || settings.schemes.iter().filter(|scheme| !is_external(&scheme.kind));
        let query_names = schemes().filter_map(|scheme| match &scheme.kind {
            SchemeKind::Jwt(jwt) => jwt.locations.removed_parameter(),
            SchemeKind::Introspection(introspection) => introspection.locations.removed_parameter(),
            SchemeKind::ApiKey(keys) => keys.locations.removed_parameter(),
            _ => None,
        });
        let authorizers = settings.schemes.iter().filter(|scheme| is_external(&scheme.kind));
        let authorizers = authorizers.filter_map(|scheme| match &*state.scheme(scheme, background, clock) {
            Scheme::External(external) => Some(external.clone()),
            _ => None,
        });
        let chain = Arc::new(SchemeChain {
            schemes: schemes().map(|scheme| state.scheme(scheme, background, clock)).collect(),
            names: schemes().map(|scheme| scheme.name.as_str().into()).collect(),
            authorizers: authorizers.collect(),
            challenges: (!settings.ocelot).then(|| Challenges::new(schemes())),
            credential_parameters: query_names.map(Into::into).collect(),
            revocations: state.revocations().clone(),
        });
        Authentication { chain, shared_state: None, _follower: None }
    }

    /// The same stage, which keeps the list of revoked tokens current and shares what it records.
    #[must_use]
    fn with_shared_state(
        self,
        follower: Option<Arc<Follower>>,
        shared_state: Option<Arc<SharedState>>,
    ) -> Authentication {
        Authentication { shared_state, _follower: follower, ..self }
    }
}

impl Stage for Authentication {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        // Ocelot #633: the preflight of a browser has no credentials.
        if exchange.request.method() == b"OPTIONS" {
            return self.chain.accept_anonymous(exchange);
        }
        if self.chain.schemes.is_empty() && !self.chain.authorizers.is_empty() {
            return SchemeChain::accept(&self.chain, exchange, None);
        }
        if let Some(limit) = self.chain.missing_body(exchange) {
            return Step::ReadBody(limit);
        }
        let (mut rejection, mut pending) = (None, Vec::new());
        for (index, scheme) in self.chain.schemes.iter().enumerate() {
            match scheme.authenticate(exchange, self.shared_state.as_ref()) {
                AuthOutcome::Authenticated(user) => {
                    return SchemeChain::accept(&self.chain, exchange, Some(user));
                }
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
                            SchemeChain::accept(&schemes, exchange, Some(user))
                        }));
                    }
                    Err(cause) => rejection = rejection.or(Some((index, cause))),
                }
            }
            schemes.reject(rejection)
        }))
    }

    /// Adds the fields that an authorizer or a session leaves for the client.
    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        for (name, value) in exchange.response.fields.drain(..) {
            match outcome {
                Ok(response) => response.head.append(name.as_bytes(), &value),
                Err(cause) => {
                    let value = String::from_utf8_lossy(&value).into_owned();
                    cause.extra.get_or_insert_default().headers.push((name.into_string().into(), value));
                }
            }
        }
    }

    fn describe(&self) -> String {
        let authorizers = self.chain.authorizers.iter().map(|external| external.describe());
        let authorizers = authorizers.collect::<Vec<_>>().join(", then ");
        match (self.chain.names.join(", then "), authorizers) {
            (schemes, none) if none.is_empty() => format!("authenticates callers: {schemes}"),
            (none, authorizers) if none.is_empty() => format!("authorizes requests: {authorizers}"),
            (schemes, authorizers) => {
                format!("authenticates callers: {schemes}; authorizes requests: {authorizers}")
            }
        }
    }
}

impl SchemeChain {
    /// The size of the body that a scheme needs and that is not collected yet.
    fn missing_body(&self, exchange: &Exchange) -> Option<usize> {
        match exchange.body.collected {
            Some(_) => None,
            None => self.schemes.iter().find_map(|scheme| scheme.body_limit(exchange)),
        }
    }

    fn accept_anonymous(&self, exchange: &mut Exchange) -> Step {
        self.credential_parameters.iter().for_each(|name| credential_location::strip(exchange, name));
        self.authorizers.iter().for_each(|external| external.strip(exchange));
        exchange.client.user = None;
        Step::Next
    }

    fn accept(chain: &Arc<SchemeChain>, exchange: &mut Exchange, user: Option<Arc<Identity>>) -> Step {
        if let Some((user, claim)) =
            user.as_deref().and_then(|user| Some((user, chain.revocations.revoked_by(user)?)))
        {
            let detail = format!("the token is revoked by its {}", claim.name());
            let scheme = chain.names.iter().position(|name| **name == *user.scheme).unwrap_or(usize::MAX);
            return chain.reject(Some((scheme, GatewayError::new(ErrorCode::IdentityRevoked, detail))));
        }
        chain.credential_parameters.iter().for_each(|name| credential_location::strip(exchange, name));
        exchange.client.user = user;
        SchemeChain::authorize(chain, 0, exchange)
    }

    /// Calls the authorizers from this one on.
    fn authorize(chain: &Arc<SchemeChain>, from: usize, exchange: &mut Exchange) -> Step {
        for (index, external) in chain.authorizers.iter().enumerate().skip(from) {
            match external.check(exchange) {
                Step::Next => {}
                Step::Suspend(wait) => {
                    let chain = chain.clone();
                    return Step::Suspend(Box::pin(async move {
                        match wait.await {
                            Step::ResumeAt(resume) => {
                                Step::ResumeAt(Box::new(move |exchange| match resume(exchange) {
                                    Step::Next => SchemeChain::authorize(&chain, index + 1, exchange),
                                    step => step,
                                }))
                            }
                            step => step,
                        }
                    }));
                }
                step => return step,
            }
        }
        Step::Next
    }

    /// Fails with the error of the first scheme that found credentials.
    fn reject(&self, rejection: Option<(usize, GatewayError)>) -> Step {
        let (index, cause) = match rejection {
            Some((index, cause)) => (Some(index), cause),
            None => (None, GatewayError::new(ErrorCode::IdentityMissing, self.no_credentials())),
        };
        match &self.challenges {
            Some(challenges) if cause.status(false) == 401 => Step::Fail(challenges.add_to(cause, index)),
            _ => Step::Fail(cause),
        }
    }

    fn no_credentials(&self) -> String {
        format!("the request has no credentials for {}", self.names.join(" or "))
    }
}

#[cfg(test)]
mod tests;
