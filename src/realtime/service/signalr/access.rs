//! Who a client is: the hub, and the claims of its token.

use super::{
    super::HubTarget,
    path::{CLIENT_PATH, hub_name},
};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
};
use crate::realtime::{
    context::HubContext,
    names::is_user_id,
    service::{
        cors,
        path::{QueryPairs, parameter},
        rejection::{check_hub_name, token_error},
    },
    tokens::{TokenError, TokenRequest, verify_claims},
};
use std::{sync::Arc, time::SystemTime};

/// A client with a valid token for an existing hub.
#[derive(Debug)]
pub struct Access {
    pub context: Arc<HubContext>,
    pub user: Option<Arc<str>>,
    /// Without those of the service itself.
    pub claims: Vec<(Box<str>, String)>,
}

/// The claims that may contain the user id, the first one first.
const USER_CLAIMS: [&str; 3] = ["asrs.s.uid", "nameid", "sub"];
/// Claims of the service itself.
const INTERNAL: &str = "asrs.s.";
/// Claims of the user, without this.
const OF_USER: &str = "asrs.u.";

/// Checks origin, hub and token. `suffix` is the part of the path behind that of clients, which is the audience.
pub fn check(
    target: &HubTarget,
    query: &QueryPairs,
    exchange: &Exchange,
    suffix: &str,
    accepts_query_token: bool,
) -> Result<Access, GatewayError> {
    if target.has_cors {
        cors::check_origin(exchange)?;
    }
    let hub = hub_name(query)?;
    check_hub_name(&hub)?;
    let request = &exchange.request;
    let path = std::str::from_utf8(request.original_path()).unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let token = TokenRequest {
        authorization: request.get(b"Authorization").and_then(|value| std::str::from_utf8(value).ok()),
        query_token: parameter(query, "access_token").filter(|_| accepts_query_token),
        path: path.strip_suffix(suffix).unwrap_or(path),
        service_path: CLIENT_PATH,
        hub: &hub,
    };
    let claims = verify_claims(&target.service.config, &token, SystemTime::now()).map_err(token_error)?;
    let context = HubContext::new(&target.service, &hub)
        .ok_or_else(|| GatewayError::new(ErrorCode::HubNotFound, "the service has no hub of this name"))?;
    let user = user(&claims).map_err(token_error)?;
    let visible = claims.into_iter().filter(|(name, _)| !name.starts_with(INTERNAL));
    let claims = visible.map(|(name, value)| match name.strip_prefix(OF_USER) {
        Some(name) => (name.into(), value),
        None => (name, value),
    });
    Ok(Access { context: Arc::new(context), user, claims: claims.collect() })
}

fn user(claims: &[(Box<str>, String)]) -> Result<Option<Arc<str>>, TokenError> {
    let value = |name: &&str| claims.iter().find(|(known, _)| **known == **name).map(|(_, value)| value);
    match USER_CLAIMS.iter().find_map(value).filter(|user| !user.is_empty()) {
        None => Ok(None),
        Some(user) if is_user_id(user) => Ok(Some(user.as_str().into())),
        Some(_) => Err(TokenError::Invalid("the user id is longer than 1024 bytes")),
    }
}
