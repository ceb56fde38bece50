//! The run of `validate-jwt` and `validate-azure-ad-token`.

use super::{
    messages::texts,
    token_keys::{Times, TokenKeys, tenant_scheme, with_issuers},
};
use crate::{
    base::expr::{Map, Usage, Value, decode_jwt},
    pipeline::{
        cancel::until_client_closes,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
    stages::{
        authentication::{outcome::AuthOutcome, settings::SchemeConfig, state::Scheme},
        program::{
            Context, Failure, Flow, Statement, StatementFuture, Template,
            target::{decoded, query_value},
            template::usage_of,
        },
    },
};
use std::sync::Arc;

/// Where the token is.
#[derive(Debug)]
pub(super) enum TokenLocation {
    Header(String),
    Query(String),
    Value(Template),
}

#[derive(Debug)]
pub(super) struct RequiredClaim {
    pub(super) name: Arc<str>,
    pub(super) any: bool,
    pub(super) separator: Option<Arc<str>>,
    pub(super) values: Vec<Template>,
}

#[derive(Debug)]
pub(super) struct ValidateToken {
    pub(super) place: TokenLocation,
    pub(super) status: Option<Template>,
    pub(super) message: Option<Template>,
    pub(super) scheme: Option<Template>,
    pub(super) variable: Option<Arc<str>>,
    pub(super) sources: Vec<TokenKeys>,
    pub(super) times: Times,
    pub(super) audiences: Option<Vec<Template>>,
    pub(super) issuers: Option<Vec<Template>>,
    /// `azp` or `appid`.
    pub(super) applications: Option<Vec<Template>>,
    pub(super) claims: Vec<RequiredClaim>,
}

/// A failed validation, before the configured status and message.
pub(super) fn refused(reason: &'static str, code: ErrorCode, message: impl Into<String>) -> Failure {
    Failure::new(reason, code, message)
}

fn rejected(error: GatewayError) -> Failure {
    let reason = match error.code {
        ErrorCode::IdentitySignature => "TokenSignatureInvalid",
        ErrorCode::IdentityKey | ErrorCode::IdentityProviderUnavailable => "TokenSignatureKeyNotFound",
        ErrorCode::IdentityExpired => "TokenExpired",
        ErrorCode::IdentityIssuer => "TokenIssuerNotAllowed",
        ErrorCode::IdentityAudience => "TokenAudienceNotAllowed",
        _ => "JwtInvalid",
    };
    Failure { reason: reason.into(), ..Failure::from_gateway(error) }
}

impl ValidateToken {
    fn token(&self, context: &Context<'_>) -> Result<Option<String>, Failure> {
        let (text, may_have_scheme) = match &self.place {
            TokenLocation::Header(name) => {
                let value = context.exchange.request.get(name.as_bytes());
                (
                    value.map(|value| String::from_utf8_lossy(value).into_owned()),
                    name.eq_ignore_ascii_case("Authorization"),
                )
            }
            TokenLocation::Query(name) => {
                (query_value(&context.original.query, name).map(|value| decoded(value, true)), false)
            }
            TokenLocation::Value(value) => (value.text_value(context)?.map(|text| text.to_string()), true),
        };
        let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let scheme = self.scheme.as_ref().map(|scheme| scheme.text_or_empty(context)).transpose()?;
        let scheme = scheme.as_deref();
        Ok(match text.split_once(' ') {
            Some((name, token))
                if scheme.map_or(may_have_scheme && name.eq_ignore_ascii_case("Bearer"), |scheme| {
                    name.eq_ignore_ascii_case(scheme)
                }) =>
            {
                Some(token.trim().to_owned())
            }
            Some(_) if scheme.is_some() || may_have_scheme => None,
            None if scheme.is_some() => None,
            _ => Some(text),
        })
    }

    async fn validate(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let outcome = self.verified(context).await;
        let failure = match outcome {
            Ok(token) => {
                if let Some(name) = &self.variable {
                    context.set_variable(name, token);
                }
                return Ok(Flow::Next);
            }
            Err(failure) => failure,
        };
        if failure.error.code.name().starts_with("policy.") || failure.error.code == ErrorCode::ClientClosed {
            return Err(failure);
        }
        self.configured(failure, context)
    }

    /// The configured status and message.
    fn configured(&self, mut failure: Failure, context: &Context<'_>) -> Result<Flow, Failure> {
        if let Some(message) = &self.message {
            failure.error.detail = message.text_or_empty(context)?.to_string().into();
        }
        let status = match &self.status {
            Some(status) => {
                let code = u16::try_from(status.int(context)?).ok().filter(|code| (200..600).contains(code));
                code.ok_or_else(|| Failure::statement("the status must be 200 to 599"))?
            }
            None if failure.error.code == ErrorCode::AccessClaim => 401,
            None => failure.error.status(false),
        };
        Err(failure.with_status(status))
    }

    async fn verified(&self, context: &mut Context<'_>) -> Result<Value, Failure> {
        let missing = || refused("TokenNotPresent", ErrorCode::IdentityMissing, "JWT not present.");
        let token = self.token(context)?.ok_or_else(missing)?;
        let mut last = None;
        for source in &self.sources {
            match self.verify_with(context, source, &token).await {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(failure) if failure.error.code == ErrorCode::ClientClosed => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        if let Some(failure) = last {
            return Err(failure);
        }
        let decoded = decoded_token(&token)?;
        self.times.check(&decoded, context)?;
        self.check_content(&decoded, context)?;
        Ok(decoded)
    }

    /// Verifies a token; the issuers of the statement are accepted in addition to that of a discovery document.
    async fn verify_with(
        &self,
        context: &mut Context<'_>,
        keys: &TokenKeys,
        token: &str,
    ) -> Result<(), Failure> {
        let source = match keys {
            TokenKeys::Scheme(scheme) => scheme.clone(),
            TokenKeys::Tenant { authority, tenant } => {
                tenant_scheme(authority, &tenant.text_or_empty(context)?)?
            }
        };
        let outcome = verify(context, &source, token).await;
        let wrong_issuer = |failure: &Failure| failure.error.code == ErrorCode::IdentityIssuer;
        let Some(issuers) = &self.issuers else { return outcome };
        match outcome {
            Ok(()) if keys.has_issuer() => return Ok(()),
            Err(failure) if !wrong_issuer(&failure) => return Err(failure),
            _ => {}
        }
        let known = texts(issuers, context)?;
        let Value::Map(map) = decoded_token(token)? else { return Ok(()) };
        let own = claim_values(&map, "iss").unwrap_or_default();
        if !own.iter().any(|own| known.iter().any(|known| **known == **own)) {
            let message = "the token has another issuer (`iss`)";
            return Err(refused("TokenIssuerNotAllowed", ErrorCode::IdentityIssuer, message));
        }
        if !keys.has_issuer() {
            return Ok(());
        }
        verify(context, &with_issuers(&source, &known), token).await
    }

    fn check_content(&self, token: &Value, context: &Context<'_>) -> Result<(), Failure> {
        let Value::Map(map) = token else { return Ok(()) };
        let claim = |name: &str| claim_values(map, name);
        let one_of = |templates: &[Template], name: &str| -> Result<bool, Failure> {
            let known = texts(templates, context)?;
            Ok(claim(name)
                .unwrap_or_default()
                .iter()
                .any(|value| known.iter().any(|known| **known == **value)))
        };
        if let Some(audiences) = &self.audiences
            && !one_of(audiences, "aud")?
        {
            let message = "the token has another audience (`aud`)";
            return Err(refused("TokenAudienceNotAllowed", ErrorCode::IdentityAudience, message));
        }
        if let Some(applications) = &self.applications {
            let name = if claim("azp").is_some() { "azp" } else { "appid" };
            if !one_of(applications, name)? {
                let message = "the token is of another application";
                return Err(refused("TokenClaimValueNotAllowed", ErrorCode::AccessClaim, message));
            }
        }
        self.check_claims(&claim, context)
    }

    fn check_claims(
        &self,
        claim: &dyn Fn(&str) -> Option<Vec<String>>,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let missing: Vec<&str> =
            self.claims.iter().map(|c| &*c.name).filter(|name| claim(name).is_none()).collect();
        if !missing.is_empty() {
            let message =
                format!("JWT token is missing the following claims: {}. Access denied.", missing.join(", "));
            return Err(refused("TokenClaimNotFound", ErrorCode::AccessClaim, message));
        }
        for required in &self.claims {
            let values = claim(&required.name).unwrap_or_default();
            let values: Vec<String> = match &required.separator {
                None => values,
                Some(separator) => {
                    values.iter().flat_map(|value| value.split(&**separator).map(str::to_owned)).collect()
                }
            };
            let wanted = texts(&required.values, context)?;
            let has = |wanted: &Arc<str>| values.iter().any(|value| **value == **wanted);
            let fits = wanted.is_empty()
                || if required.any { wanted.iter().any(has) } else { wanted.iter().all(has) };
            if !fits {
                let message = format!(
                    "Claim {} value of {} is not allowed. Access denied.",
                    required.name,
                    values.join(",")
                );
                return Err(refused("TokenClaimValueNotAllowed", ErrorCode::AccessClaim, message));
            }
        }
        Ok(())
    }
}

fn decoded_token(token: &str) -> Result<Value, Failure> {
    decode_jwt(token)
        .ok_or_else(|| refused("JwtInvalid", ErrorCode::IdentityMalformed, "the token is malformed"))
}

/// The values of a claim of a decoded token.
fn claim_values(token: &Map, name: &str) -> Option<Vec<String>> {
    let Some(Value::Map(claims)) = token.get("Claims") else { return None };
    let Some(Value::List(values)) = claims.get(name) else { return None };
    Some(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Verifies a token with the keys of a scheme.
async fn verify(context: &mut Context<'_>, source: &Arc<SchemeConfig>, token: &str) -> Result<(), Failure> {
    let scheme = context.shared.tokens.scheme(source);
    let Scheme::Jwt(jwt) = &*scheme else { return Err(Failure::statement("the scheme has no tokens")) };
    let exchange: &Exchange = context.exchange;
    match jwt.authenticate_token(token.as_bytes(), exchange) {
        AuthOutcome::Authenticated(_) => Ok(()),
        AuthOutcome::Rejected(error) => Err(rejected(error)),
        AuthOutcome::NoCredentials => {
            Err(refused("TokenNotPresent", ErrorCode::IdentityMissing, "JWT not present."))
        }
        AuthOutcome::Pending(pending) => {
            let verified =
                until_client_closes(pending, context.client).await.map_err(Failure::from_gateway)?;
            verified.map(drop).map_err(rejected)
        }
    }
}

impl Statement for ValidateToken {
    fn usage(&self) -> Usage {
        let times = self.times.skew.iter().chain(&self.times.requires_expiry);
        let own = usage_of(self.status.iter().chain(&self.message).chain(&self.scheme).chain(times));
        let own = self.sources.iter().fold(own, |own, source| match source {
            TokenKeys::Tenant { tenant, .. } => own.and(tenant.usage()),
            TokenKeys::Scheme(_) => own,
        });
        let claims = self.claims.iter().flat_map(|claim| &claim.values);
        let lists = [&self.audiences, &self.issuers, &self.applications].into_iter().flatten().flatten();
        let place = match &self.place {
            TokenLocation::Value(value) => value.usage(),
            _ => Usage::default(),
        };
        own.and(usage_of(lists)).and(usage_of(claims)).and(place)
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.validate(context))
    }
}
