use super::*;
use crate::config::options::{GlobalGroup, merge, merge_maps};
use crate::config::{Environment, InMemoryFiles, de};
use crate::plan::clusters::qos::ResolvedQos;
use crate::plan::document::load_texts;
use crate::plan::document::{Document, GlobalDocument, RouteDocument};

/// The global configuration and the first route of a document with these two members.
fn read(global: &str, route: &str) -> (GlobalDocument, RouteDocument) {
    let text = format!(r#"{{ "GlobalConfiguration": {global}, "Routes": [{route}] }}"#);
    let files = [("gateway.json", text.as_str())];
    let mut loaded =
        load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process());
    let root = loaded.root.as_ref().expect("valid JSON");
    let document: Document = de::read(root, &mut loaded.diagnostics, Default::default());
    assert!(loaded.diagnostics.list.is_empty(), "{:?}", loaded.diagnostics.list);
    let route = document.routes.expect("routes").value.remove(0).value;
    (document.global_configuration.expect("global").value, route)
}

fn quality(global: &str, route: &str) -> Option<ResolvedQos> {
    let (global, route) = read(global, route);
    let group = GlobalGroup::new(&global.qos);
    merge(&route.qos, group.as_ref(), route.key.as_ref().map(|key| key.as_str()))
        .map(|options| ResolvedQos::resolve(&options))
}

fn number(set: &Option<Spanned<i32>>) -> Option<i32> {
    set.as_ref().map(|set| set.value)
}

#[test]
fn a_route_without_options_inherits_the_global_ones() {
    let quality = quality(r#"{ "QoSOptions": { "Timeout": 500 } }"#, "{}").expect("options");
    assert_eq!(number(&quality.timeout), Some(500));
}

#[test]
fn properties_are_merged_one_by_one_and_the_route_takes_precedence() {
    let global = r#"{ "QoSOptions": { "Timeout": 500, "BreakDuration": 2000 } }"#;
    let quality = quality(global, r#"{ "QoSOptions": { "Timeout": 900 } }"#).expect("options");
    assert_eq!((number(&quality.timeout), number(&quality.break_duration)), (Some(900), Some(2000)));
}

#[test]
fn a_global_legacy_name_overrides_a_new_name_on_the_route() {
    let global = r#"{ "QoSOptions": { "TimeoutValue": 500 } }"#;
    let quality = quality(global, r#"{ "QoSOptions": { "Timeout": 900 } }"#).expect("options");
    assert_eq!(number(&quality.timeout), Some(500));
}

#[test]
fn a_group_applies_to_the_keys_it_lists_and_keys_are_case_sensitive() {
    let global = r#"{ "QoSOptions": { "Timeout": 500, "RouteKeys": ["A"] } }"#;
    assert!(quality(global, r#"{ "Key": "A" }"#).is_some());
    assert!(quality(global, r#"{ "Key": "a" }"#).is_none());
    assert!(quality(global, "{}").is_none());
    let own = quality(global, r#"{ "Key": "B", "QoSOptions": { "BreakDuration": 1 } }"#).expect("own");
    assert_eq!((number(&own.timeout), number(&own.break_duration)), (None, Some(1)));
}

#[test]
fn an_empty_list_of_keys_means_every_route() {
    assert!(quality(r#"{ "QoSOptions": { "Timeout": 500, "RouteKeys": [] } }"#, "{}").is_some());
}

#[test]
fn an_empty_object_on_the_route_is_absent() {
    let quality =
        quality(r#"{ "QoSOptions": { "Timeout": 500 } }"#, r#"{ "QoSOptions": {} }"#).expect("global");
    assert_eq!(number(&quality.timeout), Some(500));
}

#[test]
fn a_breaker_is_enabled_by_one_of_three_positive_values() {
    for (options, on) in [
        (r#"{ "MinimumThroughput": 0, "Timeout": 0 }"#, false),
        (r#"{ "BreakDuration": 1000, "SamplingDuration": 1000 }"#, false),
        (r#"{ "FailureRatio": 0.5 }"#, true),
        (r#"{ "ExceptionsAllowedBeforeBreaking": 0, "MinimumThroughput": 3 }"#, false),
        (r#"{ "TimeoutValue": 1 }"#, true),
    ] {
        let quality = quality("{}", &format!(r#"{{ "QoSOptions": {options} }}"#)).expect("options");
        assert_eq!(quality.is_on(), on, "{options}");
    }
}

#[test]
fn maps_are_merged_by_exact_key_and_the_route_takes_precedence() {
    let (global, route) = read(
        r#"{ "Metadata": { "a": "1", "b": "2" } }"#,
        r#"{ "Metadata": { "B": "3", "b": "4" , "c": null } }"#.replace(r#""B": "3", "#, "").as_str(),
    );
    let all: Vec<_> = merge_maps(&route.metadata, &global.metadata)
        .map(|(key, value)| (key.as_str(), value.map(|value| value.0.as_str())))
        .collect();
    assert_eq!(all, [("b", Some("4")), ("c", None), ("a", Some("1"))]);
}

#[test]
fn a_timeout_is_the_routes_then_the_global_one_then_ninety_seconds() {
    for (global, route, seconds) in [
        ("{}", "{}", 90.0),
        (r#"{ "Timeout": 4 }"#, "{}", 4.0),
        (r#"{ "Timeout": 4 }"#, r#"{ "Timeout": "2" }"#, 2.0),
        (r#"{ "Timeout": 4 }"#, r#"{ "Timeout": 0 }"#, 90.0),
        (r#"{ "Timeout": -5 }"#, "{}", 90.0),
        ("{}", r#"{ "Timeout": "250ms" }"#, 0.25),
    ] {
        let (global, route) = read(global, route);
        assert_eq!(timeout(&route.timeout, &global.timeout).0.as_secs_f64(), seconds, "{route:?}");
    }
}

#[test]
fn an_empty_request_id_key_is_absent() {
    let (global, route) = read(r#"{ "RequestIdKey": "X-Id" }"#, r#"{ "RequestIdKey": "" }"#);
    assert_eq!(
        request_id_key(&route.request_id_key, &global.request_id_key).map(|key| key.as_str()),
        Some("X-Id")
    );
}
