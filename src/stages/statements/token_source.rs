//! Tokens of `Identities`, fetched once and kept until shortly before they end.

use crate::stages::program::{
    Context, Failure,
    callout::{CallOut, PendingCall},
    target::ServiceUrl,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A token is fetched again this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// Maximum number of tokens that one identity keeps.
const MAX_TOKENS: usize = 256;

/// Where tokens come from.
#[derive(Debug)]
pub struct TokenSource {
    pub id: String,
    pub client_id: String,
    pub kind: TokenSourceKind,
    pub tokens: Mutex<HashMap<String, (Arc<str>, Instant)>>,
    /// Held by the fetch under way, so that all others wait for it.
    pub fetching: tokio::sync::Mutex<()>,
}

/// The kind of a token source.
pub enum TokenSourceKind {
    ClientCredentials { url: ServiceUrl, client_id: String, secret: String, scope: String },
    TokenFile(PathBuf),
    Metadata(ServiceUrl),
}

impl std::fmt::Debug for TokenSourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            TokenSourceKind::ClientCredentials { .. } => "ClientCredentials",
            TokenSourceKind::TokenFile(_) => "TokenFile",
            TokenSourceKind::Metadata(_) => "Metadata",
        })
    }
}

/// A fetch of a token that is ready to start.
pub type Fetch = Option<PendingCall>;

impl TokenSource {
    fn known(&self, resource: &str) -> Option<Arc<str>> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .get(resource)
            .filter(|(_, ends)| Instant::now() + RENEW_BEFORE < *ends)
            .map(|(token, _)| token.clone())
    }

    /// The request that fetches a token; `None` for files and for kept tokens.
    pub fn request(&self, context: &Context<'_>, resource: &str) -> Result<Fetch, Failure> {
        if self.known(resource).is_some() {
            return Ok(None);
        }
        let encode = crate::base::percent::percent_encoded;
        let call = match &self.kind {
            TokenSourceKind::TokenFile(_) => return Ok(None),
            TokenSourceKind::ClientCredentials { url, client_id, secret, scope } => {
                let mut call = CallOut::new(context, url.clone(), false);
                call.request.set_method(b"POST");
                call.request.append(b"Content-Type", b"application/x-www-form-urlencoded");
                let scope = scope.replace("{resource}", resource);
                call.body = format!(
                    "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                    encode(client_id),
                    encode(secret),
                    encode(&scope)
                )
                .into();
                call
            }
            TokenSourceKind::Metadata(url) => {
                let query = format!("resource={}", encode(resource));
                let query = if url.query.is_empty() { query } else { format!("{}&{query}", url.query) };
                let mut call = CallOut::new(context, ServiceUrl { query, ..url.clone() }, false);
                call.request.append(b"Metadata", b"true");
                call
            }
        };
        Ok(Some(call.start(context)))
    }

    /// The token; fetched once for all that wait.
    pub async fn get(self: Arc<Self>, resource: Arc<str>, fetch: Fetch) -> Result<Arc<str>, Failure> {
        let failed = |log: &str| Failure::callout("BackendConnectionFailure", log);
        if let Some(token) = self.known(&resource) {
            return Ok(token);
        }
        if let TokenSourceKind::TokenFile(path) = &self.kind {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
            let text = read.ok().and_then(Result::ok).map(|text| text.trim().to_owned());
            return text.map(Arc::from).ok_or_else(|| failed("the token file cannot be read"));
        }
        let _one = self.fetching.lock().await;
        if let Some(token) = self.known(&resource) {
            return Ok(token);
        }
        let Some(fetch) = fetch else { return Err(failed("the token has ended")) };
        let response = fetch.await?;
        let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let token = json["access_token"].as_str().filter(|_| response.status == 200);
        let token: Arc<str> =
            token.map(Arc::from).ok_or_else(|| failed("the response has no access_token"))?;
        let seconds =
            json["expires_in"].as_u64().or_else(|| json["expires_in"].as_str()?.parse().ok()).unwrap_or(300);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(
            resource.to_string(),
            (token.clone(), Instant::now() + Duration::from_secs(seconds.min(86_400))),
        );
        Ok(token)
    }
}
