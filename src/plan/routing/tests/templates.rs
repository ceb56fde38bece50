//! The tables of docs/ocelot-behavior.md, section 6.3 and 6.4.

use crate::plan::routing::{PathParams, RoutingRules, Target, Template, TemplateError};

fn compile(template: &str) -> Template {
    Template::compile(template, false, &RoutingRules::ocelot()).unwrap()
}

fn matches(template: &str, url: &str) -> bool {
    compile(template).matches(&Target::normalize(url.as_bytes(), false).unwrap()).is_ok()
}

/// The values of `url`, or `None` when it does not match.
fn values_by(rules: &RoutingRules, template: &str, url: &str) -> Option<Vec<String>> {
    let template = Template::compile(template, false, rules).unwrap();
    let target = Target::normalize(url.as_bytes(), false).unwrap();
    template.matches(&target).ok()?;
    let mut values = PathParams::new();
    template.extract(&target, &mut values);
    let read = |i| String::from_utf8(values.get(i, target.text()).unwrap().bytes.to_vec()).unwrap();
    Some((0..template.names().len()).map(read).collect())
}

#[track_caller]
fn takes(template: &str, url: &str, want: &[&str]) {
    let values = values_by(&RoutingRules::ocelot(), template, url);
    assert_eq!(
        values.as_deref(),
        Some(&want.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()[..]),
        "{template} {url}"
    );
}

#[test]
fn the_table_of_the_specification_holds() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "/products/{id}",
            &["/products/1", "/products/", "/products", "/products/1/2", "/PRODUCTS/1"],
            &["/products1"],
        ),
        ("/products/{id}/", &["/products/1", "/products/1/"], &["/products/1/2", "/products", "/products//"]),
        ("/{v}/products/{id}", &["/a/products/1/2", "/a/products"], &["/a/b/products/1", "//products/1"]),
        ("/api/v{ver}/cards", &["/api/v1/cards"], &["/api/v1/x/cards", "/api/v/cards", "/api/v1/cards/"]),
        ("/c?{everything}", &["/c", "/c?", "/c/", "/c?a=1", "/c/?a=1"], &["/c/x", "/cx", "/"]),
        (
            "/u?unitId={unitId}",
            &["/u?unitId=1&z=2", "/u/?unitId=", "/u?UNITID=1"],
            &["/u", "/u?z=2&unitId=1"],
        ),
        ("/p", &["/p", "/P", "/p?x"], &["/p/", "/", "/p/q"]),
        ("/p/", &["/p", "/p/"], &["/p//", "/", "/p/q"]),
        ("/", &["/", "/?x=1"], &["/a", "//"]),
        ("/{all}", &["/", "/a/b", "//"], &[]),
        ("/a/{x}-{y}", &["/a", "/a/-", "/a/1-2/3"], &["/a/", "/a/1"]),
        ("/a/pre{x}", &["/a/pre", "/a/pre/b"], &["/a", "/a/", "/a/pr"]),
        ("/a.b+(c)", &["/a.b+(c)"], &["/axb+(c)", "/a.bb(c)"]),
        ("/a?x={x}/", &["/a?x=1/", "/a?x=1"], &["/a"]),
        ("/a?x=/{x}", &["/a?x=", "/a?x=/1"], &["/a?x=1"]),
    ];
    for (template, yes, no) in table {
        yes.iter().for_each(|url| assert!(matches(template, url), "{template} matches {url}"));
        no.iter().for_each(|url| assert!(!matches(template, url), "{template} does not match {url}"));
    }
}

#[test]
fn literal_text_is_compared_in_normal_form() {
    assert!(matches("/é", "/%c3%a9"));
    assert!(matches("/a b", "/a%20b"));
    assert!(matches("/a%20b", "/a%20b"));
    assert!(matches("/[x]", "/%5Bx%5D"));
    assert!(matches("/%41", "/a"));
}

#[test]
fn matching_is_case_sensitive_if_the_route_is() {
    let rules = RoutingRules::default();
    let strict = |template: &str| Template::compile(template, true, &rules).unwrap();
    let target = |url: &'static str| Target::normalize(url.as_bytes(), false).unwrap();
    assert!(strict("/a/{x}").matches(&target("/A/1")).is_err());
    assert!(strict("/a/{x}").matches(&target("/a/1")).is_ok());
    assert!(strict("/{x}").is_catch_all());
    assert!(!strict("/a/{x}").is_catch_all());
}

#[test]
fn only_the_last_value_spans_segments() {
    takes("/a/{x}", "/a/1/2", &["1/2"]);
    takes("/a/{x}", "/a", &[""]);
    takes("/{x}/b/{y}", "/1/b/2/3", &["1", "2/3"]);
    takes("/api/inv_{a}/{b}-{c}_x/{d}?q={e}", "/api/inv_1/2-3-4_x/5?q=6&r=7", &["1", "2-3", "4", "5", "6"]);
    takes("/{all}", "/", &[""]);
    takes("/{all}", "/a/b", &["a/b"]);
}

#[test]
fn an_ampersand_ends_a_value_in_ocelot_only() {
    takes("/{x}/b/{y}", "/1/b/2&3", &["1", "2"]);
    let ours = values_by(&RoutingRules::default(), "/{x}/b/{y}", "/1/b/2&3").unwrap();
    assert_eq!(ours, ["1", "2&3"]);
    takes("/u?a={a}&b={b}", "/u?a=1&b=2&c=3", &["1", "2"]);
    let ours = values_by(&RoutingRules::default(), "/u?a={a}&b={b}", "/u?a=1/2&b=3/4&c=5").unwrap();
    assert_eq!(ours, ["1/2", "3/4"]);
}

#[test]
fn a_placeholder_for_the_whole_query_has_no_value() {
    takes("/c?{rest}", "/c?a=1", &[""]);
    takes("/c/{x}?{rest}", "/c/1?a=1&b=2", &["1", "a=1"]);
}

#[test]
fn a_route_that_matches_always_has_its_values() {
    takes("/v1/{id}/b/", "/v1/7/b", &["7"]);
    takes("/v1/{id}/", "/v1/7", &["7"]);
    takes("/v1/{id}/?x={x}", "/v1/7?x=1", &["7", "1"]);
    takes("/v1/{id}?x={x}", "/v1/7/?x=1", &["7", "1"]);
    takes("/{x}/b", "/a&b/b", &["a&b"]);
    takes("/a/{id}?{rest}", "/a/5", &["5", ""]);
    takes("/a/{id}?{rest}", "/a/5/", &["5", ""]);
    takes("/a/{x}-{y}", "/a", &["", ""]);
    takes("/u?a={a}&b={b}", "/u?a=1/2&b=3", &["1/2", "3"]);
}

#[test]
fn a_broken_template_is_an_error() {
    let error = |template: &str| Template::compile(template, false, &RoutingRules::default()).unwrap_err();
    assert_eq!(error("a"), TemplateError::NoSlash);
    assert_eq!(error("/a/{x"), TemplateError::Unclosed(4));
    assert_eq!(error("/a/{x{y}"), TemplateError::Name("x{y".to_owned()));
    assert_eq!(error("/{x}/{x}"), TemplateError::Twice("x".to_owned()));
}

#[test]
fn a_hostile_path_costs_no_more_than_its_length_times_the_template() {
    let path = format!("/{}", "a-".repeat(8000));
    let target = Target::normalize(path.as_bytes(), false).unwrap();
    for template in ["/{a}-{b}-{c}-{d}_x", "/{a}a{b}a{c}a{d}a{e}-_x/", "/x{a}?{b}-{c}"] {
        assert!(compile(template).matches(&target).is_err());
    }
    takes("/{a}-{b}-{c}", &path[..7], &["a-a", "a", ""]);
    assert!(values_by(&RoutingRules::ocelot(), "/{a}-{b}-{c}-{d}", &path).is_some());
}
