//! Routes: templates, methods, backends.

use super::*;
use crate::net::tls::trust::TrustAnchors;
use crate::pipeline::stage::Stage;
use crate::plan::blueprint::*;

#[test]
fn paths_begin_with_a_slash_and_contain_neither_schemes_nor_double_slashes() {
    always(r#""UpstreamPathTemplate": "a", "DownstreamPathTemplate": "/b""#, r#"MG0302 "a""#);
    always(r#""DownstreamPathTemplate": "b""#, r#"MG0302 "b""#);
    always(r#""DownstreamPathTemplate": """#, r#"MG0301 """#);
    always(r#""DownstreamPathTemplate": "/b//c""#, r#"MG0303 "/b//c""#);
    let (ours, _) = both(r#""DownstreamPathTemplate": "http://x/y""#);
    assert_eq!(ours, [r#"MG0302 "http://x/y""#, r#"MG0303 "http://x/y""#, r#"MG0304 "http://x/y""#]);
    let text =
        document(r#"{ "DownstreamPathTemplate": "/", "DownstreamHostAndPorts": [{ "Host": "h" }] }"#, "{}");
    assert!(reported(&text, true)[0].starts_with("MG0301 {"));
}

#[test]
fn a_placeholder_occurs_once_and_has_a_value() {
    always(r#""UpstreamPathTemplate": "/{x}/{x}""#, r#"MG0305 "/{x}/{x}""#);
    always(r#""DownstreamPathTemplate": "/{x}/{x}""#, r#"MG0305 "/{x}/{x}""#);
    always(r#""UpstreamPathTemplate": "/{x""#, r#"MG0306 "/{x""#);
    lenient(r#""DownstreamPathTemplate": "/{y}""#, r#"MG0307 "/{y}""#);
    lenient(r#""DownstreamPathTemplate": "/{X}""#, r#"MG0307 "/{X}""#);
    lenient(r#""DownstreamPathTemplate": "/{x""#, r#"MG0306 "/{x""#);
    lenient(r#""DownstreamPathTemplate": "/x}""#, r#"MG0306 "/x}""#);
    quiet(
        r#""UpstreamHeaderTemplates": { "X-Kind": "v-{header:kind}" }, "DownstreamPathTemplate": "/{x}/{kind}""#,
    );
    quiet(r#""UpstreamPathTemplate": "/a?id={id}", "DownstreamPathTemplate": "/b?id={id}""#);
}

#[test]
fn equal_routes_may_not_share_a_method() {
    let two = |first: &str, second: &str| document(&format!("{}, {}", route(first), route(second)), "{}");
    let count = |first: &str, second: &str| {
        reported(&two(first, second), true).iter().filter(|line| line.starts_with("MG0308")).count()
    };
    assert_eq!(count("", ""), 1);
    assert_eq!(count(r#""UpstreamHttpMethod": ["GET"]"#, r#""UpstreamHttpMethod": ["Post", "get"]"#), 1);
    assert_eq!(count(r#""UpstreamHttpMethod": ["GET"]"#, r#""UpstreamHttpMethod": []"#), 1);
    assert_eq!(count("", r#""UpstreamHttpMethod": ["GET"]"#), 1);
    assert_eq!(count(r#""UpstreamHttpMethod": ["GET", "get"]"#, r#""UpstreamHttpMethod": ["POST"]"#), 1);
    assert_eq!(count(r#""UpstreamHttpMethod": ["GET"]"#, r#""UpstreamHttpMethod": ["POST"]"#), 0);
    assert_eq!(count("", r#""UpstreamHost": "h""#), 0);
    assert_eq!(count("", r#""UpstreamHeaderTemplates": { "a": "b" }"#), 0);
    assert_eq!(
        count(
            r#""UpstreamHeaderTemplates": { "a": "b", "c": "d" }"#,
            r#""UpstreamHeaderTemplates": { "c": "d", "a": "b" }"#
        ),
        1
    );
    assert_eq!(count("", r#""UpstreamPathTemplate": "/a/{y}", "DownstreamPathTemplate": "/{y}""#), 0);
    assert_eq!(count("", r#""UpstreamHost": """#), 0, "in Ocelot an empty host differs from a missing one");
    assert_eq!(reported(&two("", r#""UpstreamHost": """#), false).len(), 1);
}

#[test]
fn the_listeners_of_a_route_exist() {
    const DOORS: &str = r#"[{ "Name": "in", "Address": "127.0.0.1:1" }, { "Address": "127.0.0.1:02" }]"#;
    let document = |routes: &str| format!(r#"{{ "Routes": [{routes}], "Listeners": {DOORS} }}"#);
    let with = |names: &str| document(&route(&format!(r#""Listeners": {names}"#)));
    assert_eq!(reported(&with(r#"["in", "127.0.0.1:2"]"#), false), [""; 0]);
    assert_eq!(reported(&with(r#"["in", "on"]"#), false), [r#"MG0339 "on""#]);
    assert_eq!(reported(&with("[]"), false), ["MG0339 []"]);
    assert_eq!(both(r#""Listeners": ["127.0.0.1:8080"]"#).0, [""; 0]);
    let two = |first: &str, second: &str| document(&format!("{}, {}", route(first), route(second)));
    let one = r#""Listeners": ["in"]"#;
    assert_eq!(reported(&two(one, r#""Listeners": ["127.0.0.1:2"]"#), false), [""; 0]);
    assert_eq!(reported(&two(one, ""), false), [""; 0], "a route for one listener comes first");
    assert_eq!(reported(&two(one, one), false).len(), 1);
    assert_eq!(reported(&two("", one), false).len(), 1, "it never matches");
}

#[test]
fn a_route_needs_an_endpoint_with_a_host() {
    always(r#""DownstreamHostAndPorts": []"#, "MG0320 []");
    always(r#""DownstreamHostAndPorts": [{ "Port": 1 }]"#, r#"MG0321 { "Port": 1 }"#);
    always(r#""DownstreamHostAndPorts": [{ "Host": " ", "Port": 1 }]"#, r#"MG0321 " ""#);
    lenient(r#""DownstreamHostAndPorts": [{ "Host": "http://h", "Port": 1 }]"#, r#"MG0322 "http://h""#);
    lenient(r#""DownstreamHostAndPorts": [{ "Host": "h", "Port": 65536 }]"#, "MG0323 65536");
    lenient(r#""DownstreamHostAndPorts": [{ "Host": "h", "Port": -1 }]"#, "MG0323 -1");
    assert_eq!(status(r#""DownstreamHostAndPorts": [{ "Host": "h", "Port": 65536 }]"#), Some(500));
    assert_eq!(status(r#""DownstreamHostAndPorts": [{ "Host": "h", "Port": -1 }]"#), None);
    assert_eq!(status(r#""DownstreamHostAndPorts": [{ "Host": "h" }, { "Host": "a/b" }]"#), None);
    assert_eq!(status(r#""DownstreamHostAndPorts": [{ "Host": "a/b" }, { "Host": "h" }]"#), Some(500));
}

#[test]
fn without_a_port_that_of_the_scheme_is_used_and_never_that_of_the_request() {
    let hosts = r#""DownstreamHostAndPorts": [{ "Host": "[::1]" }, { "Host": "h", "Port": 0 }, { "Host": "i", "Port": "8080" }]"#;
    let ports = |scheme: &str, ocelot: bool| {
        let text = with(&format!(r#"{hosts}, "DownstreamScheme": "{scheme}""#));
        let endpoints = &valid(&text, ocelot).routes[0].cluster.endpoints;
        endpoints.iter().map(|e| e.port).collect::<Vec<_>>()
    };
    assert_eq!(ports("http", false), [Some(80), Some(80), Some(8080)]);
    assert_eq!(ports("wss", false), [Some(443), Some(443), Some(8080)]);
    assert_eq!(ports("http", true), [None, None, Some(8080)], "the port of the listener");
    let without = |port: &str| {
        format!(r#""DownstreamHostAndPorts": [{{ "Host": "h"{port} }}], "DownstreamScheme": null"#)
    };
    lenient(&without(r#", "Port": 0"#), "MG0340 0");
    lenient(&without(""), r#"MG0340 { "Host": "h" }"#);
}

#[test]
fn schemes_are_case_insensitive_and_default_to_that_of_the_request() {
    for (scheme, read) in [
        (r#""HTTP""#, Scheme::Http),
        (r#""Https""#, Scheme::Https),
        (r#""ws""#, Scheme::Http),
        (r#""WSS""#, Scheme::Https),
        (r#""""#, Scheme::SameAsClient),
        ("null", Scheme::SameAsClient),
    ] {
        let text = with(&format!(r#""DownstreamScheme": {scheme}"#));
        assert_eq!(valid(&text, false).routes[0].cluster.scheme, read);
    }
    lenient(r#""DownstreamScheme": "ftp""#, r#"MG0324 "ftp""#);
    assert_eq!(status(r#""DownstreamScheme": "ftp""#), Some(500));
}

#[test]
fn accepting_any_certificate_is_a_warning_where_tls_is_possible() {
    let any = r#""DangerousAcceptAnyServerCertificateValidator": true"#;
    quiet(any);
    for scheme in [r#""https""#, "null"] {
        let settings = format!(r#""DownstreamScheme": {scheme}, {any}"#);
        let warned = vec!["(MG0460) true".to_owned()];
        assert_eq!(both(&settings), (warned.clone(), warned));
        assert_eq!(
            valid(&with(&settings), false).routes[0].cluster.tls.trust,
            TrustAnchors::DangerousAcceptAny
        );
    }
}

#[test]
fn methods_are_tokens() {
    always(r#""UpstreamHttpMethod": ["GET", "a b"]"#, r#"MG0310 "a b""#);
    lenient(r#""DownstreamHttpMethod": "a b""#, r#"MG0327 "a b""#);
    assert_eq!(status(r#""DownstreamHttpMethod": "a b", "DownstreamScheme": "ftp""#), Some(404));
    let read = valid(
        &with(r#""UpstreamHttpMethod": ["Get", " put ", "PURGE", "get"], "DownstreamHttpMethod": "post""#),
        true,
    );
    assert_eq!(read.routes[0].matcher.methods, ["GET", "PUT", "PURGE"]);
    assert_eq!(read.routes[0].stages.method.as_ref().map(Stage::describe).as_deref(), Some("sends POST"));
    assert!(valid(&with(r#""DownstreamHttpMethod": """#), false).routes[0].stages.method.is_none());
}

#[test]
fn http_versions_have_ocelots_grammar() {
    always(r#""DownstreamHttpVersion": "10""#, r#"MG0325 "10""#);
    always(r#""DownstreamHttpVersionPolicy": "requestversionexact""#, r#"MG0326 "requestversionexact""#);
    lenient(r#""DownstreamHttpVersion": "2""#, r#"MG0325 "2""#);
    quiet(r#""DownstreamHttpVersion": "", "DownstreamHttpVersionPolicy": """#);
    quiet(r#""DownstreamHttpVersion": "2.0""#);
    always(
        r#""DownstreamHttpVersion": "3.0", "DownstreamHttpVersionPolicy": "RequestVersionExact""#,
        r#"MG0921 "3.0""#,
    );
    let read = |version: &str| {
        valid(&with(&format!(r#""DownstreamHttpVersion": {version}"#)), true).routes[0].http_version.value
    };
    assert_eq!(
        (read(r#""1.0""#), read("1.1"), read(r#""2""#)),
        (HttpVersion::Http10, HttpVersion::Http11, HttpVersion::Http11)
    );
}

#[test]
fn a_route_that_can_never_match_is_a_warning() {
    let routes = |first: &str, second: &str| document(&format!("{}, {}", route(first), route(second)), "{}");
    let below = r#""UpstreamPathTemplate": "/a/b/{x}""#;
    assert_eq!(reported(&routes("", below), false), [r#"(MG0309) "/a/b/{x}""#]);
    assert_eq!(reported(&routes(below, ""), false), [] as [&str; 0]);
    assert_eq!(reported(&routes("", ""), false), [r#"MG0308 "/a/{x}""#], "a duplicate is reported once");
    let mut loaded = load(&routes("", below), false);
    compile(&mut loaded);
    assert_eq!(loaded.diagnostics.list[0].help[0], "all its requests match /a/{x}, at gateway.json:1:40");
}
