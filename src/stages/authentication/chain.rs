//! The schemes of a route: the session, then the other schemes in order, then the authorizers.

use super::{
    challenge::Challenges,
    credential_location,
    external::External,
    outcome::AuthOutcome,
    revocations::Revocations,
    session::{
        active::{ActiveSession, RouteSessions, SessionOutcome},
        cookies, endpoints,
    },
    settings::{AuthenticationConfig, SchemeConfig, SchemeKind},
    state::{AuthState, Scheme},
};
use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
        stage::Step,
    },
    state::SharedState,
};
use std::sync::Arc;

/// Everything that a route requires of its callers.
#[derive(Debug)]
pub struct SchemeChain {
    sessions: Option<RouteSessions>,
    schemes: Box<[Arc<Scheme>]>,
    names: Box<[Box<str>]>,
    /// All of them must allow the request.
    authorizers: Box<[Arc<External>]>,
    /// `None` under Ocelot.
    challenges: Option<Challenges>,
    /// Query parameters with credentials, removed from the request.
    credential_parameters: Box<[Box<str>]>,
    pub(super) revocations: Arc<Revocations>,
    /// Where credentials are recorded that may be used once.
    shared_state: Option<Arc<SharedState>>,
}

/// The schemes of one kind of a list.
fn of_kind(
    settings: &AuthenticationConfig,
    is_kind: fn(&SchemeKind) -> bool,
) -> impl Iterator<Item = &Arc<SchemeConfig>> {
    settings.schemes.iter().filter(move |scheme| is_kind(&scheme.kind))
}

impl SchemeChain {
    /// Compiles the schemes of a route; `state` shares them between routes and plans.
    pub fn new(
        settings: &AuthenticationConfig,
        state: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
        shared_state: Option<&Arc<SharedState>>,
    ) -> SchemeChain {
        let tried = || {
            of_kind(settings, |kind| !matches!(kind, SchemeKind::External(_) | SchemeKind::OpenIdConnect(_)))
        };
        let signed_in = || of_kind(settings, |kind| matches!(kind, SchemeKind::OpenIdConnect(_)));
        let external = of_kind(settings, |kind| matches!(kind, SchemeKind::External(_)));
        let audience_of_route: Option<Arc<str>> = settings.token_audience.as_deref().map(Into::into);
        let scheme = |settings| state.scheme(settings, background, clock);
        let sessions = signed_in().find_map(|settings| match &*scheme(settings) {
            Scheme::Session(session) => {
                let audience = audience_of_route.clone();
                Some(RouteSessions { store: session.store(shared_state), scheme: session.clone(), audience })
            }
            _ => None,
        });
        let authorizers = external.filter_map(|settings| match &*scheme(settings) {
            Scheme::External(external) => Some(external.clone()),
            _ => None,
        });
        SchemeChain {
            sessions,
            schemes: tried().map(scheme).collect(),
            names: tried().map(|scheme| scheme.name.as_str().into()).collect(),
            authorizers: authorizers.collect(),
            challenges: (!settings.ocelot).then(|| Challenges::new(tried().chain(signed_in()))),
            credential_parameters: tried().filter_map(removed_parameter).map(Into::into).collect(),
            revocations: state.revocations().clone(),
            shared_state: shared_state.cloned(),
        }
    }

    /// The response of an endpoint of sessions.
    pub fn serve_session_endpoint(&self, exchange: &mut Exchange) -> Option<Step> {
        self.sessions.as_ref()?.serve_endpoint(exchange)
    }

    /// Authenticates and authorizes a request.
    pub fn begin(chain: &Arc<SchemeChain>, exchange: &mut Exchange) -> Step {
        let Some(sessions) = &chain.sessions else {
            return SchemeChain::try_schemes(chain, exchange, None);
        };
        match sessions.find(exchange) {
            SessionOutcome::Absent => SchemeChain::try_schemes(chain, exchange, None),
            SessionOutcome::Rejected(cause) => SchemeChain::reject_session(chain, exchange, cause),
            SessionOutcome::Active(active) => SchemeChain::use_session(chain, &active, exchange),
            SessionOutcome::Pending(wait) => {
                let chain = chain.clone();
                Step::Suspend(Box::pin(async move {
                    let outcome = wait.await;
                    Step::ResumeAt(Box::new(move |exchange| match outcome {
                        Ok(active) => SchemeChain::use_session(&chain, &active, exchange),
                        Err(cause) => SchemeChain::reject_session(&chain, exchange, cause),
                    }))
                }))
            }
        }
    }

    fn use_session(chain: &Arc<SchemeChain>, active: &ActiveSession, exchange: &mut Exchange) -> Step {
        if let Some(sessions) = &chain.sessions {
            sessions.apply(active, exchange);
        }
        SchemeChain::accept(chain, exchange, Some(active.session.user.clone()))
    }

    /// Another scheme may accept the request, unless a sign-in would not help.
    fn reject_session(chain: &Arc<SchemeChain>, exchange: &mut Exchange, cause: GatewayError) -> Step {
        match cause.code {
            ErrorCode::SessionInvalid | ErrorCode::SessionExpired => {
                SchemeChain::try_schemes(chain, exchange, Some(cause))
            }
            _ => Step::Fail(cause),
        }
    }

    /// Tries the schemes in order; `session` is why there is no session.
    fn try_schemes(chain: &Arc<SchemeChain>, exchange: &mut Exchange, session: Option<GatewayError>) -> Step {
        if chain.schemes.is_empty() && chain.sessions.is_none() && !chain.authorizers.is_empty() {
            return SchemeChain::accept(chain, exchange, None);
        }
        if let Some(limit) = chain.missing_body(exchange) {
            return Step::ReadBody(limit);
        }
        let (mut rejection, mut pending) = (None, Vec::new());
        for (index, scheme) in chain.schemes.iter().enumerate() {
            match scheme.authenticate(exchange, chain.shared_state.as_ref()) {
                AuthOutcome::Authenticated(user) => return SchemeChain::accept(chain, exchange, Some(user)),
                AuthOutcome::Rejected(cause) => rejection = rejection.or(Some((index, cause))),
                AuthOutcome::Pending(wait) => pending.push((index, wait)),
                AuthOutcome::NoCredentials => {}
            }
        }
        if pending.is_empty() {
            return match (&chain.sessions, rejection) {
                (Some(sessions), None) => chain.challenge(sessions, exchange, session),
                (_, rejection) => chain.reject(rejection),
            };
        }
        let chain = chain.clone();
        Step::Suspend(Box::pin(async move {
            for (index, wait) in pending {
                match wait.await {
                    Ok(user) => {
                        return Step::ResumeAt(Box::new(move |exchange| {
                            SchemeChain::accept(&chain, exchange, Some(user))
                        }));
                    }
                    Err(cause) => rejection = rejection.or(Some((index, cause))),
                }
            }
            chain.reject(rejection)
        }))
    }

    /// A page begins a sign-in, anything else gets 401.
    fn challenge(&self, sessions: &RouteSessions, exchange: &Exchange, cause: Option<GatewayError>) -> Step {
        match (sessions.challenge(cause.unwrap_or_else(endpoints::required), exchange), &self.challenges) {
            (Step::Fail(cause), Some(challenges)) if cause.status(false) == 401 => {
                Step::Fail(challenges.add_to(cause, None))
            }
            (step, _) => step,
        }
    }

    /// The size of the body that a scheme needs and that is not collected yet.
    fn missing_body(&self, exchange: &Exchange) -> Option<usize> {
        match exchange.body.collected {
            Some(_) => None,
            None => self.schemes.iter().find_map(|scheme| scheme.body_limit(exchange)),
        }
    }

    /// Lets a request pass without a user, and without what only schemes may set.
    pub fn accept_anonymous(&self, exchange: &mut Exchange) -> Step {
        self.strip(exchange);
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
        chain.strip(exchange);
        exchange.client.user = user;
        SchemeChain::authorize(chain, 0, exchange)
    }

    /// Removes credentials that backends do not get.
    fn strip(&self, exchange: &mut Exchange) {
        self.credential_parameters.iter().for_each(|name| credential_location::strip(exchange, name));
        if let Some(sessions) = &self.sessions {
            cookies::strip(&mut exchange.request, &sessions.scheme.settings.cookie);
        }
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

    /// For `explain`.
    pub fn describe(&self) -> String {
        let session = self.sessions.as_ref().map(|sessions| format!("sessions of {}", sessions.scheme.name));
        let callers = session.into_iter().chain(self.names.iter().map(ToString::to_string));
        let callers = callers.collect::<Vec<_>>().join(", then ");
        let authorizers = self.authorizers.iter().map(|external| external.describe());
        let authorizers = authorizers.collect::<Vec<_>>().join(", then ");
        match (callers.is_empty(), authorizers.is_empty()) {
            (_, true) => format!("authenticates callers: {callers}"),
            (true, false) => format!("authorizes requests: {authorizers}"),
            (false, false) => format!("authenticates callers: {callers}; authorizes requests: {authorizers}"),
        }
    }
}

fn removed_parameter(scheme: &Arc<SchemeConfig>) -> Option<&str> {
    match &scheme.kind {
        SchemeKind::Jwt(jwt) => jwt.locations.removed_parameter(),
        SchemeKind::Introspection(introspection) => introspection.locations.removed_parameter(),
        SchemeKind::ApiKey(keys) => keys.locations.removed_parameter(),
        _ => None,
    }
}
