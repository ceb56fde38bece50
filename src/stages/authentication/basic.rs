//! `Basic`: name and password (RFC 7617). Password hashes are slow by design: they are verified on background threads, a
//! few in parallel, and verified pairs are cached. Wrong passwords are slowed by client address.

use super::{
    credential_location::Credential,
    failures::Failures,
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
    sync::Arc,
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

    /// Verifies on a background thread, unless too many requests wait already.
    async fn verify_in_pool(
        self: Arc<Self>,
        key: [u8; 32],
        client: ClientPrefix,
        name: String,
        password: Vec<u8>,
    ) -> Result<Arc<Identity>, GatewayError> {
        let source = self.failures.source(client, &name);
        let (basic, bytes) = (self.clone(), name.len() + password.len());
        let job = move || basic.verify_unless_cached(key, &name, &password);
        let verified =
            self.pool.run(self.failures.job(&source), bytes, job).await.ok_or_else(too_many_checks)?;
        if verified.is_err() {
            tokio::time::sleep(self.failures.record(&source)).await;
        }
        verified
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
        let user = self.users.get(name);
        let matches = user.or(self.dummy_user.as_ref()).is_some_and(|user| verify_hash(&user.hash, password));
        match user.filter(|_| matches) {
            Some(user) => Ok(Arc::new(self.identity(user))),
            None => Err(GatewayError::new(
                ErrorCode::IdentityInvalidCredentials,
                "the name or the password is wrong",
            )),
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
mod tests {
    use super::super::testing::{exchange, why};
    use super::*;
    use crate::{net::background::BackgroundRuntime, stages::authentication::state::PASSWORD_LIMITS};
    use argon2::password_hash::{PasswordHasher, SaltString};
    use std::time::{Duration, Instant};

    fn basic() -> Arc<Basic> {
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let quick = Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            argon2::Params::new(64, 1, 1, None).unwrap(),
        );
        let argon = quick.hash_password(b"open:sesame", &salt).unwrap().to_string();
        let user = |name: &str, hash: String| User {
            name: name.into(),
            hash,
            claims: vec![("role".into(), "r".into())],
        };
        let users = vec![user("ann", bcrypt::hash("secret", 4).unwrap()), user("ben", argon)];
        users.iter().for_each(|user| assert_eq!(check_hash(&user.hash), Ok(())));
        scheme(users)
    }

    fn scheme(users: Vec<User>) -> Arc<Basic> {
        let background = BackgroundRuntime::default();
        background.attach(tokio::runtime::Handle::current());
        let pool = VerificationPool::new(PASSWORD_LIMITS, background);
        let settings = BasicSettings { users, max_failure_delay: Duration::from_millis(400) };
        Arc::new(Basic::new("staff", settings, pool))
    }

    async fn authenticate(basic: &Arc<Basic>, pair: &str) -> AuthOutcome {
        let line = format!("Basic {}", BASE64.encode(pair));
        match basic.authenticate(&exchange("/", &[("Authorization", &line)])) {
            AuthOutcome::Pending(pending) => {
                pending.await.map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated)
            }
            outcome => outcome,
        }
    }

    #[tokio::test]
    async fn bcrypt_and_argon2_hashes_are_verified_and_cached() {
        let basic = basic();
        for (pair, name) in [("ann:secret", "ann"), ("ben:open:sesame", "ben")] {
            let AuthOutcome::Authenticated(user) = authenticate(&basic, pair).await else {
                panic!("{pair} is rejected")
            };
            assert_eq!((user.claim_value("sub"), user.claim_value("role")), (Some(name), Some("r")));
            let line = format!("Basic {}", BASE64.encode(pair));
            let again = basic.authenticate(&exchange("/", &[("Authorization", &line)]));
            assert!(matches!(again, AuthOutcome::Authenticated(_)), "the second request does not wait");
        }
    }

    #[tokio::test]
    async fn a_wrong_password_and_an_unknown_name_are_indistinguishable() {
        let basic = basic();
        assert_eq!(why(authenticate(&basic, "ann:Secret").await), "identity.invalid_credentials");
        assert_eq!(why(authenticate(&basic, "eve:secret").await), "identity.invalid_credentials");
        assert_eq!(why(authenticate(&basic, "ann").await), "identity.malformed");
        let malformed = exchange("/", &[("Authorization", "Basic ???")]);
        assert_eq!(why(basic.authenticate(&malformed)), "identity.malformed");
    }

    #[tokio::test]
    async fn hashes_are_verified_off_the_worker_thread() {
        let slow = User { name: "old".into(), hash: bcrypt::hash("x", 10).unwrap(), claims: Vec::new() };
        let slow = scheme(vec![slow]);
        let line = format!("Basic {}", BASE64.encode("old:x"));
        let request = exchange("/", &[("Authorization", &line)]);
        let started = Instant::now();
        let AuthOutcome::Pending(pending) = slow.authenticate(&request) else {
            panic!("nothing is cached yet")
        };
        let on_worker = started.elapsed();
        assert!(pending.await.is_ok());
        assert!(
            on_worker * 4 < started.elapsed(),
            "{on_worker:?} of {:?} on the worker thread",
            started.elapsed()
        );
    }

    /// A request with these credentials from this address.
    fn login(basic: &Arc<Basic>, address: [u8; 4], pair: &str) -> AuthOutcome {
        let line = format!("Basic {}", BASE64.encode(pair));
        let mut request = exchange("/", &[("Authorization", &line)]);
        request.client.ip = address.into();
        basic.authenticate(&request)
    }

    async fn outcome(outcome: AuthOutcome) -> &'static str {
        match outcome {
            AuthOutcome::Pending(wait) => {
                why(wait.await.map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated))
            }
            outcome => why(outcome),
        }
    }

    /// Starts a flood of wrong passwords that ends with the runtime.
    fn flood(
        basic: &Arc<Basic>,
        connections: usize,
        address: fn(usize) -> [u8; 4],
        name: fn(usize) -> String,
    ) {
        for index in 0..connections {
            let basic = basic.clone();
            tokio::spawn(async move {
                for attempt in 0.. {
                    let pair = format!("{}:wrong{attempt}", name(index));
                    outcome(login(&basic, address(index), &pair)).await;
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    async fn first_login_during(address: fn(usize) -> [u8; 4], name: fn(usize) -> String) -> &'static str {
        let basic = scheme(vec![User {
            name: "ann".into(),
            hash: bcrypt::hash("secret", 6).unwrap(),
            claims: Vec::new(),
        }]);
        flood(&basic, 500, address, name);
        tokio::time::sleep(Duration::from_millis(100)).await;
        outcome(login(&basic, [127, 0, 0, 1], "ann:secret")).await
    }

    #[tokio::test]
    async fn the_first_login_succeeds_during_a_flood_from_another_address() {
        let name = |_| "ann".to_owned();
        assert_eq!(first_login_during(|_| [127, 0, 0, 2], name).await, "authenticated");
    }

    #[tokio::test]
    async fn the_first_login_succeeds_during_a_flood_for_another_name_from_the_same_address() {
        assert_eq!(first_login_during(|_| [127, 0, 0, 1], |_| "eve".to_owned()).await, "authenticated");
    }

    #[tokio::test]
    async fn a_full_queue_rejects_with_retry_after() {
        let basic = basic();
        let mut waiting: Vec<_> =
            (0..400).map(|n| login(&basic, [10, 0, 0, 1], &format!("ann:wrong{n}"))).collect();
        let last = waiting.pop().unwrap();
        // Polled once each, the others fill the queue.
        for wait in &mut waiting {
            if let AuthOutcome::Pending(wait) = wait {
                let _ = futures_util::poll!(wait.as_mut());
            }
        }
        assert_eq!(outcome(last).await, "identity.busy");
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_of_one_address_are_slowed() {
        let basic = basic();
        let mut times = Vec::new();
        for n in 0..12 {
            let started = tokio::time::Instant::now();
            let pair = format!("ann:wrong{n}");
            assert_eq!(outcome(login(&basic, [10, 0, 0, 1], &pair)).await, "identity.invalid_credentials");
            times.push(started.elapsed().as_millis());
        }
        assert!(times[..5].iter().all(|ms| *ms < 50), "{times:?}");
        assert!(times[11] >= 400, "{times:?}");
        let started = tokio::time::Instant::now();
        outcome(login(&basic, [10, 0, 0, 2], "ann:wrong")).await;
        assert!(started.elapsed().as_millis() < 50, "another address is not slowed");
    }

    #[test]
    fn unusable_hashes_are_rejected() {
        for hash in ["", "secret", "$2b$04$short", "$apr1$x$y", "$argon2id$nonsense", "{SHA}abc="] {
            assert!(check_hash(hash).is_err(), "{hash}");
        }
        assert!(check_hash("$2b$31$0123456789012345678901234567890123456789012345678901").is_err());
    }
}
