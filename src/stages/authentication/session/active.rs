//! From a cookie to an active session: load, check.

use super::{
    audience_cache::AudienceToken,
    cookies::{self, CookieText},
    data::{Session, SessionData},
    request::{BrowserRequest, cross_site_reason},
    scheme::{CookieContent, OpenedCookie, SessionScheme, refresh_key},
    store::{LoadResult, SessionStore},
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
    state::{OnFailure, StateError},
};
use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

/// Access tokens are refreshed in the background this long before they expire.
const EARLY_REFRESH_SECONDS: u64 = 15;

/// A session that a request may use.
#[derive(Clone, Debug)]
pub struct ActiveSession {
    pub session: Arc<Session>,
    /// The cookie must be written again: the session has changed, or another key sealed it.
    pub must_write: bool,
    /// The token for the audience of the route, instead of that of the session.
    pub audience_token: Option<Arc<AudienceToken>>,
}

/// The session of a request.
pub enum SessionOutcome {
    Absent,
    Rejected(GatewayError),
    Active(ActiveSession),
    Pending(Pin<Box<dyn Future<Output = Result<ActiveSession, GatewayError>> + Send>>),
}

/// How soon the access token must be refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenAge {
    Fresh,
    Old,
    Expired,
}

/// The sessions of one scheme as a route uses them.
#[derive(Clone, Debug)]
pub struct RouteSessions {
    pub scheme: Arc<SessionScheme>,
    /// `None`: sessions are in their cookies.
    pub store: Option<Arc<SessionStore>>,
    /// The audience of the tokens that backends get; `None`: they get the token of the session.
    pub audience: Option<Arc<str>>,
}

impl RouteSessions {
    /// Finds the session of a request.
    pub fn find(&self, exchange: &Exchange) -> SessionOutcome {
        let settings = &self.scheme.settings;
        let text = match cookies::read(&exchange.request, &settings.cookie) {
            CookieText::Absent => return SessionOutcome::Absent,
            CookieText::Malformed => {
                return SessionOutcome::Rejected(invalid("a piece of the cookie is missing"));
            }
            CookieText::Complete(text) => text,
        };
        let Some(cookie) = self.scheme.open(&text) else {
            return SessionOutcome::Rejected(invalid("the cookie was not made by this gateway"));
        };
        let request = BrowserRequest::new(exchange, settings);
        let cross_site =
            cross_site_reason(&exchange.request, exchange.is_websocket, &request.origin, settings);
        if let Some(reason) = cross_site {
            return SessionOutcome::Rejected(GatewayError::new(ErrorCode::SessionCsrf, reason));
        }
        self.activate(&cookie, exchange)
    }

    fn activate(&self, cookie: &Arc<OpenedCookie>, exchange: &Exchange) -> SessionOutcome {
        let known = match &cookie.content {
            CookieContent::Session(session) => Some(self.latest(session)),
            CookieContent::Reference(reference) => self
                .store
                .as_ref()
                .and_then(|store| store.known(&reference.id, exchange.now, false))
                .map(|session| (session, false)),
        };
        if let Some((session, has_changed)) = known {
            match self.check(&session) {
                Err(cause) => return SessionOutcome::Rejected(cause),
                Ok(TokenAge::Expired) => {}
                Ok(age) => {
                    let must_write = has_changed || !cookie.is_current || self.is_due(&session);
                    let active = ActiveSession { session, must_write, audience_token: None };
                    return self.use_now(active, age, exchange.is_dry_run);
                }
            }
        }
        if exchange.is_dry_run {
            return SessionOutcome::Rejected(expired("a dry run neither loads nor refreshes sessions"));
        }
        let Some(guard) = self.scheme.waiting.try_enter(exchange.client.ip) else {
            return SessionOutcome::Rejected(unavailable("too many requests wait for it"));
        };
        let (sessions, cookie) = (self.clone(), cookie.clone());
        SessionOutcome::Pending(Box::pin(async move {
            let _guard = guard;
            sessions.resolve(&cookie).await
        }))
    }

    /// A session whose access token is valid.
    fn use_now(&self, active: ActiveSession, age: TokenAge, is_dry_run: bool) -> SessionOutcome {
        if is_dry_run {
            return SessionOutcome::Active(active);
        }
        if age == TokenAge::Old {
            drop(self.begin_refresh(&active.session));
        }
        self.with_audience(active)
    }

    /// A session after the refreshes that the browser does not know yet, and whether there are any.
    fn latest(&self, session: &Arc<Session>) -> (Arc<Session>, bool) {
        let (mut latest, mut has_changed) = (session.clone(), false);
        while let Some(next) = self.scheme.refreshed.get(&refresh_key(&latest)) {
            latest = next;
            has_changed = true;
        }
        (latest, has_changed)
    }

    async fn resolve(&self, cookie: &OpenedCookie) -> Result<ActiveSession, GatewayError> {
        let mut session = match &cookie.content {
            CookieContent::Session(session) => self.latest(session).0,
            CookieContent::Reference(reference) => self.load_once(&reference.id).await?,
        };
        if self.check(&session)? == TokenAge::Expired {
            session = self.refresh(&session).await?;
        }
        let must_write = self.store.is_none() || !cookie.is_current;
        self.attach_audience(ActiveSession { session, must_write, audience_token: None }).await
    }

    /// Loads a session once for all requests that need it.
    async fn load_once(&self, id: &str) -> Result<Arc<Session>, GatewayError> {
        let Some(store) = &self.store else { return Err(no_state()) };
        let known = |id: &String| store.known(id, Instant::now(), false).map(|session| Ok(Some(session)));
        let call = store.loads.join(id.to_owned(), &self.scheme.background, known, || {
            let (scheme, store, id) = (self.scheme.clone(), store.clone(), id.to_owned());
            async move { store.load(&scheme.sealer, &id).await }
        });
        RouteSessions::loaded(store, id, call.result().await.unwrap_or(Err(StateError::Unavailable)))
    }

    /// Loads the current state of a session.
    pub async fn load(&self, id: &str) -> Result<Arc<Session>, GatewayError> {
        let Some(store) = &self.store else { return Err(no_state()) };
        RouteSessions::loaded(store, id, store.load(&self.scheme.sealer, id).await)
    }

    /// While the shared state is away, sessions that this gateway knows go on.
    fn loaded(store: &SessionStore, id: &str, loaded: LoadResult) -> Result<Arc<Session>, GatewayError> {
        match loaded {
            Ok(Some(session)) => Ok(session),
            Ok(None) => Err(expired("the session has ended")),
            Err(error) => match (store.state().on_failure(), store.known(id, Instant::now(), true)) {
                (OnFailure::Local, Some(session)) => Ok(session),
                _ => Err(state_unavailable(&error)),
            },
        }
    }

    /// Checks the lifetimes and the list of ended sessions.
    fn check(&self, session: &Session) -> Result<TokenAge, GatewayError> {
        let (settings, data) = (&self.scheme.settings, &session.data);
        let now = self.scheme.provider.unix_now();
        if data.created_at + settings.absolute_timeout.as_secs() <= now {
            return Err(expired("the session has reached its longest lifetime"));
        }
        if self.store.is_none() && data.seen_at + settings.idle_timeout.as_secs() <= now {
            return Err(expired("the session was not used for too long"));
        }
        if self.scheme.revocations.revoked_by(&session.user).is_some() {
            return Err(expired("the session was ended at the provider"));
        }
        let Some(expires_at) = data.access_expires_at else { return Ok(TokenAge::Fresh) };
        match (expires_at <= now, &data.refresh_token) {
            (true, None) => Err(expired("the access token has expired, and there is no refresh token")),
            (true, Some(_)) => Ok(TokenAge::Expired),
            (false, Some(_)) if expires_at <= now + EARLY_REFRESH_SECONDS => Ok(TokenAge::Old),
            _ => Ok(TokenAge::Fresh),
        }
    }

    /// Whether the idle timeout in the cookie must begin again.
    fn is_due(&self, session: &Session) -> bool {
        let age = self.scheme.provider.unix_now().saturating_sub(session.data.seen_at);
        self.store.is_none() && age > self.scheme.settings.idle_timeout.as_secs() / 4
    }

    /// Lets a request use a session: its cookies stay here, and its token goes to the backend.
    pub fn apply(&self, active: &ActiveSession, exchange: &mut Exchange) {
        let (settings, pieces) = (&self.scheme.settings, self.pieces(exchange));
        let is_loop_counted = cookies::all(&exchange.request)
            .any(|(name, _)| name == format!("{}-tries", settings.cookie).as_bytes());
        if active.must_write && !exchange.is_dry_run {
            let mut data = active.session.data.clone();
            data.seen_at = self.scheme.provider.unix_now();
            self.add_cookies(exchange, self.session_cookies(&data, pieces));
        }
        if is_loop_counted {
            let cookie = cookies::clear(settings, &format!("{}-tries", settings.cookie));
            self.add_cookies(exchange, vec![cookie]);
        }
        cookies::strip(&mut exchange.request, &settings.cookie);
        let own = &active.session.authorization;
        let authorization = active.audience_token.as_ref().map_or(own, |token| &token.authorization);
        exchange.request.set(b"Authorization", authorization.reveal().as_bytes());
    }

    /// The `Set-Cookie` values of a session; none if it is too large for cookies.
    pub fn session_cookies(&self, data: &SessionData, pieces_before: usize) -> Vec<String> {
        let content = match &self.store {
            None => data.to_bytes(),
            Some(_) => serde_json::json!({ "id": data.id, "c": data.created_at }).to_string().into_bytes(),
        };
        let sealed = self.scheme.sealer.seal(&self.scheme.purpose("session"), &content);
        let fields = sealed.and_then(|text| cookies::write(&self.scheme.settings, &text, pieces_before));
        fields.unwrap_or_else(|| {
            log::error!(
                "session scheme {}: the tokens are too large for cookies; set SharedState, so that cookies only name the session",
                self.scheme.name
            );
            Vec::new()
        })
    }

    /// The number of cookies of the session in a request.
    pub fn pieces(&self, exchange: &Exchange) -> usize {
        cookies::piece_count(&exchange.request, &self.scheme.settings.cookie)
    }

    fn add_cookies(&self, exchange: &mut Exchange, cookies: Vec<String>) {
        let fields = cookies.into_iter().map(|cookie| ("Set-Cookie".into(), cookie.into_bytes()));
        exchange.response.fields.extend(fields);
    }
}

fn no_state() -> GatewayError {
    invalid("there is no shared state")
}

fn invalid(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::SessionInvalid, detail)
}

/// The session has ended; a sign-in begins another one.
pub fn expired(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::SessionExpired, detail)
}

/// The provider does not respond; a sign-in would not help.
pub fn unavailable(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::SessionProviderUnavailable, detail)
        .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
}

/// The shared state does not reply; a sign-in would not help.
pub fn state_unavailable(error: &StateError) -> GatewayError {
    GatewayError::new(ErrorCode::StateUnavailable, format!("the session cannot be loaded: {error}"))
        .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
}
