//! `AuthenticationOptions`: authentication of callers with tokens, API keys, passwords, client certificates or signatures
//! (docs/ocelot-behavior.md, section 15), and authorization by services outside of the gateway.
//!
//! - Elsewhere: Envoy's `jwt_authn`, `basic_auth` and `ext_authz` filters, nginx `auth_jwt`, `auth_basic` and `auth_request`,
//!   ASP.NET authentication schemes under YARP.
//! - Entry point: `Authentication`, the stage. It tries the schemes of a route in order; the first success sets
//!   `Exchange::user`. Then every `External` one must allow the request.
//! - Callers: `plan::build` makes the stage, `plan::compile` the settings (`check_hash` and `keys` validate files).
//! - Owns: token caches, verified passwords, sign-in sessions, the keys that providers publish (JWKS) and their refresh
//!   tasks.
//! - Outlives a reload: all of that (`AuthState`), as long as a plan has a scheme with equal settings.

mod api_key;
mod basic;
mod bearer;
mod chain;
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
pub mod session;
mod session_cookies;
pub mod settings;
mod shared_calls;
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
pub use session_cookies::{NAME as NAME_SESSION_COOKIES, SessionCookies};
pub use state::AuthState;

use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        exchange::Exchange,
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
    state::SharedState,
};
use chain::SchemeChain;
use revocations::Follower;
use settings::AuthenticationConfig;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "authentication";

impl StageConfig for AuthenticationConfig {
    type State = AuthState;

    fn build(&self, state: &AuthState, context: &BuildContext) -> Vec<BoxStage> {
        let follower = context.shared_state.map(|shared| state.revocations().follow(shared));
        let (background, clock) = (context.background, context.clock);
        let stage = Authentication::new(self, state, background, clock, context.shared_state);
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

impl Authentication {
    /// Compiles the schemes in the order in which they are tried; `state` shares them between routes and plans.
    pub fn new(
        settings: &AuthenticationConfig,
        state: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
        shared_state: Option<&Arc<SharedState>>,
    ) -> Authentication {
        let chain = SchemeChain::new(settings, state, background, clock, shared_state);
        Authentication { chain: Arc::new(chain), _follower: None }
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
        if let Some(step) = self.chain.serve_session_endpoint(exchange) {
            return step;
        }
        // Ocelot #633: the preflight of a browser has no credentials.
        if exchange.request.method() == b"OPTIONS" {
            return self.chain.accept_anonymous(exchange);
        }
        SchemeChain::begin(&self.chain, exchange)
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
        self.chain.describe()
    }
}

#[cfg(test)]
mod tests;
