//! ID tokens and logout tokens before their signature is known: none is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::stages::authentication::{
    keys::KeySet,
    session::id_token::{ExpectedToken, verify_id_token, verify_logout_token},
};

fuzz_target!(|text: &str| {
    let set = KeySet::new(&[], Some("https://id.example".to_owned()), 1);
    let expected = ExpectedToken { client_id: "app", now: 1_000_000.0, skew: 60.0 };
    assert!(verify_logout_token(text, &set, expected).is_err());
    assert!(verify_id_token(text, &set, expected, Some("nonce")).is_err());
});
