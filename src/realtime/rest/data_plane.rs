//! From a request to its operation: path, token, version, hub.

use super::{
    call::{Call, query_parameters},
    error::DataPlaneError,
    routes::{router, signalr_router, unknown},
};
use crate::{
    base::percent::percent_decoded,
    pipeline::{
        error::ErrorCode,
        internal::{Request, Response},
    },
    realtime::{
        config::ServiceType,
        context::HubService,
        filter::FilterCache,
        names::is_hub_name,
        operation::Operations,
        tokens::{TokenError, TokenRequest, bearer_token, verify_server},
        user_groups::UserGroups,
    },
};
use axum::{Router, body::Body, response::IntoResponse};
use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};
use std::{sync::Arc, time::SystemTime};
use tower::ServiceExt;

/// The URL that the client requested.
#[derive(Clone, Debug)]
pub struct OriginalTarget {
    /// The undecoded path, with the mount path of the service.
    pub path: String,
    /// `http://host:port` as the client addressed the gateway.
    pub origin: String,
}

/// The data plane of all services.
#[derive(Debug)]
pub struct DataPlane {
    router: Router,
    signalr_router: Router,
    filters: Arc<FilterCache>,
    pub user_groups: Arc<UserGroups>,
}

impl Default for DataPlane {
    fn default() -> DataPlane {
        DataPlane {
            router: router(),
            signalr_router: signalr_router(),
            filters: Arc::default(),
            user_groups: Arc::default(),
        }
    }
}

impl DataPlane {
    /// Responds to a request whose undecoded path within the service is `path`. The [`ErrorCode`] of an error is an extension
    /// of the response.
    pub async fn respond(
        &self,
        service: &Arc<HubService>,
        operations: &Arc<dyn Operations>,
        request: Request,
        path: &str,
        original: &OriginalTarget,
    ) -> Response {
        if path == "/api/health" {
            return match *request.method() {
                Method::GET | Method::HEAD => Response::new(Body::empty()),
                _ => unknown("The operation does not have this method.")
                    .with_status(StatusCode::METHOD_NOT_ALLOWED)
                    .into_response(),
            };
        }
        // Without the body, which only this task may use.
        let (parts, body) = request.into_parts();
        match self.admit(service, operations, &parts, path, original).await {
            Ok((call, operation)) => self.route(Request::from_parts(parts, body), call, operation).await,
            Err(error) => error.into_response(),
        }
    }

    /// The request with its hub, if its token is valid, and the path of the operation.
    async fn admit<'p>(
        &self,
        service: &Arc<HubService>,
        operations: &Arc<dyn Operations>,
        request: &Parts,
        path: &'p str,
        original: &OriginalTarget,
    ) -> Result<(Call, &'p str), DataPlaneError> {
        let segments = path.strip_prefix("/api/hubs/").and_then(|rest| rest.split_once('/'));
        let Some((hub, _)) = segments else { return Err(unknown("There is no such operation.")) };
        let operation = &path["/api/hubs/".len() + hub.len()..];
        let hub = String::from_utf8_lossy(&percent_decoded(hub.as_bytes(), false)).to_ascii_lowercase();
        authorize(service, &request.headers, path, original, &hub).await?;
        if !is_hub_name(&hub) {
            let message =
                "Invalid hub name: must be a letter and at most 127 letters, digits and _ ` , . [ ].";
            return Err(DataPlaneError::new(ErrorCode::HubInvalidName, message));
        }
        if service.config.hub(&hub).is_none() {
            return Err(DataPlaneError::new(ErrorCode::HubNotFound, "The service has no such hub."));
        }
        let call = Call {
            service: service.clone(),
            operations: operations.clone(),
            filters: self.filters.clone(),
            user_groups: self.user_groups.clone(),
            hub,
            query: query_parameters(request.uri.query().unwrap_or_default())?,
            base_url: base_url(service, path, original),
            service_path: path.to_owned(),
        };
        let is_valid: fn(&str) -> bool = match service.config.service_type {
            ServiceType::WebPubSub => is_version,
            ServiceType::SignalR => is_any_version,
        };
        match call.parameter("api-version").is_some_and(is_valid) {
            true => Ok((call, operation)),
            false => Err(DataPlaneError::invalid_request("Missing or invalid api-version: must be a date.")),
        }
    }

    async fn route(&self, mut request: Request, call: Call, operation: &str) -> Response {
        let Ok(uri) = Uri::try_from(operation) else {
            return unknown("There is no such operation.").into_response();
        };
        *request.uri_mut() = uri;
        let service_type = call.service.config.service_type;
        request.extensions_mut().insert(Arc::new(call));
        let router = match service_type {
            ServiceType::WebPubSub => &self.router,
            ServiceType::SignalR => &self.signalr_router,
        };
        match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A token of the service, or one of an identity provider.
async fn authorize(
    service: &HubService,
    headers: &HeaderMap,
    path: &str,
    original: &OriginalTarget,
    hub: &str,
) -> Result<(), DataPlaneError> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = fields.next().and_then(|value| value.to_str().ok());
    if fields.next().is_some() {
        return Err(TokenError::Invalid("the request has several Authorization fields").into());
    }
    let request =
        TokenRequest { authorization, query_token: None, path: &original.path, service_path: path, hub };
    let Err(error) = verify_server(&service.config, &request, SystemTime::now()) else { return Ok(()) };
    if let (Some(schemes), Some(token)) = (&service.server_schemes, authorization.and_then(bearer_token))
        && schemes.is_accepted(token).await
    {
        return Ok(());
    }
    Err(error.into())
}

/// The primary public URL; without one, the URL that the client used.
fn base_url(service: &HubService, path: &str, original: &OriginalTarget) -> String {
    match service.config.public_urls.first() {
        Some(url) => url.to_string().trim_end_matches('/').to_owned(),
        None => {
            let mount = original.path.strip_suffix(path).unwrap_or_default();
            format!("{}{mount}", original.origin)
        }
    }
}

/// A date with or without hyphens.
fn is_any_version(text: &str) -> bool {
    let is_compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_version(text) || is_compact && is_version(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))
}

/// `YYYY-MM-DD`, optionally with `-preview`.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text).as_bytes();
    let number = |range| std::str::from_utf8(&date[range]).ok().and_then(|text| text.parse::<u32>().ok());
    let has_digits = date.len() == 10
        && date.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    has_digits
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
}
