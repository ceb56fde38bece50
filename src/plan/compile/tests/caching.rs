//! Response caches: errors, warnings and inheritance.

use super::*;
use crate::stages::cache::{CacheConfig, Mode, Statuses};

fn cache(settings: &str, global: &str, ocelot: bool) -> Option<CacheConfig> {
    valid(&document(&route(settings), global), ocelot).routes.remove(0).stages.cache
}

fn options(options: &str) -> Option<CacheConfig> {
    cache(&format!(r#""CacheOptions": {options}"#), "{}", false)
}

#[test]
fn a_cache_is_enabled_by_a_ttl_or_by_mode_http() {
    assert_eq!(options(r#"{ "Region": "r" }"#), None);
    assert_eq!(options(r#"{ "TtlSeconds": 0 }"#), None);
    assert_eq!(options(r#"{ "TtlSeconds": 5, "Mode": "off" }"#), None);
    let fixed = options(r#"{ "TtlSeconds": 5 }"#).expect("a cache");
    assert_eq!((fixed.mode, fixed.ttl().as_secs(), fixed.ocelot_exact), (Mode::Ocelot, 5, false));
    assert_eq!((fixed.statuses, fixed.methods.len()), (Statuses::Successful, 2));
    let http = options(r#"{ "Mode": "HTTP", "Methods": ["get", "post"], "StatusCodes": [200, 404] }"#)
        .expect("a cache");
    assert_eq!((http.mode, http.statuses), (Mode::Http, Statuses::Listed(vec![200, 404])));
    assert_eq!(http.methods, ["GET", "POST"]);
}

#[test]
fn the_legacy_name_takes_precedence_and_groups_are_merged() {
    let both = r#""FileCacheOptions": { "TtlSeconds": 2 }, "CacheOptions": { "TtlSeconds": 1 }"#;
    assert_eq!(cache(both, "{}", true).expect("a cache").ttl().as_secs(), 2);
    let global = r#"{ "CacheOptions": { "TtlSeconds": 60, "Header": "X" } }"#;
    let merged = cache(r#""CacheOptions": { "TtlSeconds": 7 }"#, global, true).expect("a cache");
    assert_eq!((merged.ttl().as_secs(), &*merged.key.headers[0]), (7, "X"));
    assert_eq!(cache(r#""CacheOptions": { "TtlSeconds": 0 }"#, global, true), None);
    let other = r#"{ "CacheOptions": { "TtlSeconds": 60, "RouteKeys": ["B"] } }"#;
    assert_eq!(cache(r#""Key": "A""#, other, true), None);
}

#[test]
fn ocelots_cache_shares_every_response_with_all_callers() {
    let exact = cache(r#""CacheOptions": { "TtlSeconds": 5 }"#, "{}", true).expect("a cache");
    assert!(exact.ocelot_exact && exact.methods.is_empty() && exact.cookies && !exact.coalesce);
    assert!(!exact.key.identity && exact.key.ocelot_literal && exact.statuses == Statuses::All);
}

#[test]
fn invalid_cache_options_are_refused() {
    let always = |options: &str, expected: &str| always(&format!(r#""CacheOptions": {options}"#), expected);
    always(r#"{ "Mode": "Htp" }"#, r#"MG0470 "Htp""#);
    always(r#"{ "Mode": "Http", "EnableContentHashing": true }"#, "MG0471 true");
    always(r#"{ "TtlSeconds": 1, "StaleIfError": "1s" }"#, r#"MG0471 "1s""#);
    always(r#"{ "Mode": "Http", "Methods": ["PUT"] }"#, r#"MG0472 "PUT""#);
    always(r#"{ "Mode": "Http", "StatusCodes": [206] }"#, "MG0473 206");
    always(r#"{ "Mode": "Http", "VaryByHeader": ["a b"] }"#, r#"MG0475 "a b""#);
    always(r#"{ "Mode": "Http", "NegativeTtl": "366d" }"#, r#"MG0477 "366d""#);
    assert_eq!(
        both(r#""CacheOptions": { "Mode": "Http", "VaryByClaim": ["sub"] }"#).0,
        [r#"(MG0422) ["sub"]"#]
    );
}

#[test]
fn sharing_between_authenticated_callers_is_a_warning_under_ocelot() {
    let guarded = |options: &str| {
        let route = route(&format!(
            r#""AuthenticationOptions": {{ "AuthenticationProviderKeys": ["k"] }}, "CacheOptions": {options}"#
        ));
        format!(
            r#"{{ "AuthenticationSchemes": {{ "k": {{ "Type": "ApiKey", "Keys": [{{ "Key": "0123456789abcdef0123456789abcdef", "Owner": "o" }}] }} }},
                "Routes": [{route}] }}"#
        )
    };
    let codes = |options: &str, ocelot| -> Vec<String> {
        reported(&guarded(options), ocelot).into_iter().filter(|line| line.contains("MG0474")).collect()
    };
    assert_eq!(codes(r#"{ "TtlSeconds": 9 }"#, true), ["(MG0474) 9"]);
    for options in [
        r#"{ "TtlSeconds": 9, "Header": "authorization" }"#,
        r#"{ "TtlSeconds": 9, "VaryByIdentity": true }"#,
        r#"{ "TtlSeconds": 9, "VaryByIdentity": false }"#,
    ] {
        assert_eq!(codes(options, true), [] as [&str; 0], "{options}");
    }
    assert_eq!(codes(r#"{ "TtlSeconds": 9 }"#, false), [] as [&str; 0]);
}

#[test]
fn regions_fit_into_the_total_memory() {
    let memory = |cache: &str| {
        let text = format!(r#"{{ "Routes": [{}], "Cache": {cache} }}"#, route(""));
        let codes: Vec<String> =
            reported(&text, false).into_iter().map(|line| line[..6].to_owned()).collect();
        (codes.is_empty().then(|| valid(&text, false).cache), codes)
    };
    let (fits, _) = memory(r#"{ "MaxSize": "64MiB", "Regions": { "a": { "MaxSize": "16MiB" } } }"#);
    let fits = fits.expect("sound");
    assert_eq!((fits.region_memory("a"), fits.region_memory("b")), (("a", 16 << 20), ("", 48 << 20)));
    assert_eq!(fits.max_object_size, 4 << 20);
    for cache in [
        r#"{ "MaxSize": "1KiB" }"#,
        r#"{ "MaxSize": "16MiB", "Regions": { "a": { "MaxSize": "16MiB" } } }"#,
        r#"{ "Regions": { "a": {} } }"#,
        r#"{ "MaxSize": "16MiB", "MaxObjectSize": "8MiB" }"#,
    ] {
        assert_eq!(memory(cache).1, ["MG0476"], "{cache}");
    }
}

#[test]
fn cache_keys_outlive_unrelated_changes() {
    let space = |settings: &str| cache(settings, "{}", false).expect("a cache").fingerprint();
    let one = space(r#""CacheOptions": { "Mode": "Http" }"#);
    let moved = space(
        r#""Priority": 5, "DownstreamHostAndPorts": [{ "Host": "other", "Port": 81 }], "CacheOptions": { "Mode": "Http" }"#,
    );
    assert_eq!(one, moved);
    assert_ne!(one, space(r#""CacheOptions": { "Mode": "Http", "VaryByHeader": ["X"] }"#));
    assert_ne!(one, space(r#""DownstreamPathTemplate": "/c/{x}", "CacheOptions": { "Mode": "Http" }"#));
}
