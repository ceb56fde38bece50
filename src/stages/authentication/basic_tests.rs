use super::super::testing::{exchange, why};
use super::*;
use crate::{net::background::BackgroundRuntime, stages::authentication::state::PASSWORD_LIMITS};
use argon2::password_hash::{PasswordHasher, SaltString};

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
    let AuthOutcome::Pending(pending) = slow.authenticate(&request) else { panic!("nothing is cached yet") };
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
    name: fn(usize, usize) -> String,
) {
    for index in 0..connections {
        let basic = basic.clone();
        tokio::spawn(async move {
            for attempt in 0.. {
                let pair = format!("{}:wrong{attempt}", name(index, attempt));
                outcome(login(&basic, address(index), &pair)).await;
                tokio::task::yield_now().await;
            }
        });
    }
}

async fn first_login_during(address: fn(usize) -> [u8; 4], name: fn(usize, usize) -> String) -> &'static str {
    let basic = scheme(vec![User {
        name: "ann".into(),
        hash: bcrypt::hash("secret", 6).unwrap(),
        claims: Vec::new(),
    }]);
    flood(&basic, 500, address, name);
    // Until the address has failed a few times.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    outcome(login(&basic, [127, 0, 0, 1], "ann:secret")).await
}

#[tokio::test]
async fn the_first_login_succeeds_during_a_flood_from_another_address() {
    let name = |_, _| "ann".to_owned();
    assert_eq!(first_login_during(|_| [127, 0, 0, 2], name).await, "authenticated");
}

#[tokio::test]
async fn the_first_login_succeeds_during_a_flood_for_another_name_from_the_same_address() {
    assert_eq!(first_login_during(|_| [127, 0, 0, 1], |_, _| "eve".to_owned()).await, "authenticated");
}

#[tokio::test]
async fn the_first_login_succeeds_during_a_flood_of_unknown_names_from_the_same_address() {
    let name = |index, attempt| format!("eve{index}.{attempt}");
    assert_eq!(first_login_during(|_| [127, 0, 0, 1], name).await, "authenticated");
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
