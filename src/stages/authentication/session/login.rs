//! The beginning of a sign-in: a redirect to the provider, or a 401 for scripts.

use super::{
    active::{RouteSessions, unavailable},
    cookies,
    data::LoginState,
    pages,
    provider::ProviderError,
    request::BrowserRequest,
    scheme::LOGIN_TTL,
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        stage::Step,
    },
    stages::authentication::oauth::client::random_text,
};

/// Sign-ins that one browser has in progress.
const MAX_LOGINS: usize = 8;
/// Sign-ins without a successful request between them after which a loop is assumed.
const MAX_TRIES: u64 = 5;
/// Time within which they are counted.
const TRIES_TTL_SECONDS: u64 = 60;

impl RouteSessions {
    /// The response to a request without a usable session: a page begins a sign-in, a script gets the error.
    pub fn challenge(&self, cause: GatewayError, exchange: &Exchange) -> Step {
        let request = BrowserRequest::new(exchange, &self.scheme.settings);
        let ends_session = matches!(cause.code, ErrorCode::SessionInvalid | ErrorCode::SessionExpired);
        let mut cleared = Vec::new();
        if ends_session {
            cleared = cookies::clear_session(&self.scheme.settings, self.pieces(exchange));
        }
        let can_sign_in = ends_session || cause.code == ErrorCode::SessionRequired;
        if !request.is_page || !can_sign_in {
            return Step::Fail(pages::error(cause, request.is_page, &cleared));
        }
        let tries = self.tries(exchange);
        if tries >= MAX_TRIES {
            let name = format!("{}-tries", self.scheme.settings.cookie);
            cleared.push(cookies::clear(&self.scheme.settings, &name));
            let detail = format!(
                "the browser was sent to the provider {tries} times within a minute, and still has no session ({}): \
                 it may reject cookies, or the clocks differ",
                cause.detail
            );
            return Step::Fail(pages::error(
                GatewayError::new(ErrorCode::SessionLoop, detail),
                true,
                &cleared,
            ));
        }
        let count = format!("{}.{}", tries + 1, self.scheme.provider.unix_now());
        let name = format!("{}-tries", self.scheme.settings.cookie);
        cleared.push(cookies::set(&self.scheme.settings, &name, &count, Some(TRIES_TTL_SECONDS)));
        let return_to = request.target.clone();
        self.begin_login(exchange, request, return_to, cleared)
    }

    /// How often a sign-in has begun within a minute.
    fn tries(&self, exchange: &Exchange) -> u64 {
        let name = format!("{}-tries", self.scheme.settings.cookie);
        let value = cookies::all(&exchange.request).find(|(known, _)| *known == name.as_bytes());
        let text = value.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default();
        let Some((count, since)) = text.split_once('.') else { return 0 };
        let since: u64 = since.parse().unwrap_or(0);
        let is_recent = self.scheme.provider.unix_now().saturating_sub(since) < TRIES_TTL_SECONDS;
        count.parse().ok().filter(|_| is_recent).unwrap_or(0)
    }

    /// Redirects a browser to the provider.
    pub fn begin_login(
        &self,
        exchange: &Exchange,
        request: BrowserRequest,
        return_to: String,
        mut fields: Vec<String>,
    ) -> Step {
        let settings = &self.scheme.settings;
        if exchange.is_dry_run {
            let location = format!("{}{}/login", request.origin, settings.path);
            return Step::Respond(pages::redirect(&location, &[]));
        }
        let login = LoginState {
            state: random_text(),
            nonce: random_text(),
            verifier: random_text(),
            return_to: if super::return_url::is_local(&return_to, &settings.path) {
                return_to
            } else {
                "/".into()
            },
            redirect_uri: format!("{}{}/callback", request.origin, settings.path),
            began_at: self.scheme.provider.unix_now(),
        };
        fields.extend(self.excess_logins(exchange));
        let Some(guard) = self.scheme.waiting.try_enter(exchange.client.ip) else {
            return Step::Fail(unavailable("too many requests wait for it"));
        };
        let sessions = self.clone();
        Step::Suspend(Box::pin(async move {
            let _guard = guard;
            sessions.redirect_to_provider(&login, fields, request.is_page).await
        }))
    }

    async fn redirect_to_provider(&self, login: &LoginState, mut fields: Vec<String>, is_page: bool) -> Step {
        let (scheme, settings) = (&self.scheme, &self.scheme.settings);
        let location = match scheme.provider.authorization_url(settings, login).await {
            Ok(location) => location,
            Err(ProviderError::Unavailable(why) | ProviderError::Refused(why)) => {
                log::warn!("session scheme {}: a sign-in cannot begin: {why}", scheme.name);
                let cause = unavailable("the provider does not respond; try again later");
                return Step::Fail(pages::error(cause, is_page, &[]));
            }
        };
        let content = serde_json::to_vec(login).unwrap_or_default();
        let Some(sealed) = scheme.sealer.seal(&scheme.purpose("sign-in"), &content) else {
            return Step::Fail(unavailable("the system has no random numbers"));
        };
        let name = self.login_cookie(&login.state);
        fields.push(cookies::set(settings, &name, &sealed, Some(LOGIN_TTL.as_secs())));
        Step::Respond(pages::redirect(&location, &fields))
    }

    /// The name of the cookie of a sign-in.
    pub fn login_cookie(&self, state: &str) -> String {
        format!("{}-login-{}", self.scheme.settings.cookie, LoginState::cookie_suffix(state))
    }

    /// Cookies that remove sign-ins which were not completed, if there are many.
    fn excess_logins(&self, exchange: &Exchange) -> Vec<String> {
        let prefix = format!("{}-login-", self.scheme.settings.cookie);
        let names: Vec<String> = cookies::all(&exchange.request)
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .filter(|name| name.starts_with(&prefix) && name.len() <= prefix.len() + 8)
            .collect();
        let excess = (names.len() + 1).saturating_sub(MAX_LOGINS);
        names.iter().take(excess).map(|name| cookies::clear(&self.scheme.settings, name)).collect()
    }
}
