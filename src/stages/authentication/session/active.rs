//! From a cookie to an active session: load, check, refresh.

use super::{
    audience_cache::AudienceToken,
    cookies::{self, CookieText},
    data::{Session, SessionData},
    provider::{IssuedTokens, ProviderError},
    request::{BrowserRequest, cross_site_reason},
    scheme::{CookieContent, OpenedCookie, RefreshKey, RefreshResult, SessionScheme},
    store::SessionStore,
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
    stages::authentication::oauth::{client::random_text, form::Form},
    state::{OnFailure, StateError},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Access tokens are refreshed in the background this long before they expire.
const EARLY_REFRESH_SECONDS: u64 = 15;
/// How often a gateway looks whether another one has finished a refresh.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Longest wait for the refresh of another gateway.
const PEER_REFRESH_TIMEOUT: Duration = Duration::from_secs(15);

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
            CookieContent::Reference(reference) => self.load(&reference.id).await?,
        };
        if self.check(&session)? == TokenAge::Expired {
            session = self.refresh(&session).await?;
        }
        let must_write = self.store.is_none() || !cookie.is_current;
        self.attach_audience(ActiveSession { session, must_write, audience_token: None }).await
    }

    /// Loads a session from the shared state. While that is away, sessions that this gateway knows go on.
    async fn load(&self, id: &str) -> Result<Arc<Session>, GatewayError> {
        let Some(store) = &self.store else { return Err(invalid("there is no shared state")) };
        match store.load(&self.scheme.sealer, id).await {
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

    /// Waits for the refresh of a session, which the first caller starts.
    async fn refresh(&self, session: &Arc<Session>) -> RefreshResult {
        let mut refresh = self.begin_refresh(session);
        let result = refresh.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        result.unwrap_or_else(|| Err(unavailable("the gateway is shutting down")))
    }

    fn begin_refresh(&self, session: &Arc<Session>) -> watch::Receiver<Option<RefreshResult>> {
        let key = refresh_key(session);
        let mut refreshes = self.scheme.refreshes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = refreshes.get(&key) {
            return running.clone();
        }
        // It may have ended since the caller looked.
        if let Some(done) = self.scheme.refreshed.get(&key) {
            return watch::channel(Some(Ok(done))).1;
        }
        let (sender, receiver) = watch::channel(None);
        refreshes.insert(key.clone(), receiver.clone());
        let (sessions, session) = (self.clone(), session.clone());
        self.scheme.background.spawn(async move {
            let result = sessions.refresh_once(&session).await;
            if let Ok(refreshed) = &result {
                sessions.scheme.refreshed.insert(key.clone(), refreshed.clone());
            }
            sessions.scheme.refreshes.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let _ = sender.send(Some(result));
        });
        receiver
    }

    /// Refreshes a session on this gateway, or waits for the one that does.
    async fn refresh_once(&self, session: &Arc<Session>) -> RefreshResult {
        let Some(store) = &self.store else { return self.refresh_at_provider(session).await };
        let (id, owner, began_at) = (&session.data.id, random_text(), Instant::now());
        while began_at.elapsed() < PEER_REFRESH_TIMEOUT {
            let is_locked = store.try_lock(id, &owner).await.map_err(|error| state_unavailable(&error))?;
            let current = self.load(id).await;
            let is_other = |current: &Arc<Session>| current.data.generation != session.data.generation;
            let is_done = current.as_ref().map_or(true, is_other);
            if is_locked && !is_done {
                let refreshed = self.refresh_at_provider(session).await;
                self.keep(store, session, &refreshed).await;
                store.unlock(id, &owner).await;
                return refreshed;
            }
            if is_locked {
                store.unlock(id, &owner).await;
            }
            if is_done {
                return current;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(unavailable("another gateway refreshes the session and does not finish"))
    }

    /// Stores the result of a refresh for all gateways.
    async fn keep(&self, store: &SessionStore, session: &Session, refreshed: &RefreshResult) {
        let stored = match refreshed {
            Ok(refreshed) => store.store(&self.scheme.sealer, refreshed).await,
            Err(cause) if cause.code == ErrorCode::SessionExpired => store.delete(&session.data.id).await,
            Err(_) => Ok(()),
        };
        if let Err(error) = stored {
            log::warn!("session scheme {}: the refreshed session is not stored: {error}", self.scheme.name);
        }
    }

    async fn refresh_at_provider(&self, session: &Session) -> RefreshResult {
        let Some(token) = &session.data.refresh_token else {
            return Err(expired("there is no refresh token"));
        };
        let (scheme, settings) = (&self.scheme, &self.scheme.settings);
        let grant = Form::default().with("grant_type", "refresh_token").with("refresh_token", token);
        let tokens = scheme.provider.request_tokens(settings, grant).await;
        let tokens = tokens.map_err(|error| self.refresh_error(error))?;
        let mut data = session.data.clone();
        if let Some(id_token) = &tokens.id_token {
            let claims = scheme.provider.verify_id_token(settings, id_token, None).await;
            let claims = claims.map_err(|error| self.refresh_error(error))?;
            if claims.get("sub") != data.claims.get("sub") {
                return Err(expired("the provider continued the session with another user"));
            }
            data.id_token.clone_from(id_token);
        }
        self.put_tokens(&mut data, tokens);
        data.generation += 1;
        Ok(Arc::new(Session::new(&scheme.name, data)))
    }

    /// Replaces the tokens of a session.
    pub fn put_tokens(&self, data: &mut SessionData, tokens: IssuedTokens) {
        let now = self.scheme.provider.unix_now();
        data.access_token = tokens.access_token;
        data.access_expires_at = tokens.expires_in.map(|seconds| now + seconds);
        data.refresh_token = tokens.refresh_token.or_else(|| data.refresh_token.take());
        data.seen_at = now;
    }

    fn refresh_error(&self, error: ProviderError) -> GatewayError {
        let name = &self.scheme.name;
        match error {
            ProviderError::Refused(code) if code != "invalid_client" => {
                log::info!("session scheme {name}: the provider ends a session: {code}");
                expired("the provider does not continue the session")
            }
            ProviderError::Refused(why) | ProviderError::Unavailable(why) => {
                log::warn!("session scheme {name}: a session is not refreshed: {why}");
                unavailable("the session cannot be refreshed")
            }
        }
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

fn refresh_key(session: &Session) -> RefreshKey {
    (session.data.id.clone(), session.data.generation)
}

fn invalid(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::SessionInvalid, detail)
}

fn expired(detail: &'static str) -> GatewayError {
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
