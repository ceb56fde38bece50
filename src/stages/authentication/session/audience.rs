//! Routes whose backends need a token for another audience: by token exchange (RFC 8693) or client credentials.

use super::{
    active::{ActiveSession, RouteSessions, SessionOutcome, unavailable},
    audience_cache::{AudienceKey, AudienceResult, AudienceToken},
    callback::digest,
    provider::ProviderError,
    settings::AudienceGrant,
};
use crate::{
    base::secret::Secret,
    pipeline::error::{ErrorCode, GatewayError},
    stages::authentication::{oauth::form::Form, shared_calls::SharedCall},
};
use std::sync::Arc;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A token without a lifetime is used for this long.
const DEFAULT_TTL_SECONDS: u64 = 60;
/// Tokens are not used within this time of their expiry.
const EXPIRY_MARGIN_SECONDS: u64 = 5;

impl RouteSessions {
    /// The session with the token for the audience of the route.
    pub fn with_audience(&self, active: ActiveSession) -> SessionOutcome {
        let Some(audience) = &self.audience else { return SessionOutcome::Active(active) };
        let key = self.audience_key(&active, audience);
        if let Some(token) = self.known_token(&key) {
            return SessionOutcome::Active(ActiveSession { audience_token: Some(token), ..active });
        }
        let sessions = self.clone();
        SessionOutcome::Pending(Box::pin(async move { sessions.attach_audience(active).await }))
    }

    /// The same, after the session had to wait.
    ///
    /// # Errors
    ///
    /// The provider is away or refuses.
    pub async fn attach_audience(&self, active: ActiveSession) -> Result<ActiveSession, GatewayError> {
        let Some(audience) = &self.audience else { return Ok(active) };
        let key = self.audience_key(&active, audience);
        if let Some(token) = self.known_token(&key) {
            return Ok(ActiveSession { audience_token: Some(token), ..active });
        }
        let call = self.begin_call(key, &active, audience);
        let result = call.result().await;
        let token = result.unwrap_or_else(|| Err(unavailable("the gateway is shutting down")))?;
        Ok(ActiveSession { audience_token: Some(token), ..active })
    }

    fn known_token(&self, key: &AudienceKey) -> Option<Arc<AudienceToken>> {
        let now = self.scheme.provider.unix_now();
        self.scheme
            .audience_tokens
            .cache
            .get(key)
            .filter(|token| now + EXPIRY_MARGIN_SECONDS < token.expires_at)
    }

    fn audience_key(&self, active: &ActiveSession, audience: &str) -> AudienceKey {
        let data = &active.session.data;
        match self.scheme.settings.audience_grant {
            AudienceGrant::TokenExchange => digest(&[audience, &data.id, &data.generation.to_string()]),
            AudienceGrant::ClientCredentials => digest(&[audience]),
        }
    }

    /// One call for all requests that need the same token.
    fn begin_call(
        &self,
        key: AudienceKey,
        active: &ActiveSession,
        audience: &Arc<str>,
    ) -> SharedCall<AudienceResult> {
        let tokens = &self.scheme.audience_tokens;
        tokens.calls.join(
            key,
            &self.scheme.background,
            |key| self.known_token(key).map(Ok),
            || {
                let (sessions, active, audience) = (self.clone(), active.clone(), audience.clone());
                async move {
                    let result = sessions.request_audience(&active, &audience).await;
                    if let Ok(token) = &result {
                        sessions.scheme.audience_tokens.cache.insert(key, token.clone());
                    }
                    result
                }
            },
        )
    }

    async fn request_audience(&self, active: &ActiveSession, audience: &str) -> AudienceResult {
        let scheme = &self.scheme;
        let grant = match scheme.settings.audience_grant {
            AudienceGrant::TokenExchange => Form::default()
                .with("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
                .with("subject_token", &active.session.data.access_token)
                .with("subject_token_type", ACCESS_TOKEN)
                .with("requested_token_type", ACCESS_TOKEN)
                .with("audience", audience),
            AudienceGrant::ClientCredentials => {
                Form::default().with("grant_type", "client_credentials").with("audience", audience)
            }
        };
        let tokens = scheme.provider.request_tokens(&scheme.settings, grant).await.map_err(|error| {
            let (ProviderError::Refused(why) | ProviderError::Unavailable(why)) = &error;
            log::warn!("session scheme {}: no token for the audience {audience}: {why}", scheme.name);
            match error {
                ProviderError::Refused(_) => GatewayError::new(
                    ErrorCode::SessionAudience,
                    "the provider issues no token for the audience of the route",
                ),
                ProviderError::Unavailable(_) => {
                    unavailable("it issues no token for the audience of the route")
                }
            }
        })?;
        let ttl = tokens.expires_in.unwrap_or(DEFAULT_TTL_SECONDS);
        Ok(Arc::new(AudienceToken {
            authorization: Secret::new(format!("Bearer {}", tokens.access_token)),
            expires_at: scheme.provider.unix_now() + ttl,
        }))
    }
}
