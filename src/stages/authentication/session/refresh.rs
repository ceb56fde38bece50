//! New tokens for a session whose access token expires: one refresh, however many requests and gateways need it.

use super::{
    active::{RouteSessions, expired, state_unavailable, unavailable},
    data::{Session, SessionData},
    provider::{IssuedTokens, ProviderError},
    scheme::{RefreshKey, RefreshResult, refresh_key},
    store::SessionStore,
};
use crate::{
    pipeline::error::{ErrorCode, GatewayError},
    stages::authentication::{
        oauth::{client::random_text, form::Form},
        shared_calls::SharedCall,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a gateway looks whether another one has finished a refresh.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Longest wait for the refresh of another gateway.
const PEER_REFRESH_TIMEOUT: Duration = Duration::from_secs(15);

impl RouteSessions {
    /// Waits for the refresh of a session, which the first caller starts.
    pub async fn refresh(&self, session: &Arc<Session>) -> RefreshResult {
        let result = self.begin_refresh(session).result().await;
        result.unwrap_or_else(|| Err(unavailable("the gateway is shutting down")))
    }

    /// One refresh for all requests with the session.
    pub fn begin_refresh(&self, session: &Arc<Session>) -> SharedCall<RefreshResult> {
        let (scheme, key) = (&self.scheme, refresh_key(session));
        let known = |key: &RefreshKey| scheme.refreshed.get(key).map(Ok);
        scheme.refreshes.join(key.clone(), &scheme.background, known, || {
            let (sessions, session) = (self.clone(), session.clone());
            async move {
                let result = sessions.refresh_once(&session).await;
                if let Ok(refreshed) = &result {
                    sessions.scheme.refreshed.insert(key, refreshed.clone());
                }
                result
            }
        })
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
}
