//! A session, and a sign-in in progress.

use crate::{
    base::{compact_jws::JsonObject, secret::Secret},
    pipeline::identity::Identity,
    stages::authentication::jwt_claims::identity_from_claims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// What is sealed into the cookie, or stored on the shared state.
#[derive(Clone, Serialize, Deserialize)]
pub struct SessionData {
    /// Random, the same from sign-in to sign-out.
    pub id: String,
    /// The claims of the ID token.
    pub claims: Map<String, Value>,
    #[serde(rename = "it")]
    pub id_token: String,
    #[serde(rename = "at")]
    pub access_token: String,
    /// Unix time; `None`: the provider did not report it.
    #[serde(rename = "ax")]
    pub access_expires_at: Option<u64>,
    #[serde(rename = "rt")]
    pub refresh_token: Option<String>,
    /// How often the tokens were refreshed.
    #[serde(rename = "g")]
    pub generation: u32,
    #[serde(rename = "c")]
    pub created_at: u64,
    /// When the idle timeout began.
    #[serde(rename = "s")]
    pub seen_at: u64,
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("SessionData").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl SessionData {
    /// A text claim of the ID token.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The bytes to be sealed.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A session of opened bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<SessionData> {
        serde_json::from_slice(bytes).ok()
    }
}

/// An active session.
#[derive(Debug)]
pub struct Session {
    pub data: SessionData,
    pub user: Arc<Identity>,
    /// The value of `Authorization` for backends.
    pub authorization: Secret,
}

impl Session {
    /// A session of this scheme.
    pub fn new(scheme: &Arc<str>, data: SessionData) -> Session {
        let claims = data.claims.iter().map(|(name, value)| (name.clone(), value.clone()));
        let user = identity_from_claims(scheme.clone(), &JsonObject(claims.collect()));
        let authorization = Secret::new(format!("Bearer {}", data.access_token));
        Session { user: Arc::new(user), authorization, data }
    }

    /// Bytes of memory that it uses.
    pub fn weight(&self) -> u32 {
        let data = &self.data;
        let tokens = data.access_token.len() * 2
            + data.id_token.len() * 3
            + data.refresh_token.as_ref().map_or(0, String::len);
        u32::try_from(tokens + 1024).unwrap_or(u32::MAX)
    }
}

/// A cookie that names a session on the shared state.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionReference {
    pub id: String,
    #[serde(rename = "c")]
    pub created_at: u64,
}

/// A sign-in that has begun in a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginState {
    pub state: String,
    pub nonce: String,
    /// The secret of PKCE (RFC 7636).
    pub verifier: String,
    pub return_to: String,
    pub redirect_uri: String,
    pub began_at: u64,
}

impl LoginState {
    /// The part of the state in the name of its cookie.
    pub fn cookie_suffix(state: &str) -> &str {
        state.get(..8).unwrap_or(state)
    }
}
