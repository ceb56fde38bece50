//! Tokens that the gateway issues.

use crate::realtime::config::{ServiceConfig, ServiceType};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a token grants to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientGrant {
    pub user_id: Option<String>,
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    /// How long the token is valid.
    pub lifetime: Duration,
}

/// A token for the clients of a hub, signed with the first key. `base_url` is the public URL of the service.
pub fn sign_client(
    config: &ServiceConfig,
    base_url: &str,
    hub: &str,
    grant: &ClientGrant,
    now: SystemTime,
) -> String {
    let issued_at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = Map::new();
    let audience = match config.service_type {
        ServiceType::WebPubSub => format!("{base_url}/client/hubs/{hub}"),
        ServiceType::SignalR => format!("{base_url}/client/?hub={hub}"),
    };
    claims.insert("aud".into(), audience.into());
    claims.insert("iat".into(), issued_at.into());
    claims.insert("exp".into(), (issued_at + grant.lifetime.as_secs()).into());
    if let Some(user_id) = &grant.user_id {
        claims.insert("sub".into(), user_id.as_str().into());
    }
    for (name, values) in [("role", &grant.roles), ("webpubsub.group", &grant.groups)] {
        if !values.is_empty() {
            claims.insert(name.into(), values.as_slice().into());
        }
    }
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", encoded(&header), encoded(&Value::Object(claims)));
    let key = config.keys.first().map(|key| key.reveal()).unwrap_or_default();
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    token
}
