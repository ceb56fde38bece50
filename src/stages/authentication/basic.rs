//! `Basic`: name and password (RFC 7617). Hashes of passwords are slow on purpose, so they are checked beside the
//! workers, a few at a time, and what was good is remembered.

use super::{
    AuthOutcome,
    credential_location::Credential,
    settings::{BasicSettings, CredentialLocations, User},
};
use crate::{
    net::background::BackgroundRuntime,
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
use tokio::sync::{Semaphore, oneshot};

/// Good pairs that one scheme remembers.
const CACHE_TTL: u64 = 10_000;
/// Hashes that are checked at one time, and requests that wait for one.
const MAX_PARALLEL_HASHES: usize = 2;
const MAX_QUEUED: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The scheme at work.
#[derive(Debug)]
pub struct Basic {
    places: CredentialLocations,
    scheme: Arc<str>,
    users: HashMap<String, User>,
    /// Its hash is checked for names that nobody has, so that the time does not tell.
    dummy_hash: Option<User>,
    /// By a hash of the whole pair that only this process can make: no password is kept.
    verified_cache: Cache<[u8; 32], Arc<Identity>>,
    salt: [u64; 4],
    hash_permits: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    background: BackgroundRuntime,
}

impl Basic {
    pub fn new(name: &str, settings: BasicSettings, background: BackgroundRuntime) -> Basic {
        let dummy_hash = settings.users.first().cloned();
        let random = RandomState::new();
        Basic {
            places: CredentialLocations { header: "Authorization".into(), query: None, cookie: None },
            scheme: name.into(),
            users: settings.users.into_iter().map(|user| (user.name.clone(), user)).collect(),
            dummy_hash,
            verified_cache: Cache::builder()
                .max_capacity(CACHE_TTL)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            salt: [1, 2, 3, 4].map(|n: u64| random.hash_one(n)),
            hash_permits: Arc::new(Semaphore::new(MAX_PARALLEL_HASHES)),
            queued: Arc::new(Semaphore::new(MAX_QUEUED)),
            background,
        }
    }

    /// Judges the pair of a request.
    pub fn authenticate(self: &Arc<Self>, exchange: &Exchange) -> AuthOutcome {
        let pair = match self.places.find(exchange, "Basic") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return AuthOutcome::Rejected(GatewayError::new(
                    ErrorCode::IdentityMalformed,
                    "the header of the password is there twice",
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
                "name and password cannot be read",
            ));
        };
        if exchange.is_dry_run {
            return self
                .verify(&name, &password)
                .map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated);
        }
        AuthOutcome::Pending(Box::pin(self.clone().verify_in_background(key, name, password)))
    }

    fn key(&self, pair: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        self.salt.iter().for_each(|part| hasher.update(part.to_le_bytes()));
        hasher.update(pair);
        hasher.finalize().into()
    }

    /// Checks beside the workers, unless too many wait for that already.
    async fn verify_in_background(
        self: Arc<Self>,
        key: [u8; 32],
        name: String,
        password: Vec<u8>,
    ) -> Result<Arc<Identity>, GatewayError> {
        let Ok(waits) = self.queued.clone().try_acquire_owned() else { return Err(too_many_checks()) };
        let (tell, told) = oneshot::channel();
        let basic = self.clone();
        self.background.spawn(async move {
            let _waits = waits;
            let Ok(_slot) = basic.hash_permits.clone().acquire_owned().await else { return };
            let checked =
                tokio::task::spawn_blocking(move || basic.verify_unless_cached(key, &name, &password)).await;
            let _ = tell.send(checked.unwrap_or_else(|_| Err(too_many_checks())));
        });
        told.await.unwrap_or_else(|_| Err(too_many_checks()))
    }

    /// Somebody with the same pair may have been before in the queue.
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
        let found = self.users.get(name);
        let good = found.or(self.dummy_hash.as_ref()).is_some_and(|user| verify_hash(&user.hash, password));
        match found.filter(|_| good) {
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
    GatewayError::new(ErrorCode::IdentityBusy, "too many passwords are being checked")
        .with_details(|more| more.headers.push(("Retry-After".into(), "1".to_owned())))
}

fn decode(pair: &[u8]) -> Option<(String, Vec<u8>)> {
    let pair = BASE64.decode(pair).ok()?;
    let colon = pair.iter().position(|b| *b == b':')?;
    let name = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some((name, pair[colon + 1..].to_vec()))
}

/// Whether the hash is that of the password.
fn verify_hash(hash: &str, password: &[u8]) -> bool {
    match hash.starts_with("$argon2") {
        true => PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        false => bcrypt::verify(password, hash).unwrap_or(false),
    }
}

/// Says what is wrong with a hash that cannot be used, before anybody has to wait for it.
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
    use argon2::password_hash::{PasswordHasher, SaltString};
    use std::time::Instant;

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
        let background = BackgroundRuntime::default();
        background.attach(tokio::runtime::Handle::current());
        Arc::new(Basic::new("staff", BasicSettings { users }, background))
    }

    async fn judged(basic: &Arc<Basic>, pair: &str) -> AuthOutcome {
        let line = format!("Basic {}", BASE64.encode(pair));
        match basic.authenticate(&exchange("/", &[("Authorization", &line)])) {
            AuthOutcome::Pending(later) => {
                later.await.map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated)
            }
            judged => judged,
        }
    }

    #[tokio::test]
    async fn both_kinds_of_hashes_are_understood_and_remembered() {
        let basic = basic();
        for (pair, name) in [("ann:secret", "ann"), ("ben:open:sesame", "ben")] {
            let AuthOutcome::Authenticated(user) = judged(&basic, pair).await else {
                panic!("{pair} is refused")
            };
            assert_eq!((user.claim_value("sub"), user.claim_value("role")), (Some(name), Some("r")));
            let line = format!("Basic {}", BASE64.encode(pair));
            let again = basic.authenticate(&exchange("/", &[("Authorization", &line)]));
            assert!(matches!(again, AuthOutcome::Authenticated(_)), "the second time needs no waiting");
        }
    }

    #[tokio::test]
    async fn a_wrong_password_and_an_unknown_name_look_the_same() {
        let basic = basic();
        assert_eq!(why(judged(&basic, "ann:Secret").await), "identity.invalid_credentials");
        assert_eq!(why(judged(&basic, "eve:secret").await), "identity.invalid_credentials");
        assert_eq!(why(judged(&basic, "ann").await), "identity.malformed");
        let odd = exchange("/", &[("Authorization", "Basic ???")]);
        assert_eq!(why(basic.authenticate(&odd)), "identity.malformed");
    }

    #[tokio::test]
    async fn the_hot_thread_never_checks_a_hash() {
        let basic = basic();
        let slow = User { name: "old".into(), hash: bcrypt::hash("x", 10).unwrap(), claims: Vec::new() };
        let settings = BasicSettings { users: vec![slow] };
        let slow = Arc::new(Basic::new("slow", settings, basic.background.clone()));
        let line = format!("Basic {}", BASE64.encode("old:x"));
        let x = exchange("/", &[("Authorization", &line)]);
        let began = Instant::now();
        let AuthOutcome::Pending(later) = slow.authenticate(&x) else { panic!("nothing is remembered yet") };
        let asked = began.elapsed();
        assert!(later.await.is_ok());
        assert!(asked * 4 < began.elapsed(), "{asked:?} of {:?} on the hot thread", began.elapsed());
    }

    #[tokio::test]
    async fn when_too_many_wait_the_next_is_told_to_come_again() {
        let basic = basic();
        let _all = basic.queued.clone().acquire_many_owned(MAX_QUEUED as u32).await.unwrap();
        assert_eq!(why(judged(&basic, "ann:secret").await), "identity.busy");
    }

    #[test]
    fn a_hash_that_cannot_be_used_is_told_at_once() {
        for hash in ["", "secret", "$2b$04$short", "$apr1$x$y", "$argon2id$nonsense", "{SHA}abc="] {
            assert!(check_hash(hash).is_err(), "{hash}");
        }
        assert!(check_hash("$2b$31$0123456789012345678901234567890123456789012345678901").is_err());
    }
}
