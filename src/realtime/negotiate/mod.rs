//! Negotiation by a route (`NegotiateOptions`): an authenticated caller receives the URL of a hub with a token, so that a web
//! page needs no server code.
//!
//! Entry point: [`respond`], called by `service/` after the stages of the route. Nothing here holds state.

mod template;

use super::{
    config::{NegotiateConfig, ServiceType},
    context::HubService,
    names::{is_group_name, is_user_id},
    tokens::{ClientGrant, sign_client},
};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    identity::Identity,
    response::{Response, RouteResult},
};
use serde_json::{Value, json};
use std::time::SystemTime;
use template::expand;

/// The response for a caller. `origin` is `http://host:port` as the client addressed the gateway, for services without a public
/// URL.
pub fn respond(
    service: &HubService,
    config: &NegotiateConfig,
    method: &[u8],
    identity: Option<&Identity>,
    origin: &str,
) -> RouteResult {
    if method != b"POST" {
        let error = GatewayError::new(ErrorCode::HubUnknownOperation, "a negotiation is a POST request");
        return Err(error.with_details(|details| {
            details.status = Some(405);
            details.headers.push(("Allow".into(), "POST".to_owned()));
        }));
    }
    let grant = grant(config, identity)?;
    let base_url = service.config.public_urls.first().map_or_else(|| origin.to_owned(), ToString::to_string);
    let base_url = base_url.trim_end_matches('/');
    let token = sign_client(&service.config, base_url, &config.hub, &grant, SystemTime::now());
    if service.config.service_type == ServiceType::SignalR {
        let url = format!("{base_url}/client/?hub={}", config.hub);
        return Ok(issued(&json!({ "url": url, "accessToken": token })));
    }
    let socket_url = format!("{}/client/hubs/{}", websocket_url(base_url), config.hub);
    let body = json!({
        "baseUrl": socket_url,
        "token": token,
        "url": format!("{socket_url}?access_token={token}"),
    });
    Ok(issued(&body))
}

/// The response with a token, which is not stored.
fn issued(body: &Value) -> Response {
    let mut response = Response::local(200, "application/json", body.to_string());
    response.head.append(b"Cache-Control", b"no-store");
    response
}

/// User, roles and groups of the caller.
fn grant(config: &NegotiateConfig, identity: Option<&Identity>) -> Result<ClientGrant, GatewayError> {
    let user_id = match &config.user_id_claim {
        None => None,
        Some(claim) => {
            let user_id = identity.and_then(|identity| identity.claim_value(claim));
            let Some(user_id) = user_id.filter(|user_id| is_user_id(user_id)) else {
                let detail =
                    format!("the caller has no claim \"{claim}\" of 1 to 1024 bytes for the user id");
                return Err(GatewayError::new(ErrorCode::AccessClaim, detail));
            };
            Some(user_id.to_owned())
        }
    };
    let expand_all = |templates: &[Box<str>]| -> Vec<String> {
        templates.iter().flat_map(|template| expand(template, identity)).collect()
    };
    let groups = expand_all(&config.groups);
    if !groups.iter().all(|group| is_group_name(group)) {
        let detail = "a claim of the caller results in an invalid group name";
        return Err(GatewayError::new(ErrorCode::HubInvalidGroup, detail));
    }
    Ok(ClientGrant { user_id, roles: expand_all(&config.roles), groups, lifetime: config.expiry })
}

/// The URL with the scheme of WebSockets.
fn websocket_url(url: &str) -> String {
    match url.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
