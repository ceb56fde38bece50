//! Random templates and requests against the simplest implementation of the specification: regular expressions by
//! section 6.3, and a scan over all routes by section 6.1.

use proptest::prelude::*;
use regex::Regex;

use crate::plan::routing::{
    HeaderLookup, HeaderTemplates, MatchOutcome, PathParams, Query, RouteSpec, RouteTable, RoutingRules,
    Target, Template, UrlTemplate,
};

/// Section 6.3, step by step, with the literal text escaped.
fn expression(template: &str, case_sensitive: bool) -> Regex {
    let names: Vec<&str> = template.split('{').skip(1).filter_map(|t| t.split('}').next()).collect();
    if template.starts_with("/{") && names.len() == 1 && template.ends_with('}') {
        return Regex::new("^/.*").unwrap();
    }
    const MARK: &str = r"(/$|/\?|\?|$)";
    let mut text: String = escaped(template);
    let query = template.contains('?');
    if query {
        text = text.replacen(if text.contains(r"/\?") { r"/\?" } else { r"\?" }, MARK, 1);
    }
    for name in names {
        let placeholder = format!("{{{name}}}");
        let at = text.find(&placeholder).unwrap();
        let spans = !text[at..].contains('/') || query && text.find('?').unwrap() < at;
        text = text.replace(&placeholder, if spans { ".*" } else { "[^/]+" });
    }
    if text == "/" {
        return Regex::new("^/$").unwrap();
    }
    let last = text.rfind('/').unwrap();
    if text[last + 1..].starts_with(".*") {
        text = format!("{}(?:|/{})", &text[..last], &text[last + 1..]);
    }
    if let Some(front) = text.strip_suffix('/') {
        text = format!("{front}(/|)");
    }
    Regex::new(&format!("^{}{text}$", if case_sensitive { "" } else { "(?i)" })).unwrap()
}

/// Escapes all characters except braces, one at a time.
fn escaped(template: &str) -> String {
    let one = |c: char| if "{}".contains(c) { c.to_string() } else { regex::escape(&c.to_string()) };
    template.chars().map(one).collect()
}

/// Templates over a small alphabet, so that requests often match.
fn template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        3 => "[ab]",
        1 => "[.+-]",
        3 => Just("{}".to_owned()),
    ];
    let query = prop_oneof![3 => Just(String::new()), 2 => "/?\\?(x=)?(\\{\\})?(&?y=)?(\\{\\})?[/b]?"];
    (prop::collection::vec(piece, 0..7), query).prop_map(|(pieces, query)| {
        let mut names = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"].iter();
        let text = format!("/{}{query}", pieces.concat());
        let parts: Vec<&str> = text.split("{}").collect();
        let mut made = parts[0].to_owned();
        parts[1..].iter().for_each(|p| made.push_str(&format!("{{{}}}{p}", names.next().unwrap())));
        made
    })
}

fn url() -> impl Strategy<Value = String> {
    "/[abAB/.+&-]{0,8}(\\?[xyab=&/?]{0,8})?"
}

/// A template with a URL derived from it, so that most match; the last characters are random.
pub(super) fn fitting() -> impl Strategy<Value = (String, String)> {
    let fills = prop::collection::vec("[abB&./-]{0,3}", 10);
    (template(), fills, "([/ab]|\\?[xy=&/?]{0,5})?").prop_map(|(template, fills, end)| {
        let mut url = String::new();
        for (i, part) in template.split('{').enumerate() {
            match part.split_once('}') {
                Some((_, text)) if i > 0 => url.push_str(&format!("{}{text}", fills[i])),
                _ => url.push_str(part),
            }
        }
        (template, format!("{url}{end}"))
    })
}

pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn target(url: &str) -> Target<'_> {
    Target::normalize(url.as_bytes(), false).unwrap()
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn a_template_matches_what_its_regular_expression_matches(
        (text, fit) in fitting(), urls in prop::collection::vec(url(), 8), case_sensitive: bool,
    ) {
        let template = Template::compile(&text, case_sensitive, &RoutingRules::default()).unwrap();
        let model = expression(&text, case_sensitive);
        for url in urls.iter().chain([&fit]) {
            let target = target(url);
            let subject = if template.has_query() { target.text() } else { target.path() };
            let want = model.is_match(std::str::from_utf8(subject).unwrap());
            prop_assert_eq!(template.matches(&target).is_ok(), want, "{} {} {}", text, url, model);
        }
    }

    #[test]
    fn values_are_those_of_the_extraction_expression((text, url) in fitting()) {
        let target = target(&url);
        let template = Template::compile(&text, false, &RoutingRules::ocelot()).unwrap();
        if template.matches(&target).is_err() {
            return Ok(());
        }
        let mut values = PathParams::new();
        template.extract(&target, &mut values);
        prop_assert_eq!(values.len(), template.names().len());
        if let Some(want) = second_expression(&text, &target) {
            let have: Vec<&str> = (0..values.len())
                .map(|i| std::str::from_utf8(values.get(i, target.text()).unwrap().bytes).unwrap())
                .collect();
            prop_assert_eq!(have, want, "{} {}", text, url);
        }
    }
}

/// Section 6.4; `None` when the expression does not match although the route did.
fn second_expression(template: &str, target: &Target<'_>) -> Option<Vec<String>> {
    let count = template.matches('{').count();
    if count == 1 && template.contains("?{") && template.ends_with('}') {
        return Some(vec![String::new()]);
    }
    let mut text = escaped(template);
    for index in 0..count {
        let class = if index + 1 == count { "([^&]*)" } else { "([^/|&]*)" };
        text = text.replace(&format!("{{n{index}}}"), class);
    }
    let regex = Regex::new(&format!("^(?i){text}")).unwrap();
    let subject = if template.contains('?') { target.text() } else { target.path() };
    let subject = std::str::from_utf8(subject).unwrap();
    let groups = |s: &str| -> Option<Vec<String>> {
        let captures = regex.captures(s)?;
        Some(captures.iter().skip(1).map(|m| m.unwrap().as_str().to_owned()).collect())
    };
    let open = !template.contains('?') && (template.ends_with('}') || template.ends_with("}/"));
    groups(subject).or_else(|| groups(&format!("{subject}/")).filter(|_| open))
}

/// One random route.
#[derive(Clone, Debug)]
struct RouteModel {
    template: String,
    case_sensitive: bool,
    methods: Vec<String>,
    host: Option<String>,
    header: Option<String>,
    priority: i64,
}

fn any_route() -> impl Strategy<Value = RouteModel> {
    let methods = prop::collection::vec("GET|post|M-X", 0..2);
    let host = prop::option::of("a|A|b".prop_map(String::from));
    let header = prop::option::weighted(0.2, "x|\\{header:h\\}");
    (template(), any::<bool>(), methods, host, header, -1i64..3).prop_map(
        |(template, case_sensitive, methods, host, header, priority)| RouteModel {
            template,
            case_sensitive,
            methods,
            host,
            header,
            priority,
        },
    )
}

fn spec(model: &RouteModel, index: usize, rules: &RoutingRules) -> RouteSpec {
    let pairs: Vec<(String, String)> = model.header.iter().map(|h| ("X-H".to_owned(), h.clone())).collect();
    RouteSpec {
        index,
        template: Template::compile(&model.template, model.case_sensitive, rules).unwrap(),
        methods: model.methods.clone(),
        host: model.host.clone(),
        headers: HeaderTemplates::compile(&pairs, model.case_sensitive).unwrap(),
        listeners: Vec::new(),
        priority: model.priority,
    }
}

/// Section 6.1, literally.
fn naive<H: HeaderLookup + ?Sized>(specs: &[RouteSpec], query: &Query<'_, H>) -> Option<usize> {
    let host = query.host.split(|b| *b == b':').next().unwrap();
    let any = |list: &[String]| list.is_empty();
    let mut candidates: Vec<&RouteSpec> = specs
        .iter()
        .filter(|s| {
            any(&s.methods) || s.methods.iter().any(|m| m.as_bytes().eq_ignore_ascii_case(query.method))
        })
        .filter(|s| s.host.as_ref().is_none_or(|h| h.as_bytes() == host))
        .collect();
    candidates.sort_by_key(|s| -(if s.template.is_catch_all() { 0 } else { s.priority }));
    candidates
        .retain(|s| s.template.matches(query.target).is_ok() && s.headers.matches(query.headers).is_ok());
    let own = candidates.iter().find(|s| s.host.is_some());
    own.or(candidates.first()).map(|s| s.index)
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn the_table_finds_what_a_scan_over_all_routes_finds(
        mut routes in prop::collection::vec(any_route(), 1..12),
        fits in prop::collection::vec(fitting(), 3),
        mut requests in prop::collection::vec((url(), "GET|get|POST|M-X|m-x", "a|A|b:80|c", prop::option::of("x|y")), 8),
    ) {
        for (i, (template, url)) in fits.into_iter().enumerate() {
            let at = i % routes.len();
            routes[at].template = template;
            requests[i].0 = url;
        }
        let rules = RoutingRules::ocelot();
        let specs: Vec<RouteSpec> = routes.iter().enumerate().map(|(i, r)| spec(r, i, &rules)).collect();
        let table = RouteTable::new(specs.clone(), rules);
        let shadowed = table.unreachable_routes();
        for (url, method, host, header) in &requests {
            let target = target(url);
            let pair = header.as_ref().map(|h| ("x-h", h.as_str()));
            let headers: &[(&str, &str)] = pair.as_slice();
            let query = Query { method: method.as_bytes(), host: host.as_bytes(), target: &target, headers, listener: "" };
            let found = table.find(&query, &mut PathParams::new());
            prop_assert_eq!(found, naive(&specs, &query), "{} {} {}", method, host, url);
            prop_assert!(!shadowed.iter().any(|(s, _)| Some(*s) == found), "{:?} {} {} {}", shadowed, method, host, url);
            let first = table.trace(&query, 1).into_iter().next().filter(|c| matches!(c.verdict, MatchOutcome::Matched { .. }));
            prop_assert_eq!(first.map(|c| c.index), found);
        }
    }

    #[test]
    fn building_a_url_never_panics_and_gives_a_clean_target(
        (from, fit) in fitting(), to in "/[ab./%é ?]{0,3}\\{n[01]\\}[ab./]{0,3}(\\?[ab=&+%?]{0,4}(\\{n[012]\\})?)?", ours: bool,
        query in "(\\?[xyab=&/?%.+\"]{0,8})?", path in "/[abAB/.+&é%-]{0,8}", fits in prop::bool::weighted(0.9),
    ) {
        let rules = if ours { RoutingRules::default() } else { RoutingRules::ocelot() };
        let template = Template::compile(&from, false, &rules).unwrap();
        let raw = format!("{}{query}", if fits { &fit } else { &path });
        let Ok(target) = Target::normalize(raw.as_bytes(), false) else { return Ok(()) };
        if template.matches(&target).is_err() {
            return Ok(());
        }
        let mut values = PathParams::new();
        template.extract(&target, &mut values);
        let mut out = Vec::new();
        UrlTemplate::compile(&to, template.names(), &rules).build(&values, &target, &mut out).unwrap();
        prop_assert!(out.starts_with(b"/") && out.iter().all(u8::is_ascii_graphic), "{:?}", String::from_utf8_lossy(&out));
        let path = out.split(|b| *b == b'?').next().unwrap();
        prop_assert!(!path.split(|b| *b == b'/').any(|s| s == b"." || s == b".."), "{:?}", String::from_utf8_lossy(&out));
    }
}
