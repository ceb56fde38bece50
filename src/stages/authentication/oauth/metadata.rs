//! The metadata of a provider (OpenID Connect Discovery 1.0, RFC 8414): fetched when it is needed, kept while the provider is
//! away.

use crate::{
    base::{failure_log::FailureLog, url::HttpUrl},
    net::{
        http_client::{Client, Request, RequestLimits},
        tls::client::ClientTls,
    },
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

const FETCH_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(5), max_body: 1 << 20 };
/// How long fetched metadata is used without another fetch.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Shortest time between two fetches after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// What the gateway needs to know about a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderMetadata {
    pub issuer: String,
    pub authorization_endpoint: Option<HttpUrl>,
    pub token_endpoint: Option<HttpUrl>,
    pub introspection_endpoint: Option<HttpUrl>,
    pub revocation_endpoint: Option<HttpUrl>,
    pub end_session_endpoint: Option<HttpUrl>,
    pub pushed_authorization_endpoint: Option<HttpUrl>,
    /// The provider requires pushed authorization requests (RFC 9126).
    pub requires_pushed_requests: bool,
    /// The provider requires signed request objects (RFC 9101).
    pub requires_signed_requests: bool,
    /// Responses contain the issuer (RFC 9207).
    pub has_issuer_parameter: bool,
    /// The provider sends the session in back-channel logout tokens.
    pub has_logout_sessions: bool,
}

impl ProviderMetadata {
    /// Reads a document that was fetched from an authority; all endpoints have TLS if the authority has it.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn read(
        text: &[u8],
        authority: &HttpUrl,
        requires_own_issuer: bool,
    ) -> Result<ProviderMetadata, String> {
        let document: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let issuer = document["issuer"].as_str().ok_or("it has no issuer")?.to_owned();
        let without_slash = |text: &str| text.trim_end_matches('/').to_owned();
        if requires_own_issuer && without_slash(&issuer) != without_slash(&authority.to_string()) {
            return Err(format!("it has another issuer: {issuer}; if it is right, set Issuer"));
        }
        let url = |name: &str| endpoint(&document, name, authority);
        let flag = |name: &str| document[name].as_bool().unwrap_or(false);
        Ok(ProviderMetadata {
            authorization_endpoint: url("authorization_endpoint")?,
            token_endpoint: url("token_endpoint")?,
            introspection_endpoint: url("introspection_endpoint")?,
            revocation_endpoint: url("revocation_endpoint")?,
            end_session_endpoint: url("end_session_endpoint")?,
            pushed_authorization_endpoint: url("pushed_authorization_request_endpoint")?,
            requires_pushed_requests: flag("require_pushed_authorization_requests"),
            requires_signed_requests: flag("require_signed_request_object"),
            has_issuer_parameter: flag("authorization_response_iss_parameter_supported"),
            has_logout_sessions: flag("backchannel_logout_session_supported"),
            issuer,
        })
    }
}

fn endpoint(document: &Value, name: &str, authority: &HttpUrl) -> Result<Option<HttpUrl>, String> {
    let Some(text) = document[name].as_str() else { return Ok(None) };
    let url = HttpUrl::parse(text).map_err(|why| format!("its {name} is not a URL: {why}"))?;
    match authority.tls && !url.tls {
        true => Err(format!("its {name} is not https")),
        false => Ok(Some(url)),
    }
}

/// The metadata of one provider.
#[derive(Debug)]
pub struct MetadataSource {
    authority: HttpUrl,
    client: Client,
    requires_own_issuer: bool,
    state: Mutex<FetchState>,
    failures: FailureLog,
}

#[derive(Debug, Default)]
struct FetchState {
    current: Option<Arc<ProviderMetadata>>,
    /// When the last fetch ended, and why it failed.
    last: Option<(Instant, Option<String>)>,
}

impl MetadataSource {
    /// A source that has fetched nothing yet.
    pub fn new(authority: HttpUrl, tls: ClientTls, requires_own_issuer: bool) -> MetadataSource {
        let client = Client::with_tls(tls);
        MetadataSource {
            authority,
            client,
            requires_own_issuer,
            state: Mutex::default(),
            failures: FailureLog::default(),
        }
    }

    /// The metadata; one caller fetches it, and the others wait.
    ///
    /// # Errors
    ///
    /// It has never been fetched, and cannot be fetched now.
    pub async fn get(&self) -> Result<Arc<ProviderMetadata>, String> {
        let mut state = self.state.lock().await;
        let is_recent = |interval: Duration| {
            state.last.as_ref().is_some_and(|(ended_at, _)| ended_at.elapsed() < interval)
        };
        let failure = state.last.as_ref().and_then(|(_, failure)| failure.clone());
        let keeps = if failure.is_some() { is_recent(RETRY_INTERVAL) } else { is_recent(REFRESH_INTERVAL) };
        if !keeps {
            let fetched = self.fetch().await;
            let failure = fetched.as_ref().err().cloned();
            self.report(failure.as_ref());
            state.last = Some((Instant::now(), failure));
            state.current = fetched.ok().map(Arc::new).or_else(|| state.current.take());
        }
        let failure = || state.last.as_ref().and_then(|(_, failure)| failure.clone()).unwrap_or_default();
        state.current.clone().ok_or_else(failure)
    }

    /// Logs a new failure, a lasting one from time to time, and the recovery.
    fn report(&self, failure: Option<&String>) {
        let (authority, now) = (&self.authority, Instant::now());
        match failure {
            Some(why) => {
                if let Some(why) = self.failures.record_failure(why, now) {
                    log::warn!("the metadata of {authority} is not available: {why}");
                }
            }
            None => {
                if let Some(recovery) = self.failures.record_success(now) {
                    log::info!("the metadata of {authority} {recovery}");
                }
            }
        }
    }

    async fn fetch(&self) -> Result<ProviderMetadata, String> {
        let url = self.authority.join_path(".well-known/openid-configuration");
        let response = self.client.send(&Request::get(&url), FETCH_LIMITS).await?;
        let text = response.body_if_ok().map_err(|error| format!("{url}: {error}"))?;
        ProviderMetadata::read(&text, &self.authority, self.requires_own_issuer)
            .map_err(|why| format!("{url}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProviderMetadata, String> {
        let authority = HttpUrl::parse("https://id.example").unwrap();
        ProviderMetadata::read(text.as_bytes(), &authority, true)
    }

    #[test]
    fn endpoints_and_requirements_are_read() {
        let metadata = read(
            r#"{ "issuer": "https://id.example/", "token_endpoint": "https://id.example/token",
                 "require_pushed_authorization_requests": true }"#,
        )
        .unwrap();
        assert_eq!(metadata.token_endpoint.unwrap().target, "/token");
        assert!(metadata.requires_pushed_requests && metadata.authorization_endpoint.is_none());
    }

    #[test]
    fn nonsense_is_an_error() {
        for (text, why) in [
            ("<html>", "not JSON"),
            ("[]", "no issuer"),
            (r#"{ "issuer": 7 }"#, "no issuer"),
            (r#"{ "issuer": "https://other.example" }"#, "another issuer"),
            (r#"{ "issuer": "https://id.example", "token_endpoint": "/token" }"#, "not a URL"),
            (
                r#"{ "issuer": "https://id.example", "token_endpoint": "http://id.example/token" }"#,
                "not https",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
