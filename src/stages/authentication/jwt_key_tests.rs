//! Tokens without `kid`, several issuers, and the budget of a worker.

use super::*;

/// Eight RSA keys and the last one's private key.
fn rsa_keys() -> (Vec<KeyData>, &'static EncodingKey) {
    let ours = KeyData::pem(RSA.public.as_bytes()).unwrap().remove(0);
    let mut keys: Vec<KeyData> = (1..8)
        .map(|n| KeyData {
            kid: Some(format!("other-{n}")),
            material: crate::stages::authentication::keys::Material::Rsa {
                n: vec![0xff - n; 256],
                e: vec![1, 0, 1],
            },
            algorithm: None,
        })
        .collect();
    keys.push(KeyData { kid: Some("ours".into()), ..ours });
    (keys, &RSA.private)
}

#[test]
fn a_token_without_kid_is_tried_with_three_keys_at_most() {
    let (keys, private) = rsa_keys();
    let scene = Scene::of(settings(&[Algorithm::RS256]), &keys);
    let token = |header: Value| signed(&header, &scene.claims().to_string(), private, Algorithm::RS256);
    assert_eq!(scene.why(&token(json!({ "alg": "RS256" }))), "identity.key");
    assert_eq!(scene.why(&token(json!({ "alg": "RS256", "kid": "ours" }))), "authenticated");
    let all = JwtSettings { max_keys_tried: 8, ..settings(&[Algorithm::RS256]) };
    let scene = Scene::of(all, &keys);
    let token = signed(&json!({ "alg": "RS256" }), &scene.claims().to_string(), private, Algorithm::RS256);
    assert_eq!(scene.why(&token), "authenticated");
}

#[test]
fn signatures_beyond_the_budget_of_a_tick_leave_the_worker() {
    let (mut keys, private) = rsa_keys();
    let keys = [keys.pop().unwrap()];
    let scene = Scene::of(settings(&[Algorithm::RS256]), &keys);
    let outcome = |n: u32| {
        let claims = json!({ "iss": "https://issuer", "aud": "api", "exp": 4_000_000_000u64, "jti": n });
        let token = signed(&json!({ "alg": "RS256" }), &claims.to_string(), private, Algorithm::RS256);
        format!("Bearer {token}x")
    };
    let tokens: Vec<String> = (0..100).map(outcome).collect();
    let results: Vec<&str> = tokens
        .iter()
        .map(|token| why(scene.jwt.authenticate(&exchange("/", &[("Authorization", token)]), None)))
        .collect();
    let on_worker = results.iter().filter(|result| **result == "identity.signature").count();
    assert_eq!(results[0], "identity.signature");
    assert!(on_worker < 100 && results.contains(&"pending"), "{on_worker} of 100 on the worker");
}

#[test]
fn tokens_of_several_issuers_and_of_issuer_patterns_are_accepted() {
    let issuers =
        ["https://one", "https://login/{tenantid}/v2.0"].map(|text| IssuerPattern::parse(text).unwrap());
    let several = JwtSettings { issuers: issuers.into(), ..settings(&[Algorithm::HS256]) };
    let scene = Scene::of(several, &[KeyData::secret(SECRET).unwrap()]);
    for (claims, wanted) in [
        (json!({ "iss": "https://one" }), "authenticated"),
        (json!({ "iss": "https://login/t1/v2.0", "tid": "t1" }), "authenticated"),
        (json!({ "iss": "https://login/t1/v2.0", "tid": "t2" }), "identity.issuer"),
        (json!({ "iss": "https://login/t1/v2.0" }), "identity.issuer"),
        (json!({ "iss": "https://two" }), "identity.issuer"),
    ] {
        assert_eq!(scene.why_changed(json!({}), claims.clone()), wanted, "{claims}");
    }
}

#[test]
fn weak_and_invalid_keys_are_rejected() {
    assert!(KeyData::secret(&SECRET[1..]).is_err());
    for (pem, says) in [
        ("nonsense", "not PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "unsupported key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", "has no -----END-----"),
    ] {
        let error = KeyData::pem(pem.as_bytes()).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let two = format!("{}\n{}", RSA.public, EC.public);
    assert_eq!(KeyData::pem(two.as_bytes()).unwrap().len(), 2);
    let short = URL_SAFE_NO_PAD.encode([255; 128]);
    for key in [
        json!({ "kty": "RSA", "n": short, "e": "AQAB" }),
        json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ" }),
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([1; 32]) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AQ" }),
        json!({ "kty": "AKP" }),
        json!({ "kty": "RSA", "use": "enc" }),
        json!(7),
    ] {
        let (good, bad) = KeyData::set(json!({ "keys": [key] }).to_string().as_bytes(), false).unwrap();
        assert_eq!((good.len(), bad.len()), (0, 1), "{key}");
    }
}
