//! Access tokens for other audiences, until they expire.

use crate::{
    base::secret::Secret, pipeline::error::GatewayError, stages::authentication::shared_calls::SharedCalls,
};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::sync::Arc;

/// Memory for the tokens of one scheme.
const TOKEN_CACHE_BYTES: u64 = 32 << 20;

/// A digest of the session, its generation and the audience.
pub type AudienceKey = [u8; 16];
/// The result of a call for a token.
pub type AudienceResult = Result<Arc<AudienceToken>, GatewayError>;

/// An access token for one audience.
#[derive(Debug)]
pub struct AudienceToken {
    /// The value of `Authorization`.
    pub authorization: Secret,
    /// Unix time.
    pub expires_at: u64,
}

/// The tokens of a scheme, and the calls for more.
#[derive(Debug)]
pub struct AudienceTokens {
    pub cache: Cache<AudienceKey, Arc<AudienceToken>>,
    pub calls: SharedCalls<AudienceKey, AudienceResult>,
}

impl Default for AudienceTokens {
    fn default() -> Self {
        let cache = Cache::<AudienceKey, Arc<AudienceToken>>::builder()
            .max_capacity(TOKEN_CACHE_BYTES)
            .weigher(|_, token| u32::try_from(token.authorization.reveal().len() + 128).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        AudienceTokens { cache, calls: SharedCalls::default() }
    }
}
