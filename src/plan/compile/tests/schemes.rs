//! `AuthenticationSchemes`: the diagnostics of each error, and the settings of valid schemes.

use super::{reported, route};
use crate::config::{Environment, InMemoryFiles};
use crate::plan::compile;
use crate::plan::document::load_texts;
use crate::stages::authentication::settings::{JwtSettings, KeySource, SchemeKind};
use jsonwebtoken::Algorithm;
use std::io;
use std::path::Path;
use std::time::Duration;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

fn scheme(settings: &str) -> String {
    let route = route(r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] }"#);
    format!(r#"{{ "AuthenticationSchemes": {{ "S": {{ {settings} }} }}, "Routes": [{route}] }}"#)
}

fn files(path: &Path, _: u64) -> io::Result<Vec<u8>> {
    let hash = "ab".repeat(32);
    match path.to_str() {
        Some("key.pem") => Ok(PEM.into()),
        Some("keys.json") => {
            Ok(format!(r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": "anna" }}] }}"#).into())
        }
        Some("users") => Ok(format!("ann:$2b$04${}\n", "0".repeat(53)).into()),
        Some("nonsense") => Ok("nonsense".into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// `(code, message)` of all diagnostics, and the scheme if it is valid.
fn read(settings: &str, ocelot: bool) -> (Vec<(&'static str, String)>, Option<SchemeKind>) {
    let text = scheme(settings);
    let texts =
        InMemoryFiles { files: &[("gateway.json", text.as_str())], ocelot, ..InMemoryFiles::default() };
    let mut loaded = load_texts(&texts, Environment { variable: &|_| None, read: &files });
    let blueprint = compile(&mut loaded);
    let reported = loaded.diagnostics.sorted().into_iter().map(|d| (d.code.0, d.message.clone())).collect();
    let kind = blueprint
        .and_then(|plan| Some(plan.routes[0].stages.authentication.as_ref()?.schemes[0].kind.clone()));
    (reported, kind)
}

fn jwt(settings: &str, ocelot: bool) -> JwtSettings {
    match read(&format!(r#""Type": "JwtBearer", {settings}"#), ocelot) {
        (_, Some(SchemeKind::Jwt(jwt))) => *jwt,
        (reported, _) => panic!("{settings}: {reported:?}"),
    }
}

fn codes(settings: &str) -> Vec<&'static str> {
    read(settings, false).0.into_iter().map(|(code, _)| code).collect()
}

#[test]
fn the_key_determines_the_algorithms_and_the_list_restricts_them() {
    let secret = |text: &str| format!(r#""SigningKey": "{text}""#);
    assert_eq!(jwt(&secret(SECRET), false).algorithms, [Algorithm::HS256]);
    let all = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    assert_eq!(jwt(&secret(&SECRET.repeat(2)), false).algorithms, all);
    assert_eq!(jwt(r#""PublicKeyFile": "key.pem""#, false).algorithms, [Algorithm::EdDSA]);
    let remote =
        jwt(r#""JwksUri": "https://id/keys", "Audience": "a", "Algorithms": ["ES256", "RS256"]"#, false);
    assert_eq!(remote.algorithms, [Algorithm::ES256, Algorithm::RS256]);
    for (settings, code) in [
        (r#""PublicKeyFile": "key.pem", "Algorithms": ["HS256"]"#.to_owned(), "MG0444"),
        (r#""JwksUri": "https://id/", "Audience": "a", "Algorithms": ["HS256"]"#.to_owned(), "MG0444"),
        (format!(r#"{}, "Algorithms": ["RS256"]"#, secret(SECRET)), "MG0444"),
        (format!(r#"{}, "Algorithms": ["none"]"#, secret(SECRET)), "MG0444"),
        (format!(r#"{}, "Algorithms": ["HS512"]"#, secret(SECRET)), "MG0443"),
        (secret(&SECRET[1..]), "MG0443"),
    ] {
        assert_eq!(codes(&format!(r#""Type": "JwtBearer", {settings}"#)), [code], "{settings}");
    }
}

#[test]
fn missing_settings_have_safe_defaults() {
    let ours = jwt(&format!(r#""SigningKey": "{SECRET}""#), false);
    assert_eq!((ours.clock_skew, ours.locations.header.as_str()), (Duration::from_secs(60), "Authorization"));
    assert_eq!(jwt(&format!(r#""SigningKey": "{SECRET}""#), true).clock_skew, Duration::from_secs(300));
    let KeySource::Remote(remote) =
        jwt(r#""Authority": "https://id.example/a", "Audience": "x""#, false).keys
    else {
        panic!("keys that are fetched")
    };
    assert!(
        remote.use_discovery
            && remote.refresh == Duration::from_secs(300)
            && remote.min_refresh_interval == Duration::from_secs(2)
    );
    let (reported, kind) = read(r#""Type": "apikey", "KeysFile": "keys.json""#, false);
    let Some(SchemeKind::ApiKey(keys)) = kind else { panic!("{reported:?}") };
    assert_eq!((keys.locations.header.as_str(), keys.keys.len()), ("X-Api-Key", 1));
    assert!(matches!(read(r#""Type": "Basic", "UsersFile": "users""#, false).1, Some(SchemeKind::Basic(_))));
}

#[test]
fn every_error_of_a_scheme_has_its_code() {
    for (settings, expected) in [
        ("", vec!["MG0440"]),
        (r#""Type": "Jwt""#, vec!["MG0440"]),
        (r#""Type": "JwtBearer""#, vec!["MG0441"]),
        (
            r#""Type": "JwtBearer", "SigningKey": "0123456789abcdef0123456789abcdef", "JwksFile": "x""#,
            vec!["MG0441"],
        ),
        (r#""Type": "JwtBearer", "PublicKeyFile": "gone""#, vec!["MG0442"]),
        (r#""Type": "JwtBearer", "PublicKeyFile": "nonsense""#, vec!["MG0442"]),
        (r#""Type": "JwtBearer", "JwksFile": "nonsense""#, vec!["MG0442"]),
        (r#""Type": "JwtBearer", "JwksUri": "id.example", "Audience": "a""#, vec!["MG0445"]),
        (
            r#""Type": "JwtBearer", "JwksUri": "https://id/", "Audience": "a", "CaFile": "nonsense""#,
            vec!["MG0442"],
        ),
        (r#""Type": "JwtBearer", "PublicKeyFile": "key.pem", "CaFile": "nonsense""#, vec!["MG0446"]),
        (r#""Type": "JwtBearer", "PublicKeyFile": "key.pem", "ClockSkew": "2h""#, vec!["MG0603"]),
        (r#""Type": "JwtBearer", "PublicKeyFile": "key.pem", "Header": "a b""#, vec!["MG0329"]),
        (r#""Type": "JwtBearer", "PublicKeyFile": "key.pem", "UsersFile": "users""#, vec!["MG0446"]),
        (r#""Type": "ApiKey""#, vec!["MG0441"]),
        (r#""Type": "ApiKey", "KeysFile": "nonsense", "Issuer": "x""#, vec!["MG0446", "MG0442"]),
        (r#""Type": "Basic", "UsersFile": "nonsense""#, vec!["MG0442"]),
        (r#""Type": "Basic", "UsersFile": "users", "Header": "X""#, vec!["MG0446"]),
    ] {
        let mut codes = codes(settings);
        let mut expected = expected;
        codes.sort_unstable();
        expected.sort_unstable();
        assert_eq!(codes, expected, "{settings}");
    }
}

#[test]
fn plain_http_and_any_audience_are_warnings() {
    for (settings, expected) in [
        (r#""JwksUri": "http://id.example/keys", "Audience": "a""#, vec!["MG0447"]),
        (r#""JwksUri": "http://127.0.0.1:9105/keys", "Audience": "a""#, vec![]),
        (r#""JwksUri": "https://id.example/keys""#, vec!["MG0448"]),
    ] {
        let (reported, kind) = read(&format!(r#""Type": "JwtBearer", {settings}"#), false);
        let codes: Vec<_> = reported.iter().map(|(code, _)| *code).collect();
        assert!(codes == expected && kind.is_some(), "{settings}: {reported:?}");
    }
}

#[test]
fn diagnostics_never_contain_a_secret() {
    let text = scheme(r#""Type": "JwtBearer", "SigningKey": "hunter2""#);
    assert_eq!(reported(&text, false), [r#"MG0443 "hunter2""#]);
    let (reported, _) = read(r#""Type": "JwtBearer", "SigningKey": "hunter2""#, false);
    assert!(!reported[0].1.contains("hunter2"), "{reported:?}");
}

#[test]
fn a_route_with_allow_anonymous_requires_nothing() {
    let route =
        route(r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["S"], "AllowAnonymous": true }"#);
    let text = format!(
        r#"{{ "AuthenticationSchemes": {{ "S": {{ "Type": "JwtBearer", "SigningKey": "{SECRET}" }} }}, "Routes": [{route}] }}"#
    );
    assert!(super::valid(&text, false).routes[0].stages.authentication.is_none());
}

#[test]
fn keys_and_users_may_be_written_in_the_scheme() {
    let hash = "ab".repeat(32);
    let keys = format!(
        r#""Type": "ApiKey", "Keys": [{{ "Sha256": "{hash}", "Owner": "ann", "Claims": {{ "groups": ["a", "b"] }} }}]"#
    );
    let (reported, kind) = read(&keys, false);
    let Some(SchemeKind::ApiKey(settings)) = kind else { panic!("{reported:?}") };
    let key = &settings.keys[0];
    assert_eq!((key.owner.as_str(), key.sha256[0], key.claims.len()), ("ann", 0xab, 2));
    let users =
        format!(r#""Type": "Basic", "Users": [{{ "Name": "ann", "Hash": "$2b$04${}" }}]"#, "0".repeat(53));
    assert!(matches!(read(&users, false).1, Some(SchemeKind::Basic(basic)) if basic.users[0].name == "ann"));
    for (settings, code) in [
        (r#""Type": "ApiKey", "Keys": []"#, "MG0442"),
        (r#""Type": "ApiKey", "Keys": [{ "Sha256": "x", "Owner": "a" }]"#, "MG0442"),
        (r#""Type": "ApiKey", "KeysFile": "keys.json", "Keys": []"#, "MG0441"),
        (r#""Type": "ApiKey", "KeysFile": "keys.json", "Users": []"#, "MG0446"),
        (r#""Type": "Basic", "Users": [{ "Name": "ann", "Hash": "secret" }]"#, "MG0442"),
        (r#""Type": "Basic""#, "MG0441"),
    ] {
        assert_eq!(codes(settings), [code], "{settings}");
    }
}
