//! `Basic`: name and password (RFC 7617). Password hashes are slow by design: they are verified on background threads, a
//! few in parallel, and verified pairs are cached. Wrong passwords are slowed by client address.

use super::{
    credential_location::Credential,
    failures::{Failures, PasswordSource},
    outcome::AuthOutcome,
    settings::{BasicSettings, CredentialLocations, User},
    verification_pool::VerificationPool,
};
use crate::{
    base::client_prefix::ClientPrefix,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
    },
};
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Verified pairs that one scheme caches.
const MAX_CACHED_PAIRS: u64 = 10_000;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The compiled scheme.
#[derive(Debug)]
pub struct Basic {
    locations: CredentialLocations,
    scheme: Arc<str>,
    users: HashMap<String, User>,
    /// Its hash is verified for unknown names, so that the response time does not reveal them.
    dummy_user: Option<User>,
    /// The duration of the last hash, in microseconds.
    hash_time_us: AtomicU64,
    /// Keyed by a salted hash of the whole pair: no password is stored.
    verified_cache: Cache<[u8; 32], Arc<Identity>>,
    salt: [u64; 4],
    failures: Failures,
    pool: Arc<VerificationPool>,
}

impl Basic {
    /// Password hashes are verified in `pool`, because each takes tens of milliseconds.
    pub fn new(name: &str, settings: BasicSettings, pool: Arc<VerificationPool>) -> Basic {
        let dummy_user = settings.users.first().cloned();
        let random = RandomState::new();
        Basic {
            locations: CredentialLocations {
                header: "Authorization".into(),
                ..CredentialLocations::default()
            },
            scheme: name.into(),
            users: settings.users.into_iter().map(|user| (user.name.clone(), user)).collect(),
            dummy_user,
            hash_time_us: AtomicU64::new(0),
            verified_cache: Cache::builder()
                .max_capacity(MAX_CACHED_PAIRS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            salt: [1, 2, 3, 4].map(|n: u64| random.hash_one(n)),
            failures: Failures::new(settings.max_failure_delay),
            pool,
        }
    }

    /// Authenticates a request by its name and password.
    pub fn authenticate(self: &Arc<Self>, exchange: &Exchange) -> AuthOutcome {
        let pair = match self.locations.find(exchange, "Basic") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return AuthOutcome::Rejected(GatewayError::new(
                    ErrorCode::IdentityMalformed,
                    "the request has several Authorization headers",
                ));
            }
            Credential::Value(pair) => pair,
        };
        let key = self.key(pair);
        if let Some(user) = self.verified_cache.get(&key) {
            return AuthOutcome::Authenticated(user);
        }
        let Some((name, password)) = decode(pair) else {
            return AuthOutcome::Rejected(GatewayError::new(
                ErrorCode::IdentityMalformed,
                "invalid Basic credentials: expected base64 of `name:password`",
            ));
        };
        if exchange.is_dry_run {
            return self
                .verify(&name, &password)
                .map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated);
        }
        let client = exchange.client.ip.into();
        AuthOutcome::Pending(Box::pin(self.clone().verify_in_pool(key, client, name, password)))
    }

    fn key(&self, pair: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        self.salt.iter().for_each(|part| hasher.update(part.to_le_bytes()));
        hasher.update(pair);
        hasher.finalize().into()
    }

    /// Verifies on a background thread, unless too many requests wait already. Unknown names from an address that guesses only
    /// take the time of a hash: a flood of names does not delay the users of that address.
    async fn verify_in_pool(
        self: Arc<Self>,
        key: [u8; 32],
        client: ClientPrefix,
        name: String,
        password: Vec<u8>,
    ) -> Result<Arc<Identity>, GatewayError> {
        let source = self.failures.source(client, &name);
        let verified = match self.is_guessed_name(&source, &name) {
            true => None,
            false => {
                let (basic, bytes) = (self.clone(), name.len() + password.len());
                // The address may have failed while the job waited.
                let job = move || {
                    (!basic.is_guessed_name(&source, &name))
                        .then(|| basic.verify_unless_cached(key, &name, &password))
                };
                let job_source = self.failures.job(&source);
                self.pool.run(job_source, bytes, job).await.ok_or_else(too_many_checks)?
            }
        };
        if verified.is_none() {
            tokio::time::sleep(Duration::from_micros(self.hash_time_us.load(Relaxed))).await;
        }
        let verified = verified.unwrap_or_else(|| Err(wrong_credentials()));
        if verified.is_err() {
            tokio::time::sleep(self.failures.record(&source)).await;
        }
        verified
    }

    /// Whether the name is unknown and its address guesses.
    fn is_guessed_name(&self, source: &PasswordSource, name: &str) -> bool {
        self.failures.slows(source) && !self.users.contains_key(name)
    }

    /// A request before this one in the queue may have had the same pair.
    fn verify_unless_cached(
        &self,
        key: [u8; 32],
        name: &str,
        password: &[u8],
    ) -> Result<Arc<Identity>, GatewayError> {
        if let Some(user) = self.verified_cache.get(&key) {
            return Ok(user);
        }
        let user = self.verify(name, password)?;
        self.verified_cache.insert(key, user.clone());
        Ok(user)
    }

    fn verify(&self, name: &str, password: &[u8]) -> Result<Arc<Identity>, GatewayError> {
        let (user, started) = (self.users.get(name), Instant::now());
        let matches = user.or(self.dummy_user.as_ref()).is_some_and(|user| verify_hash(&user.hash, password));
        self.hash_time_us.store(started.elapsed().as_micros() as u64, Relaxed);
        match user.filter(|_| matches) {
            Some(user) => Ok(Arc::new(self.identity(user))),
            None => Err(wrong_credentials()),
        }
    }

    fn identity(&self, user: &User) -> Identity {
        let mut identity = Identity::new(self.scheme.clone());
        if !user.claims.iter().any(|(name, _)| name == "sub") {
            identity.add("sub", &user.name);
        }
        user.claims.iter().for_each(|(name, value)| identity.add(name, value));
        identity
    }
}

fn wrong_credentials() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityInvalidCredentials, "the name or the password is wrong")
}

fn too_many_checks() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBusy, "too many password checks are in progress")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
}

fn decode(pair: &[u8]) -> Option<(String, Vec<u8>)> {
    let pair = BASE64.decode(pair).ok()?;
    let colon = pair.iter().position(|b| *b == b':')?;
    let name = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some((name, pair[colon + 1..].to_vec()))
}

/// Whether the password has this hash.
fn verify_hash(hash: &str, password: &[u8]) -> bool {
    match hash.starts_with("$argon2") {
        true => PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        false => bcrypt::verify(password, hash).unwrap_or(false),
    }
}

/// Validates a password hash of the configuration.
pub fn check_hash(hash: &str) -> Result<(), &'static str> {
    if hash.starts_with("$argon2") {
        let hash = PasswordHash::new(hash).ok().filter(|hash| hash.hash.is_some());
        let params = hash.and_then(|hash| argon2::Params::try_from(&hash).ok());
        return match params.ok_or("its argon2 hash cannot be read")?.m_cost() {
            ..=1_048_576 => Ok(()),
            _ => Err("its argon2 hash takes more than 1 GiB of memory"),
        };
    }
    let cost =
        hash.strip_prefix("$2").and_then(|rest| rest.get(2..4)).and_then(|cost| cost.parse::<u32>().ok());
    match cost {
        Some(4..=16) if hash.len() == 60 => Ok(()),
        Some(17..) => Err("its bcrypt hash takes seconds: the cost is more than 16"),
        _ => Err("its hash is neither bcrypt's ($2b$...) nor argon2's ($argon2id$...)"),
    }
}

#[cfg(test)]
#[path = "basic_tests.rs"]
mod tests;
