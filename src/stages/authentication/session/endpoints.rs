//! The endpoints of sessions: sign-in, sign-out, the user, logout by the provider.

use super::{
    active::{ActiveSession, RouteSessions, SessionOutcome},
    cookies, pages,
    request::BrowserRequest,
    return_url::{is_local, query_parameter},
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::Response,
        stage::Step,
    },
    stages::authentication::{
        oauth::form::Form,
        revocations::{Revocation, RevokedClaim},
    },
};
use serde_json::{Map, Value, json};

/// Largest body of a back-channel logout.
const MAX_LOGOUT_BYTES: usize = 64 << 10;

/// An endpoint below the path of the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Login,
    Callback,
    Logout,
    User,
    BackChannelLogout,
    FrontChannelLogout,
    Diagnostics,
}

const ENDPOINTS: [(&str, Endpoint, &[&[u8]]); 7] = [
    ("login", Endpoint::Login, &[b"GET"]),
    ("callback", Endpoint::Callback, &[b"GET"]),
    ("logout", Endpoint::Logout, &[b"GET", b"POST"]),
    ("user", Endpoint::User, &[b"GET"]),
    ("back-channel-logout", Endpoint::BackChannelLogout, &[b"POST"]),
    ("front-channel-logout", Endpoint::FrontChannelLogout, &[b"GET"]),
    ("diagnostics", Endpoint::Diagnostics, &[b"GET"]),
];

impl RouteSessions {
    /// The response of an endpoint; `None` if the path is none of theirs.
    pub fn serve_endpoint(&self, exchange: &mut Exchange) -> Option<Step> {
        let settings = &self.scheme.settings;
        let target = exchange.request.target();
        let path = target.get(..exchange.routing.path_len).unwrap_or(target);
        let rest = path.strip_prefix(settings.path.as_bytes())?.strip_prefix(b"/")?;
        let found = ENDPOINTS.iter().find(|(name, ..)| name.as_bytes() == rest);
        let is_hidden = |endpoint| endpoint == Endpoint::Diagnostics && !settings.has_diagnostics;
        let Some((_, endpoint, methods)) = found.filter(|(_, endpoint, _)| !is_hidden(*endpoint)) else {
            let detail = format!("{} has no such endpoint", settings.path);
            return Some(Step::Fail(GatewayError::new(ErrorCode::SessionEndpoint, detail)));
        };
        if !methods.contains(&exchange.request.method()) {
            return Some(Step::Fail(wrong_method(methods)));
        }
        Some(match endpoint {
            Endpoint::Login => self.login(exchange),
            Endpoint::Callback => self.callback(exchange),
            Endpoint::Logout => self.logout(exchange),
            Endpoint::User => {
                self.with_session(exchange, |sessions, active, _| Step::Respond(sessions.user(&active)))
            }
            Endpoint::Diagnostics => self
                .with_session(exchange, |sessions, active, _| Step::Respond(sessions.diagnostics(&active))),
            Endpoint::BackChannelLogout => self.back_channel_logout(exchange),
            Endpoint::FrontChannelLogout => self.front_channel_logout(exchange),
        })
    }

    fn login(&self, exchange: &Exchange) -> Step {
        let request = BrowserRequest::new(exchange, &self.scheme.settings);
        let return_to = query_parameter(request.query(), "returnUrl").unwrap_or_else(|| "/".to_owned());
        if !is_local(&return_to, &self.scheme.settings.path) {
            let detail = "returnUrl must be a path of this site, such as /orders";
            return Step::Fail(GatewayError::new(ErrorCode::SessionReturnUrl, detail));
        }
        self.begin_login(exchange, request, return_to, Vec::new())
    }

    /// Runs `respond` with the session of the request, or rejects the request with 401.
    fn with_session(
        &self,
        exchange: &mut Exchange,
        respond: fn(&RouteSessions, ActiveSession, &mut Exchange) -> Step,
    ) -> Step {
        let clear = |sessions: &RouteSessions, cause: GatewayError, exchange: &Exchange| {
            let ends = matches!(cause.code, ErrorCode::SessionInvalid | ErrorCode::SessionExpired);
            let pieces = sessions.pieces(exchange);
            let fields =
                if ends { cookies::clear_session(&sessions.scheme.settings, pieces) } else { Vec::new() };
            Step::Fail(pages::error(cause, false, &fields))
        };
        match self.find(exchange) {
            SessionOutcome::Absent => clear(self, required(), exchange),
            SessionOutcome::Rejected(cause) => clear(self, cause, exchange),
            SessionOutcome::Active(active) => {
                self.apply(&active, exchange);
                respond(self, active, exchange)
            }
            SessionOutcome::Pending(wait) => {
                let sessions = self.clone();
                Step::Suspend(Box::pin(async move {
                    let outcome = wait.await;
                    Step::ResumeAt(Box::new(move |exchange| match outcome {
                        Ok(active) => {
                            sessions.apply(&active, exchange);
                            respond(&sessions, active, exchange)
                        }
                        Err(cause) => clear(&sessions, cause, exchange),
                    }))
                }))
            }
        }
    }

    /// The claims of the user and what a page needs to know about the session.
    fn user(&self, active: &ActiveSession) -> Response {
        const PROTOCOL: [&str; 9] =
            ["nonce", "at_hash", "c_hash", "s_hash", "azp", "exp", "iat", "aud", "jti"];
        let data = &active.session.data;
        let claims = data.claims.iter().filter(|(name, _)| !PROTOCOL.contains(&name.as_str()));
        let claims: Map<String, Value> = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
        let logout_url = format!("{}/logout?sid={}", self.scheme.settings.path, logout_id(&data.id));
        pages::json(200, &json!({ "claims": claims, "logout_url": logout_url }), &[])
    }

    /// What an operator wants to see of a session: everything but the tokens.
    fn diagnostics(&self, active: &ActiveSession) -> Response {
        let data = &active.session.data;
        let body = json!({
            "scheme": &*self.scheme.name,
            "store": if self.store.is_some() { "shared state" } else { "cookie" },
            "created_at": data.created_at,
            "seen_at": data.seen_at,
            "access_token_expires_at": data.access_expires_at,
            "has_refresh_token": data.refresh_token.is_some(),
            "refreshes": data.generation,
            "claims": data.claims,
        });
        pages::json(200, &body, &[])
    }

    /// Ends the session here and at the provider.
    fn logout(&self, exchange: &Exchange) -> Step {
        let settings = &self.scheme.settings;
        let request = BrowserRequest::new(exchange, settings);
        let return_to = query_parameter(request.query(), "returnUrl").unwrap_or_else(|| "/".to_owned());
        if !is_local(&return_to, &settings.path) {
            let detail = "returnUrl must be a path of this site, such as /goodbye";
            return Step::Fail(GatewayError::new(ErrorCode::SessionReturnUrl, detail));
        }
        let cleared = cookies::clear_session(settings, self.pieces(exchange));
        let is_own = is_own_navigation(exchange, &request.origin, settings.csrf_header.as_bytes());
        let sid = query_parameter(request.query(), "sid");
        let (sessions, outcome) = (self.clone(), self.find(exchange));
        Step::Suspend(Box::pin(async move {
            let active = match outcome {
                SessionOutcome::Active(active) => Some(active),
                SessionOutcome::Pending(wait) => wait.await.ok(),
                SessionOutcome::Rejected(cause) if cause.code == ErrorCode::SessionCsrf => {
                    return Step::Fail(cause);
                }
                SessionOutcome::Absent | SessionOutcome::Rejected(_) => None,
            };
            let Some(active) = active else { return Step::Respond(pages::redirect(&return_to, &cleared)) };
            if !is_own && sid.as_deref() != Some(&*logout_id(&active.session.data.id)) {
                let detail =
                    "another site may have caused this sign-out: use the logout_url of the user endpoint";
                return Step::Fail(GatewayError::new(ErrorCode::SessionCsrf, detail));
            }
            let location = sessions.end(&active, &format!("{}{return_to}", request.origin)).await;
            Step::Respond(pages::redirect(&location.unwrap_or(return_to), &cleared))
        }))
    }

    /// Ends a session; returns where the browser ends it at the provider.
    async fn end(&self, active: &ActiveSession, return_to: &str) -> Option<String> {
        let (scheme, data) = (self.scheme.clone(), active.session.data.clone());
        if let Some(store) = &self.store
            && let Err(error) = store.delete(&data.id).await
        {
            log::warn!("session scheme {}: a session is not deleted: {error}", scheme.name);
        }
        // The cookie may be stored elsewhere: it is not accepted any more.
        self.revoke(RevokedClaim::Jti, format!("session {}", data.id), None).await;
        let metadata = scheme.provider.metadata().await.ok();
        if let Some(token) = data.refresh_token {
            let scheme = scheme.clone();
            scheme.background.clone().spawn(async move {
                scheme.provider.revoke(&scheme.settings, &token).await;
            });
        }
        let endpoint = metadata?.end_session_endpoint.clone()?;
        let query = Form::default()
            .with("id_token_hint", &data.id_token)
            .with("client_id", &scheme.settings.client.id)
            .with("post_logout_redirect_uri", return_to);
        let separator = if endpoint.target.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{separator}{}", query.as_str()))
    }

    /// Rejects sessions from now on, on all gateways that share the state.
    async fn revoke(&self, claim: RevokedClaim, value: String, issued_before: Option<u64>) {
        let scheme = &self.scheme;
        let expires_at = scheme.provider.unix_now() + scheme.settings.absolute_timeout.as_secs();
        let revocation = Revocation { claim, value, issued_before, expires_at };
        if !scheme.revocations.add(revocation.clone()) {
            log::error!("session scheme {}: the list of revocations is full", scheme.name);
        }
        if let Err(error) = scheme.revocations.announce(&revocation).await {
            log::warn!("session scheme {}: other gateways do not know of a sign-out: {error}", scheme.name);
        }
    }

    /// A logout token of the provider (OpenID Connect Back-Channel Logout 1.0).
    fn back_channel_logout(&self, exchange: &Exchange) -> Step {
        let Some(body) = &exchange.body.collected else { return Step::ReadBody(MAX_LOGOUT_BYTES) };
        let text = std::str::from_utf8(body).unwrap_or_default();
        let is_form = exchange
            .request
            .get(b"content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded"));
        let Some(token) = query_parameter(text, "logout_token").filter(|_| is_form) else {
            return Step::Fail(logout_error("the body is not a form with a logout_token".to_owned()));
        };
        let (sessions, now) = (self.clone(), exchange.now);
        let shared = self.store.as_ref().map(|store| store.state().clone());
        Step::Suspend(Box::pin(async move {
            let scheme = &sessions.scheme;
            let logout = match scheme.provider.verify_logout_token(&scheme.settings, &token).await {
                Ok(logout) => logout,
                Err(super::provider::ProviderError::Refused(why)) => return Step::Fail(logout_error(why)),
                Err(super::provider::ProviderError::Unavailable(why)) => {
                    log::warn!("session scheme {}: a logout token is not verified: {why}", scheme.name);
                    return Step::Fail(super::active::unavailable("the logout token cannot be verified"));
                }
            };
            let digest = super::callback::digest(&["logout", &logout.jti]);
            match scheme.used.record_shared(digest, now, shared.as_ref()).await {
                Err(cause) if cause.code == ErrorCode::StateUnavailable => return Step::Fail(cause),
                Err(_) => return Step::Fail(logout_error("the logout token was used before".to_owned())),
                Ok(()) => {}
            }
            match (logout.sid, logout.sub) {
                (Some(sid), _) => sessions.revoke(RevokedClaim::Sid, sid, None).await,
                (None, Some(sub)) => {
                    let now = scheme.provider.unix_now() + 1;
                    sessions.revoke(RevokedClaim::Sub, sub, Some(now)).await;
                }
                (None, None) => {}
            }
            Step::Respond(pages::empty(200, &[]))
        }))
    }

    /// A page of the provider loads this in a frame (OpenID Connect Front-Channel Logout 1.0).
    fn front_channel_logout(&self, exchange: &Exchange) -> Step {
        let request = BrowserRequest::new(exchange, &self.scheme.settings);
        let [issuer, sid] = ["iss", "sid"].map(|name| query_parameter(request.query(), name));
        let cleared = cookies::clear_session(&self.scheme.settings, self.pieces(exchange));
        let sessions = self.clone();
        Step::Suspend(Box::pin(async move {
            let (Some(issuer), Some(sid)) = (issuer, sid.filter(|sid| !sid.is_empty() && sid.len() <= 256))
            else {
                return Step::Fail(logout_error("iss and sid are required".to_owned()));
            };
            match sessions.scheme.provider.metadata().await {
                Ok(metadata) if metadata.issuer == issuer => {
                    sessions.revoke(RevokedClaim::Sid, sid, None).await;
                    Step::Respond(pages::empty(200, &cleared))
                }
                Ok(_) => Step::Fail(logout_error("iss is another issuer".to_owned())),
                Err(_) => Step::Fail(super::active::unavailable("the issuer cannot be verified")),
            }
        }))
    }
}

/// Names a session in the URL of its sign-out, without revealing its ID.
fn logout_id(id: &str) -> String {
    crate::base::hex::encode(&super::callback::digest(&["logout id", id]))
}

/// Whether a page of this site, the address bar or a script of this site caused a sign-out.
fn is_own_navigation(exchange: &Exchange, origin: &str, csrf_header: &[u8]) -> bool {
    let request = &exchange.request;
    let is_same = |value: &[u8]| value.eq_ignore_ascii_case(origin.as_bytes());
    request.get(csrf_header).is_some_and(|value| !value.is_empty())
        || match request.get(b"sec-fetch-site") {
            Some(site) => site == b"same-origin" || site == b"none",
            None => request.get(b"origin").is_some_and(is_same),
        }
}

/// There is no session.
pub fn required() -> GatewayError {
    GatewayError::new(ErrorCode::SessionRequired, "the request has no session")
}

fn logout_error(why: String) -> GatewayError {
    GatewayError::new(ErrorCode::SessionLogoutToken, why)
        .with_details(|details| details.headers.push(("Cache-Control".into(), "no-store".to_owned())))
}

fn wrong_method(methods: &[&[u8]]) -> GatewayError {
    let allowed = methods.iter().map(|method| String::from_utf8_lossy(method)).collect::<Vec<_>>().join(", ");
    GatewayError::new(ErrorCode::SessionEndpoint, "the endpoint has other methods").with_details(|details| {
        details.status = Some(405);
        details.headers.push(("Allow".into(), allowed));
    })
}
