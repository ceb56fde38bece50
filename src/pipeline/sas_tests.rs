//! Tests of shared access signatures.

use super::*;
use proptest::prelude::*;

const KEY: &str = "bWFyZ2F5LXR1bm5lbC1rZXktMDEyMzQ1Njc4OWFiY2Q=";
const NOW: u64 = 1_924_990_000;

fn key() -> SasKey {
    SasKey::parse(KEY).unwrap()
}

fn is_accepted(token: &str, path: &str) -> bool {
    SasToken::parse(token, NOW)
        .is_ok_and(|token| token.is_signed_by([&key()]) && token.covers(["hub.example"], path))
}

#[test]
fn known_signatures_are_verified_over_the_resource_as_written() {
    let upper = "SharedAccessSignature sr=hub.example%2Fdevices%2Fdev1&sig=JlBPEdn3G%2F0RNupsfQi80ISGYTWxFCW9g5IVjjoUSnM%3D&se=1924992000";
    let lower = "SharedAccessSignature se=1924992000&x=1&sr=hub.example%2fdevices%2fdev1&sig=KgzMO4bPAmjnyletx04ggxqPKDCn5hZpINP4N6DNEVY%3D";
    for token in [upper, lower] {
        assert!(is_accepted(token, "/devices/dev1") && is_accepted(token, "/devices/dev1/modules/m"));
        assert!(!is_accepted(token, "/devices/dev12") && !is_accepted(token, "/devices/dev"));
    }
    assert!(!is_accepted(&upper.replace("%2Fdevices", "%2fdevices"), "/devices/dev1"), "signed as written");
    assert!(!is_accepted(&upper.replace("1924992000", "1924992001"), "/devices/dev1"));
}

#[test]
fn the_key_of_an_agent_is_derived_from_the_key_of_its_group() {
    assert_eq!(key().derive("cam7").reveal(), "8AxhyxZEAwVO90LGzZHHg/gqHU/9xuAVmtmyaQeQ68A=");
}

#[test]
fn incomplete_repeated_and_expired_tokens_are_refused() {
    let token = sign(&key(), "hub.example/devices/dev1", NOW + 60, Some("service"));
    assert_eq!(SasToken::parse(&token, NOW).unwrap().policy.as_deref(), Some("service"));
    for field in ["sr=", "sig=", "se="] {
        let without = token.replace(field, "other=");
        assert_eq!(SasToken::parse(&without, NOW), Err(SasError::Malformed), "{field}");
        let twice = format!("{token}&{field}1");
        assert_eq!(SasToken::parse(&twice, NOW), Err(SasError::Malformed), "{field}");
    }
    assert_eq!(SasToken::parse(&token, NOW + 60 + GRACE_SECONDS + 1), Err(SasError::Expired));
    assert!(SasToken::parse(&token, NOW + 60 + GRACE_SECONDS).is_ok());
    let far = sign(&key(), "h", NOW + MAX_LIFETIME_SECONDS + 1, None);
    assert_eq!(SasToken::parse(&far, NOW), Err(SasError::Expired));
    assert_eq!(SasToken::parse("Bearer x", NOW), Err(SasError::Malformed));
}

#[test]
fn keys_have_32_to_128_bytes() {
    for (len, is_key) in [(31, false), (32, true), (128, true), (129, false)] {
        assert_eq!(SasKey::parse(&STANDARD.encode(vec![7; len])).is_some(), is_key, "{len}");
    }
    assert!(SasKey::parse("not base64!").is_none());
}

/// The signature as its specification describes it, without any of the code above.
fn naive_signature(key: &[u8], sr: &str, se: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut message = sr.as_bytes().to_vec();
    message.push(b'\n');
    message.extend_from_slice(se.as_bytes());
    STANDARD
        .encode(hmac::sign(&key, &message).as_ref())
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

proptest! {
    #[test]
    fn signing_agrees_with_a_naive_implementation(
        bytes in proptest::collection::vec(any::<u8>(), 32..129),
        host in "[a-z]{1,8}",
        id in "[A-Za-z0-9._~:@-]{1,20}",
        ahead in 0_u64..1000,
    ) {
        let key = SasKey::parse(&STANDARD.encode(&bytes)).unwrap();
        let token = sign(&key, &format!("{host}/devices/{id}"), NOW + ahead, None);
        let sr = format!("{host}%2Fdevices%2F{}", percent_encoded(&id));
        let expected = naive_signature(&bytes, &sr, &(NOW + ahead).to_string());
        let written = format!("SharedAccessSignature sr={sr}&sig={expected}&se={}", NOW + ahead);
        prop_assert_eq!(&token, &written);
        let parsed = SasToken::parse(&token, NOW).unwrap();
        let path = format!("/devices/{id}");
        prop_assert!(parsed.is_signed_by([&key]) && parsed.covers([host.as_str()], &path));
        prop_assert!(!parsed.is_signed_by([&super::tests::key()]));
    }

    #[test]
    fn arbitrary_texts_never_panic(text in ".{0,200}") {
        let _ = SasToken::parse(&text, NOW);
        let _ = SasToken::parse(&format!("SharedAccessSignature {text}"), NOW);
    }
}
