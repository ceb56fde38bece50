//! URLs of requests to backends.

use super::*;
use crate::plan::routing::Template;

/// Matches `url` with the template and builds.
fn built(from: &str, to: &str, url: &str, rules: RoutingRules) -> String {
    let template = Template::compile(from, false, &rules).unwrap();
    let target = Target::normalize(url.as_bytes(), false).unwrap();
    template.matches(&target).expect("the template matches");
    let mut values = PathParams::new();
    template.extract(&target, &mut values);
    let mut out = Vec::new();
    UrlTemplate::compile(to, template.names(), &rules).build(&values, &target, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn ocelot(from: &str, to: &str, url: &str) -> String {
    built(from, to, url, RoutingRules::ocelot())
}

#[test]
fn values_replace_their_placeholders() {
    assert_eq!(ocelot("/a/{x}/{y}", "/b/{y}/{x}/{x}", "/a/1/2/3"), "/b/2/3/1/1");
    assert_eq!(ocelot("/a/{x}", "/b/{y}", "/a/1"), "/b/%7By%7D");
    assert_eq!(ocelot("/a/{x}", "/b/{X}", "/a/1"), "/b/%7BX%7D");
    assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a/x%20y%2Fz"), "/b/x%20y%2Fz");
}

#[test]
fn a_trailing_slash_requires_a_trailing_slash_in_the_request() {
    assert_eq!(ocelot("/a/{x}", "/b/{x}/", "/a/1"), "/b/1");
    assert_eq!(ocelot("/a/{x}", "/b/{x}/", "/a/1/"), "/b/1//");
    assert_eq!(ocelot("/a", "/", "/a"), "/");
    assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a"), "/b");
    assert_eq!(ocelot("/a/{x}", "/b/{x}/?f=1", "/a"), "/b//?f=1");
    assert_eq!(ocelot("/a?x={x}", "/b/?x={x}", "/a?x=1/"), "/b/?x=1");
    assert_eq!(built("/a?x={x}", "/b/?x={x}", "/a?x=1/", RoutingRules::default()), "/b/?x=1/");
}

#[test]
fn the_query_depends_on_the_templates() {
    assert_eq!(ocelot("/a", "/b", "/a?flag&b=%2F&c=+"), "/b?flag&b=%2F&c=+");
    assert_eq!(ocelot("/a", "/b", "/a?"), "/b");
    assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a/1?flag"), "/b/1?flag=");
    assert_eq!(ocelot("/c?{all}", "/d?{all}", "/c?x=1"), "/d?x=1");
    assert_eq!(ocelot("/c?{all}", "/d?{all}", "/c"), "/d");
    assert_eq!(ocelot("/a/{x}", "/b?y={x}&v=a:b", "/a/1"), "/b?y=1&v=a:b");
    assert_eq!(ocelot("/a/{x}", "/b?y={x}&v=a:b", "/a/1?"), "/b?y=1&v=a%3Ab");
}

#[test]
fn values_cannot_climb_out_of_the_path_or_split_parameters() {
    assert_eq!(ocelot("/a?p={p}", "/b/{p}/c", "/a?p=../../admin"), "/b/admin/c");
    assert_eq!(ocelot("/a?p={p}", "/b/{p}", "/a?p=%2e%2e/x/.."), "/b");
    assert_eq!(ocelot("/a?p={p}", "/b/{p}", "/a?p=x?y%23"), "/b/x%3Fy%23");
    assert_eq!(ocelot("/{p}/a", "/b?p={p}&q=1", "/x&q=2/a"), "/b?p=x%26q=2&q=1");
    assert_eq!(ocelot("/x{p}", "/.{p}", "/x."), "/");
}

#[test]
fn the_first_segment_is_the_service_and_the_remainder_is_the_path() {
    let rest = |url: &str| {
        let target = Target::normalize(url.as_bytes(), false).unwrap();
        let (template, mut out) = (UrlTemplate::after_first_segment(&RoutingRules::default()), Vec::new());
        template.build(&PathParams::new(), &target, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    for (url, sent) in [
        ("/product/a/b?c=d&c=+", "/a/b?c=d&c=+"),
        ("/product/", "/"),
        ("/product", "/"),
        ("/product?x", "/?x"),
        ("/product/a%2Fb/", "/a%2Fb/"),
        ("/product/../stock/x", "/x"),
    ] {
        assert_eq!(rest(url), sent, "{url}");
    }
}

#[test]
fn service_fabric_paths_have_the_service_as_prefix_and_the_query_is_unchanged() {
    let rules = RoutingRules::ocelot();
    let template = Template::compile("/api/{version}/values", false, &rules).unwrap();
    let target = Target::normalize(b"/api/1.0/values?version=2&PartitionKey=+", false).unwrap();
    let mut values = PathParams::new();
    template.matches(&target).expect("the template matches");
    template.extract(&target, &mut values);
    let url = UrlTemplate::with_prefix("App_{version}/Api", "/values", template.names(), &rules);
    let mut out = Vec::new();
    url.build(&values, &target, &mut out).unwrap();
    assert_eq!(out, b"/App_1.0/Api/values?version=2&PartitionKey=+");
}

#[test]
fn an_override_takes_precedence_and_resolves_unknown_names() {
    let template = UrlTemplate::compile("/b/{x}?n={n}", &["x".into()], &RoutingRules::default());
    assert_eq!(template.unresolved_names().collect::<Vec<_>>(), ["n"]);
    let target = Target::from_normalized(b"/a/1", 4);
    let mut values = PathParams::new();
    values.push_range(3, 4);
    values.set("x", b"2 3");
    values.set("n", b"a&b+c");
    let mut out = Vec::new();
    template.build(&values, &target, &mut out).unwrap();
    assert_eq!(out, b"/b/2%203?n=a%26b%2Bc");
}

#[test]
fn an_empty_template_is_an_error() {
    let template = UrlTemplate::compile("", &[], &RoutingRules::default());
    let target = Target::from_normalized(b"/", 1);
    assert_eq!(template.build(&PathParams::new(), &target, &mut Vec::new()), Err(EmptyPath));
}
