//! The provider as the gateway calls it: authorization requests, tokens, sign-out.

use super::{
    data::LoginState,
    id_token::{ExpectedToken, ProviderLogout, verify_id_token, verify_logout_token},
    settings::SessionSettings,
};
use crate::{
    base::{clock::Clock, compact_jws::JsonObject, url::HttpUrl},
    net::http_client::{Client, Request, RequestLimits, Response},
    stages::authentication::{
        jwks::JwksCache,
        jws::JwsError,
        keys::KeySet,
        oauth::{
            client::{ClientAuthentication, random_text},
            form::{self, Form},
            metadata::{MetadataSource, ProviderMetadata},
        },
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::UNIX_EPOCH};

const MAX_RESPONSE_BYTES: usize = 512 << 10;

/// Why the provider did not do what was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// It does not respond, or with nonsense.
    Unavailable(String),
    /// It refuses: the `error` of RFC 6749.
    Refused(String),
}

/// Tokens that the provider issued.
#[derive(Clone)]
pub struct IssuedTokens {
    pub access_token: String,
    pub expires_in: Option<u64>,
    pub refresh_token: Option<String>,
    pub id_token: Option<String>,
}

/// A client of one provider.
#[derive(Debug)]
pub struct Provider {
    metadata: MetadataSource,
    keys: Arc<JwksCache>,
    client: Client,
    clock: Clock,
}

impl Provider {
    /// A client that has called nothing yet.
    pub fn new(settings: &SessionSettings, keys: Arc<JwksCache>, clock: Clock) -> Provider {
        let authority = settings.authority.clone();
        let metadata = MetadataSource::new(authority, settings.tls.clone(), settings.requires_own_issuer);
        Provider { metadata, keys, client: Client::with_tls(settings.tls.clone()), clock }
    }

    /// Unix time in seconds.
    pub fn unix_now(&self) -> u64 {
        self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// The metadata of the provider.
    ///
    /// # Errors
    ///
    /// It has never been available.
    pub async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        self.metadata.get().await.map_err(ProviderError::Unavailable)
    }

    /// The URL at which a browser begins a sign-in.
    ///
    /// # Errors
    ///
    /// The provider is away, or refuses a pushed request.
    pub async fn authorization_url(
        &self,
        settings: &SessionSettings,
        login: &LoginState,
    ) -> Result<String, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = required(metadata.authorization_endpoint.as_ref(), "authorization_endpoint")?;
        let parameters = self.authorization_parameters(settings, login, &metadata)?;
        let mut query = Form::default();
        if settings.pushes_requests || metadata.requires_pushed_requests {
            let uri = self.push(settings, &metadata, &parameters).await?;
            query = query.with("client_id", &settings.client.id).with("request_uri", &uri);
        } else {
            parameters.iter().for_each(|(name, value)| query.add(name, value));
        }
        let separator = if endpoint.target.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{separator}{}", query.as_str()))
    }

    fn authorization_parameters(
        &self,
        settings: &SessionSettings,
        login: &LoginState,
        metadata: &ProviderMetadata,
    ) -> Result<Vec<(String, String)>, ProviderError> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(login.verifier.as_bytes()));
        let own = [
            ("response_type", "code"),
            ("client_id", settings.client.id.as_str()),
            ("redirect_uri", login.redirect_uri.as_str()),
            ("scope", settings.scope.as_str()),
            ("state", login.state.as_str()),
            ("nonce", login.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters: Vec<_> = own.chain(settings.parameters.iter().cloned()).collect();
        if !metadata.requires_signed_requests {
            return Ok(parameters);
        }
        let request = self.signed_request(settings, parameters, metadata)?;
        Ok(vec![("client_id".to_owned(), settings.client.id.clone()), ("request".to_owned(), request)])
    }

    /// The parameters in a signed object (RFC 9101).
    fn signed_request(
        &self,
        settings: &SessionSettings,
        parameters: Vec<(String, String)>,
        metadata: &ProviderMetadata,
    ) -> Result<String, ProviderError> {
        let ClientAuthentication::PrivateKeyJwt(key) = &settings.client.authentication else {
            let why = "it requires signed requests: set ClientAuthentication to PrivateKeyJwt";
            return Err(ProviderError::Unavailable(why.to_owned()));
        };
        let mut claims: Map<String, Value> =
            parameters.into_iter().map(|(name, value)| (name, value.into())).collect();
        let now = self.unix_now();
        for (name, value) in [
            ("iss", Value::from(settings.client.id.as_str())),
            ("aud", metadata.issuer.as_str().into()),
            ("iat", now.into()),
            ("exp", (now + 60).into()),
            ("jti", random_text().into()),
        ] {
            claims.insert(name.to_owned(), value);
        }
        key.sign(&Value::Object(claims)).map_err(ProviderError::Unavailable)
    }

    /// Pushes an authorization request (RFC 9126); returns its URI.
    async fn push(
        &self,
        settings: &SessionSettings,
        metadata: &ProviderMetadata,
        parameters: &[(String, String)],
    ) -> Result<String, ProviderError> {
        let endpoint = metadata.pushed_authorization_endpoint.as_ref();
        let endpoint = required(endpoint, "pushed_authorization_request_endpoint")?;
        let mut form = Form::default();
        let rest = parameters.iter().filter(|(name, _)| name != "client_id");
        rest.for_each(|(name, value)| form.add(name, value));
        if matches!(settings.client.authentication, ClientAuthentication::Basic(_)) {
            form.add("client_id", &settings.client.id);
        }
        let response = self.post(settings, endpoint, &metadata.issuer, form).await?;
        let uri = object(&response)?.get("request_uri").and_then(Value::as_str).map(str::to_owned);
        uri.ok_or_else(|| ProviderError::Unavailable(format!("{endpoint}: the response has no request_uri")))
    }

    /// Requests tokens with this grant.
    ///
    /// # Errors
    ///
    /// The provider is away or refuses.
    pub async fn request_tokens(
        &self,
        settings: &SessionSettings,
        grant: Form,
    ) -> Result<IssuedTokens, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = required(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        let response = self.post(settings, endpoint, &endpoint.to_string(), grant).await?;
        let object = object(&response)?;
        let text = |name: &str| {
            object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let is_bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let access_token = text("access_token").filter(|token| is_bearer && is_token68(token));
        let malformed =
            || ProviderError::Unavailable(format!("{endpoint}: the response has no bearer token"));
        Ok(IssuedTokens {
            access_token: access_token.ok_or_else(malformed)?,
            expires_in: object.get("expires_in").and_then(Value::as_u64),
            refresh_token: text("refresh_token"),
            id_token: text("id_token"),
        })
    }

    /// Revokes a token (RFC 7009), if the provider supports it.
    pub async fn revoke(&self, settings: &SessionSettings, token: &str) {
        let Ok(metadata) = self.metadata().await else { return };
        let Some(endpoint) = &metadata.revocation_endpoint else { return };
        let form = Form::default().with("token", token).with("token_type_hint", "refresh_token");
        if let Err(error) = self.post(settings, endpoint, &endpoint.to_string(), form).await {
            log::warn!("the refresh token was not revoked: {error:?}");
        }
    }

    async fn post(
        &self,
        settings: &SessionSettings,
        url: &HttpUrl,
        audience: &str,
        mut form: Form,
    ) -> Result<Response, ProviderError> {
        let authorization = settings.client.authenticate(audience, self.unix_now(), &mut form);
        let authorization = authorization.map_err(ProviderError::Unavailable)?;
        let mut request = Request::new("POST", url)
            .header("Content-Type", form::MEDIA_TYPE)
            .header("Accept", "application/json")
            .body(form.as_str().as_bytes());
        if let Some(authorization) = &authorization {
            request = request.header("Authorization", authorization);
        }
        let limits = RequestLimits { timeout: settings.timeout, max_body: MAX_RESPONSE_BYTES };
        let response = self.client.send(&request, limits).await.map_err(ProviderError::Unavailable)?;
        match response.status() {
            200..=299 => Ok(response),
            400 | 401 | 403 => Err(match object(&response) {
                Ok(object) => {
                    let code = object.get("error").and_then(Value::as_str).unwrap_or("unknown error");
                    ProviderError::Refused(printable(code))
                }
                Err(error) => error,
            }),
            status => Err(ProviderError::Unavailable(format!("{url}: the response status is {status}"))),
        }
    }

    /// Verifies an ID token with the keys of the provider.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub async fn verify_id_token(
        &self,
        settings: &SessionSettings,
        text: &str,
        nonce: Option<&str>,
    ) -> Result<JsonObject, ProviderError> {
        let expected = self.expected(settings);
        self.with_keys(|set| verify_id_token(text, set, expected, nonce)).await
    }

    /// Verifies a logout token with the keys of the provider.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub async fn verify_logout_token(
        &self,
        settings: &SessionSettings,
        text: &str,
    ) -> Result<ProviderLogout, ProviderError> {
        let expected = self.expected(settings);
        self.with_keys(|set| verify_logout_token(text, set, expected)).await
    }

    fn expected<'e>(&self, settings: &'e SessionSettings) -> ExpectedToken<'e> {
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        ExpectedToken { client_id: &settings.client.id, now, skew: settings.clock_skew.as_secs_f64() }
    }

    /// Verifies with the current keys, and once more after a refresh if the key is unknown.
    async fn with_keys<T>(
        &self,
        verify: impl Fn(&KeySet) -> Result<T, JwsError>,
    ) -> Result<T, ProviderError> {
        let attempt = |keys: Option<Arc<KeySet>>| match keys {
            Some(set) => verify(&set),
            None => Err(JwsError::UnknownKey),
        };
        let mut result = attempt(self.keys.keys());
        if matches!(result, Err(JwsError::UnknownKey)) {
            if !self.keys.refresh().await && self.keys.keys().is_none() {
                let why = "the signing keys of the provider are unavailable";
                return Err(ProviderError::Unavailable(why.to_owned()));
            }
            result = attempt(self.keys.keys());
        }
        result.map_err(|error| match error {
            JwsError::UnknownKey => {
                ProviderError::Refused("no key of the provider has signed the token".into())
            }
            JwsError::Invalid(why) => ProviderError::Refused(format!("the token is not valid: {why}")),
        })
    }
}

fn required<'u>(url: Option<&'u HttpUrl>, name: &str) -> Result<&'u HttpUrl, ProviderError> {
    url.ok_or_else(|| ProviderError::Unavailable(format!("the provider has no {name}")))
}

fn object(response: &Response) -> Result<JsonObject, ProviderError> {
    let read = serde_json::from_slice(&response.body);
    read.map_err(|_| {
        ProviderError::Unavailable("the response of the provider is not a JSON object".to_owned())
    })
}

/// Whether a token can be sent in `Authorization`.
fn is_token68(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

/// A short text of a peer, for messages.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || " _-.:()`".contains(*c)).take(64).collect()
}
