//! Compression: errors, inheritance and defaults.

use super::*;
use crate::base::content_coding::ContentCoding::{Brotli, Gzip, Zstd};
use crate::stages::compression::CompressionConfig;

fn compression(settings: &str, global: &str) -> Option<CompressionConfig> {
    valid(&document(&route(settings), global), false).routes.remove(0).stages.compression
}

fn options(options: &str) -> Option<CompressionConfig> {
    compression(&format!(r#""CompressionOptions": {options}"#), "{}")
}

#[test]
fn compression_is_off_by_default() {
    assert_eq!(compression("", "{}"), None);
    assert_eq!(options("{}"), None);
    assert_eq!(options(r#"{ "EnableCompression": false, "Level": "Fastest" }"#), None);
    let defaults = options(r#"{ "EnableCompression": true }"#).expect("compression");
    assert_eq!(defaults.encodings, [(Zstd, 3), (Brotli, 4), (Gzip, 5)]);
    assert!(
        defaults.min_size == 1024
            && defaults.media_types.matches(b"text/html")
            && !defaults.media_types.matches(b"image/png")
    );
}

#[test]
fn every_setting_is_compiled() {
    let some = r#"{ "Encodings": ["GZIP", "br"], "MinSize": "200B", "Level": "smallest", "BrotliLevel": 1,
        "ContentTypes": ["text/csv"] }"#;
    let some = options(some).expect("compression");
    assert_eq!((&some.encodings[..], some.min_size), (&[(Gzip, 9), (Brotli, 1)][..], 200));
    assert!(some.media_types.matches(b"text/csv") && !some.media_types.matches(b"text/html"));
    let fast = options(r#"{ "Level": "Fastest" }"#).expect("compression");
    assert_eq!(fast.encodings, [(Zstd, 1), (Brotli, 2), (Gzip, 1)]);
}

#[test]
fn routes_inherit_what_they_do_not_set() {
    let global =
        r#"{ "CompressionOptions": { "Level": "Fastest", "Encodings": ["gzip"], "RouteKeys": ["A"] } }"#;
    let own = r#""Key": "A", "CompressionOptions": { "MinSize": "1B" }"#;
    let merged = compression(own, global).expect("compression");
    assert_eq!((&merged.encodings[..], merged.min_size), (&[(Gzip, 1)][..], 1));
    assert_eq!(compression(r#""Key": "B""#, global), None);
    let off = r#""Key": "A", "CompressionOptions": { "EnableCompression": false }"#;
    assert_eq!(compression(off, global), None);
}

#[test]
fn dynamic_routes_inherit_the_global_options_and_aggregates_have_their_own() {
    let global = r#""GlobalConfiguration": { "CompressionOptions": { "Encodings": ["br"] },
        "ServiceDiscoveryProvider": { "Type": "Consul", "Port": 8500 } }"#;
    let entry = r#"{ "ServiceName": "a", "CompressionOptions": { "EnableCompression": false } }"#;
    let dynamic =
        valid(&format!("{{ \"DynamicRoutes\": [{entry}], {global} }}"), false).dynamic.expect("dynamic");
    assert_eq!(dynamic.defaults.stages.compression.as_ref().expect("compression").encodings, [(Brotli, 4)]);
    assert_eq!(dynamic.of("", "a").expect("the entry").route.stages.compression, None);
    let aggregate = |more: &str| {
        let keys = r#""UpstreamPathTemplate": "/all", "RouteKeys": ["A"]"#;
        let route = route(r#""Key": "A", "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/a""#);
        let text = format!("{{ \"Routes\": [{route}], \"Aggregates\": [{{ {keys}{more} }}], {global} }}");
        valid(&text, false).routes.pop().expect("the aggregate").stages.compression
    };
    assert_eq!(aggregate(""), None);
    let own = aggregate(r#", "CompressionOptions": { "Encodings": ["gzip"] }"#);
    assert_eq!(own.expect("compression").encodings, [(Gzip, 5)]);
}

#[test]
fn an_inherited_level_may_be_for_an_encoding_that_a_route_excludes() {
    let global = r#"{ "CompressionOptions": { "ZstdLevel": 1, "GzipLevel": 2 } }"#;
    let own = r#""CompressionOptions": { "Encodings": ["gzip"] }"#;
    assert_eq!(compression(own, global).expect("compression").encodings, [(Gzip, 2)]);
}

#[test]
fn invalid_compression_options_are_refused() {
    let always =
        |options: &str, expected: &str| always(&format!(r#""CompressionOptions": {options}"#), expected);
    always(r#"{ "Encodings": ["gzip", "deflate"] }"#, r#"MG0480 "deflate""#);
    always(r#"{ "Encodings": ["br", "BR"] }"#, r#"MG0480 "BR""#);
    always(r#"{ "Encodings": [] }"#, "MG0480 []");
    always(r#"{ "Level": "Best" }"#, r#"MG0481 "Best""#);
    always(r#"{ "GzipLevel": 10 }"#, "MG0481 10");
    always(r#"{ "BrotliLevel": 7 }"#, "MG0481 7");
    always(r#"{ "ZstdLevel": 0 }"#, "MG0481 0");
    always(r#"{ "ZstdLevel": 3, "Encodings": ["gzip"] }"#, "MG0481 3");
    always(r#"{ "ContentTypes": ["text"] }"#, r#"MG0482 "text""#);
    always(r#"{ "ContentTypes": ["text/*", "Text/*"] }"#, r#"MG0482 "Text/*""#);
    always(r#"{ "ContentTypes": ["image/png"] }"#, r#"MG0482 "image/png""#);
    always(r#"{ "ContentTypes": [] }"#, "MG0482 []");
    always(r#"{ "MinSize": "2GiB" }"#, r#"MG0483 "2GiB""#);
}
