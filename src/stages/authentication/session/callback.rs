//! The end of a sign-in: the provider sends the browser back with a code.

use super::{
    active::{RouteSessions, state_unavailable, unavailable},
    cookies,
    data::{LoginState, Session, SessionData},
    pages,
    provider::{ProviderError, printable},
    request::BrowserRequest,
    return_url::{count_parameter, query_parameter},
    scheme::LOGIN_TTL,
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::Head,
        stage::Step,
    },
    stages::authentication::oauth::{client::random_text, form::Form},
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Instant};

/// Parameters that must not occur twice.
const PARAMETERS: [&str; 4] = ["state", "code", "iss", "error"];

/// The parameters of a callback that belong to a sign-in of this browser.
struct CallbackRequest {
    login: LoginState,
    code: Option<String>,
    issuer: Option<String>,
    error: Option<String>,
}

impl RouteSessions {
    /// Completes a sign-in.
    pub fn callback(&self, exchange: &Exchange) -> Step {
        let request = BrowserRequest::new(exchange, &self.scheme.settings);
        let callback = match self.read_callback(request.query(), &exchange.request) {
            Ok(callback) => callback,
            Err(cause) => return Step::Fail(pages::error(cause, request.is_page, &[])),
        };
        let (sessions, now, pieces) = (self.clone(), exchange.now, self.pieces(exchange));
        let Some(guard) = self.scheme.waiting.try_enter(exchange.client.ip) else {
            return Step::Fail(unavailable("too many requests wait for it"));
        };
        Step::Suspend(Box::pin(async move {
            let _guard = guard;
            let name = sessions.login_cookie(&callback.login.state);
            let mut fields = vec![cookies::clear(&sessions.scheme.settings, &name)];
            match sessions.complete(&callback, now).await {
                Ok(data) => {
                    let own = sessions.session_cookies(&data, pieces);
                    if own.is_empty() {
                        let cause = failure("the tokens of the provider are too large for cookies");
                        return Step::Fail(pages::error(cause, request.is_page, &fields));
                    }
                    fields.extend(own);
                    Step::Respond(pages::redirect(&callback.login.return_to, &fields))
                }
                Err(cause) => Step::Fail(pages::error(cause, request.is_page, &fields)),
            }
        }))
    }

    /// Finds the sign-in of this browser to which a callback belongs.
    fn read_callback(&self, query: &str, head: &Head) -> Result<CallbackRequest, GatewayError> {
        if PARAMETERS.iter().any(|name| count_parameter(query, name) > 1) {
            return Err(failure("a parameter of the callback occurs twice"));
        }
        let [state, code, issuer, error] = PARAMETERS.map(|name| query_parameter(query, name));
        let state = state.filter(|state| !state.is_empty());
        let state = state.ok_or_else(|| failure("the callback has no state"))?;
        let name = self.login_cookie(&state);
        let mut found = cookies::all(head).filter(|(known, _)| *known == name.as_bytes());
        let missing = "this browser has not begun this sign-in, or it took too long: cookies may be blocked";
        let (_, sealed) = found.next().ok_or_else(|| failure(missing))?;
        if found.next().is_some() {
            return Err(failure("the cookie of the sign-in occurs twice"));
        }
        let opened = self.scheme.sealer.open(&self.scheme.purpose("sign-in"), sealed);
        let login = opened.and_then(|opened| serde_json::from_slice::<LoginState>(&opened.content).ok());
        let login = login.ok_or_else(|| failure("the cookie of the sign-in was not made by this gateway"))?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(login.state.as_bytes(), state.as_bytes())) {
            return Err(failure("the state of the callback is not that of the sign-in"));
        }
        if login.began_at + LOGIN_TTL.as_secs() < self.scheme.provider.unix_now() {
            return Err(failure("the sign-in took too long"));
        }
        Ok(CallbackRequest { login, code, issuer, error })
    }

    async fn complete(&self, callback: &CallbackRequest, now: Instant) -> Result<SessionData, GatewayError> {
        let scheme = &self.scheme;
        let shared = self.store.as_ref().map(|store| store.state().clone());
        let state = digest(&["state", &callback.login.state]);
        scheme.used.record_shared(state, now, shared.as_ref()).await.map_err(|cause| match cause.code {
            ErrorCode::StateUnavailable => cause,
            _ => failure("the sign-in was completed before"),
        })?;
        let metadata = scheme.provider.metadata().await.map_err(|error| self.provider_error(error))?;
        match &callback.issuer {
            Some(issuer) if *issuer != metadata.issuer => {
                return Err(failure("another provider has sent the callback (`iss`)"));
            }
            None if metadata.has_issuer_parameter => {
                return Err(failure("the callback does not contain its provider (`iss`)"));
            }
            _ => {}
        }
        if let Some(error) = &callback.error {
            return Err(failure_text(format!("the provider refuses the sign-in: {}", printable(error))));
        }
        let code = callback.code.as_ref().filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| failure("the callback has no code"))?;
        let data = self.exchange_code(&callback.login, code).await?;
        if let Some(store) = &self.store {
            let session = Arc::new(Session::new(&scheme.name, data.clone()));
            store.store(&scheme.sealer, &session).await.map_err(|error| state_unavailable(&error))?;
            store.limit_user(&session).await.map_err(|error| state_unavailable(&error))?;
        }
        Ok(data)
    }

    async fn exchange_code(&self, login: &LoginState, code: &str) -> Result<SessionData, GatewayError> {
        let (scheme, settings) = (&self.scheme, &self.scheme.settings);
        let grant = Form::default()
            .with("grant_type", "authorization_code")
            .with("code", code)
            .with("redirect_uri", &login.redirect_uri)
            .with("code_verifier", &login.verifier);
        let tokens = scheme.provider.request_tokens(settings, grant).await;
        let tokens = tokens.map_err(|error| self.provider_error(error))?;
        let Some(id_token) = tokens.id_token.clone() else {
            return Err(failure("the provider has issued no ID token"));
        };
        let claims = scheme.provider.verify_id_token(settings, &id_token, Some(&login.nonce)).await;
        let claims = claims.map_err(|error| self.provider_error(error))?;
        let now = scheme.provider.unix_now();
        let id = random_text();
        let mut claims: serde_json::Map<_, _> = claims.0.into_iter().collect();
        // The session is revoked under this name.
        claims.insert("jti".to_owned(), format!("session {id}").into());
        let mut data = SessionData {
            id,
            claims,
            id_token,
            access_token: String::new(),
            access_expires_at: None,
            refresh_token: None,
            generation: 0,
            created_at: now,
            seen_at: now,
        };
        self.put_tokens(&mut data, tokens);
        Ok(data)
    }

    fn provider_error(&self, error: ProviderError) -> GatewayError {
        let name = &self.scheme.name;
        match error {
            ProviderError::Unavailable(why) => {
                log::warn!("session scheme {name}: a sign-in is not completed: {why}");
                unavailable("the provider does not respond; try again later")
            }
            ProviderError::Refused(why) => {
                log::warn!("session scheme {name}: a sign-in is refused: {why}");
                failure_text(format!("the provider refuses the sign-in: {}", printable(&why)))
            }
        }
    }
}

/// A digest of texts, for what may be used once.
pub fn digest(parts: &[&str]) -> [u8; 16] {
    let digest = Sha256::digest(parts.join("\0"));
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

fn failure(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::SessionCallback, detail)
}

fn failure_text(detail: String) -> GatewayError {
    GatewayError::new(ErrorCode::SessionCallback, detail)
}
