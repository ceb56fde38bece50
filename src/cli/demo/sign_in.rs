//! A sample OpenID Connect provider for browsers: it signs in everyone who enters a name. For examples on this machine only; it
//! redirects to no other one.

use super::{
    identity::{self, Identity, query_value},
    services::{not_found, reply},
};
use crate::{
    base::{percent::percent_encoded, url::HttpUrl},
    pipeline::internal::Response,
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{Html, IntoResponse, Redirect},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// Codes and refresh tokens that are not used yet.
const MAX_GRANTS: usize = 1000;
/// Seconds for which an access token is valid: short, so that refreshes are seen.
const ACCESS_TOKEN_LIFETIME_SECS: u64 = 60;

/// What a code or a refresh token stands for.
#[derive(Clone, Debug)]
struct Grant {
    name: String,
    client: String,
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

/// The provider: the signer of the identity service, and what it has promised.
struct SignIn {
    identity: Arc<Identity>,
    grants: Mutex<HashMap<String, Grant>>,
}

/// The identity service with discovery, sign-in, tokens and sign-out.
pub fn router() -> io::Result<Router> {
    let identity = Arc::new(Identity::new()?);
    let sign_in = Arc::new(SignIn { identity: identity.clone(), grants: Mutex::default() });
    let own = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/authorize", get(authorize))
        .route("/oauth/token", post(token))
        .route("/sign-out", get(sign_out))
        .with_state(sign_in);
    Ok(identity::routes(identity).merge(own).fallback(not_found))
}

fn issuer(fields: &HeaderMap) -> String {
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:9105");
    format!("http://{host}")
}

async fn discovery(fields: HeaderMap) -> Response {
    let issuer = issuer(&fields);
    reply(
        StatusCode::OK,
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json"),
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/oauth/token"),
            "end_session_endpoint": format!("{issuer}/sign-out"),
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["EdDSA"], "subject_types_supported": ["public"],
            "authorization_response_iss_parameter_supported": true,
        }),
    )
}

/// A page that takes a name; with one, a redirect with a code.
async fn authorize(State(sign_in): State<Arc<SignIn>>, fields: HeaderMap, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let value = |name| query_value(query, name).unwrap_or_default();
    let redirect_uri = value("redirect_uri");
    if !is_local(&redirect_uri) || value("code_challenge").is_empty() {
        let error = json!({ "error": "the sample provider redirects to this machine only, with PKCE" });
        return reply(StatusCode::BAD_REQUEST, error);
    }
    let name = value("name");
    if name.is_empty() {
        return Html(page(query)).into_response();
    }
    let code = sign_in.promise(Grant {
        name,
        client: value("client_id"),
        nonce: value("nonce"),
        challenge: value("code_challenge"),
        redirect_uri: redirect_uri.clone(),
    });
    let (state, issuer) = (percent_encoded(&value("state")), percent_encoded(&issuer(&fields)));
    Redirect::to(&format!("{redirect_uri}?code={code}&state={state}&iss={issuer}")).into_response()
}

fn page(query: &str) -> String {
    let fields: String = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let text = |text: &str| {
                let decoded = crate::base::percent::percent_decoded(text.as_bytes(), true).into_owned();
                let text = String::from_utf8_lossy(&decoded).into_owned();
                text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
            };
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", text(name), text(value))
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sign in</title>\
         <body style=\"font:16px sans-serif;max-width:24em;margin:6em auto\"><h1>Sign in</h1>\
         <form>{fields}<p><label>Name <input name=\"name\" required autofocus value=\"ann\"></label></p>\
         <p><button>Sign in</button></p></form><p>The sample provider of margay: every name is accepted.</p></html>"
    )
}

/// Whether a URL is on this machine.
fn is_local(url: &str) -> bool {
    HttpUrl::parse(url).is_ok_and(|url| url.is_loopback() || url.host.ends_with(".localhost"))
}

/// Tokens for a code or a refresh token, each of which is used once.
async fn token(State(sign_in): State<Arc<SignIn>>, fields: HeaderMap, body: Bytes) -> Response {
    let form = String::from_utf8_lossy(&body).into_owned();
    let value = |name| query_value(&form, name).unwrap_or_default();
    let is_refresh = value("grant_type") == "refresh_token";
    let promised = value(if is_refresh { "refresh_token" } else { "code" });
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(value("code_verifier")));
    let matches = |grant: &Grant| {
        is_refresh || grant.challenge == challenge && grant.redirect_uri == value("redirect_uri")
    };
    match sign_in.redeem(&promised).filter(matches) {
        Some(grant) => sign_in.tokens(grant, &issuer(&fields)),
        None => reply(StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" })),
    }
}

async fn sign_out(uri: Uri) -> Response {
    let target = query_value(uri.query().unwrap_or_default(), "post_logout_redirect_uri").unwrap_or_default();
    match is_local(&target) {
        true => Redirect::to(&target).into_response(),
        false => reply(StatusCode::OK, json!({ "signed_out": true })),
    }
}

impl SignIn {
    fn promise(&self, grant: Grant) -> String {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() >= MAX_GRANTS {
            grants.clear();
        }
        let text = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        grants.insert(text.clone(), grant);
        text
    }

    fn redeem(&self, text: &str) -> Option<Grant> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).remove(text)
    }

    fn tokens(&self, grant: Grant, issuer: &str) -> Response {
        let now = Identity::unix_now();
        let id_token = json!({
            "iss": issuer, "aud": grant.client, "sub": grant.name, "name": grant.name, "nonce": grant.nonce,
            "iat": now, "exp": now + 3600,
        });
        let access_token = json!({
            "iss": issuer, "aud": "shop", "sub": grant.name, "iat": now, "exp": now + ACCESS_TOKEN_LIFETIME_SECS,
        });
        let sign = |claims: &Value| self.identity.sign(claims);
        match (sign(&id_token), sign(&access_token)) {
            (Ok(id_token), Ok(access_token)) => reply(
                StatusCode::OK,
                json!({
                    "access_token": access_token, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_LIFETIME_SECS,
                    "refresh_token": self.promise(grant), "id_token": id_token,
                }),
            ),
            (Err(error), _) | (_, Err(error)) => {
                reply(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_this_machine_only() {
        assert!(
            is_local("http://localhost:8080/bff/callback") && is_local("http://web.shop.localhost:8080/x")
        );
        for url in ["", "/bff", "https://evil.example/", "http://localhost.evil.example/", "javascript:x"] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn a_promise_is_redeemed_once() {
        let identity = Arc::new(Identity::new().unwrap());
        let sign_in = SignIn { identity, grants: Mutex::default() };
        let text = |text: &str| text.to_owned();
        let code = sign_in.promise(Grant {
            name: text("ann"),
            client: text("app"),
            nonce: text("n"),
            challenge: text("c"),
            redirect_uri: text("r"),
        });
        assert!(sign_in.redeem(&code).is_some_and(|grant| grant.name == "ann"));
        assert!(sign_in.redeem(&code).is_none());
    }
}
