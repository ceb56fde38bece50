//! `POST /:generateToken`: a token for a client.

use super::{call::valid_group, error::DataPlaneError, operations::CallExtension};
use crate::realtime::{
    names::is_user_id,
    tokens::{ClientGrant, sign_client},
};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Validity without `minutesToExpire`.
const DEFAULT_MINUTES: u32 = 60;

/// Issues a token.
pub async fn generate_token(Extension(call): CallExtension) -> Result<Json<Value>, DataPlaneError> {
    let minutes = call.integer("minutesToExpire", 1, u32::MAX)?.unwrap_or(DEFAULT_MINUTES);
    let user_id = call.parameter("userId").filter(|user| !user.is_empty());
    if user_id.is_some_and(|user| !is_user_id(user)) {
        return Err(DataPlaneError::invalid_request("Invalid userId: must have at most 1024 bytes."));
    }
    for group in call.parameters("group") {
        valid_group(group.into())?;
    }
    let grant = ClientGrant {
        user_id: user_id.map(str::to_owned),
        roles: call.parameters("role").map(str::to_owned).collect(),
        groups: call.parameters("group").map(str::to_owned).collect(),
        lifetime: Duration::from_secs(u64::from(minutes) * 60),
    };
    let token = sign_client(&call.service.config, &call.base_url, &call.hub, &grant, SystemTime::now());
    Ok(Json(json!({ "token": token })))
}
