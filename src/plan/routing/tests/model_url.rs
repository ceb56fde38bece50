//! The URL of the request to the backend against the simplest implementation of section 7: whole strings, replaced
//! and split.

use proptest::prelude::*;

use super::model::{config, fitting};
use crate::plan::routing::{PathParams, RoutingRules, Target, Template, UrlTemplate};

/// Parameters under the first spelling of their name, with all their values.
type Parameters = Vec<(String, Vec<String>)>;

/// `+` and `%XX` decoded.
fn plain(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.first() {
        let hex = rest.get(1..3).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        let (byte, width) = if *byte == b'%' { hex.map_or((b'%', 1), |b| (b, 3)) } else { (*byte, 1) };
        bytes.push(byte);
        rest = &rest[width..];
    }
    String::from_utf8(bytes).unwrap()
}

/// Encoded as by .NET's `UrlEncoder.Default`.
fn encoded(text: &str) -> String {
    let one = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"!$()*,-.;@_~".contains(&b) => (b as char).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Parses a query; `bare` determines whether a name without `=` is kept.
fn parameters(query: &str, bare: bool) -> Parameters {
    let mut all: Parameters = Vec::new();
    for part in query.strip_prefix('?').unwrap_or(query).split('&').filter(|p| !p.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (plain(name), plain(value)),
            None if bare => (plain(part), String::new()),
            None => continue,
        };
        match all.iter_mut().find(|(n, _)| n.to_uppercase() == name.to_uppercase()) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all
}

fn written(parameters: impl Iterator<Item = (String, String)>) -> String {
    parameters.map(|(n, v)| format!("{}={}", encoded(&n), encoded(&v))).collect::<Vec<_>>().join("&")
}

fn rebuilt(query: &str, names: &[&str]) -> String {
    let mut all = parameters(query, true);
    all.retain(|(n, _)| !names.iter().any(|p| p.to_uppercase() == n.to_uppercase()));
    written(all.into_iter().flat_map(|(n, values)| values.into_iter().map(move |v| (n.clone(), v))))
}

fn merged(query: &str, own: &str, names: &[&str]) -> String {
    let joined = |(n, values): (String, Vec<String>)| (n, values.join(","));
    let blank = |n: &str| n.trim().is_empty();
    let mut all: Vec<(String, String)> = parameters(own, false).into_iter().map(joined).collect();
    all.retain(|(n, _)| !blank(n));
    for (n, v) in parameters(query, false).into_iter().map(joined) {
        if !names.contains(&n.as_str()) && !blank(&n) && !all.iter().any(|(have, _)| *have == n) {
            all.push((n, v));
        }
    }
    written(all.into_iter())
}

/// Section 7, points 1, 2, 4 and 6.
fn model(to: &str, values: &[(&str, String)], path: &str, query: &str) -> String {
    let names: Vec<&str> = values.iter().map(|(n, _)| *n).collect();
    let mut url = to.to_owned();
    for (name, value) in values {
        url = url.replace(&format!("{{{name}}}"), value);
    }
    if url.ends_with('/') && !path.ends_with('/') {
        url = url.trim_end_matches('/').to_owned();
    }
    let (url, query) = match url.split_once('?') {
        Some((url, own)) if query.is_empty() => (url.to_owned(), own.to_owned()),
        Some((url, own)) => (url.to_owned(), merged(query, own, &names)),
        None if names.is_empty() || query.is_empty() => {
            (url, query.strip_prefix('?').unwrap_or_default().to_owned())
        }
        None => (url, rebuilt(query, &names)),
    };
    let url = if url.is_empty() { "/" } else { &url };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{url}{mark}{query}").replace('{', "%7B").replace('}', "%7D")
}

/// Downstream templates: placeholders in path and query, some unknown, literal parameters.
fn backend_template() -> impl Strategy<Value = String> {
    let path = "/[abr/]{0,3}(\\{n[0-3]\\})?[a/-]{0,2}(\\{n[0-3]\\})?/?".prop_map(|p| p.replace("//", "/"));
    let query = "(\\?([axn]=)?(\\{n[0-3]\\})?(&b=[a:+/]{0,2}(\\{n[0-3]\\})?)?(&n0=1)?)?";
    (path, query).prop_map(|(path, query)| format!("{path}{query}"))
}

/// Queries whose names are placeholders, in other cases, repeated, bare, empty, encoded.
fn incoming_query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("a"),
        Just("A"),
        Just("b"),
        Just("n0"),
        Just("N1"),
        Just(""),
        Just("%C3%A9"),
        Just("%20")
    ];
    let value =
        prop_oneof![Just(""), Just("="), Just("=1"), Just("=a+b"), Just("=%26"), Just("=/:'"), Just("==")];
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        let parts: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}{v}")).collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    })
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn a_url_equals_that_of_the_simple_model((from, fit) in fitting(), to in backend_template(), query in incoming_query()) {
        let url = match fit.split_once('?') {
            Some(_) => fit.clone(),
            None => format!("{fit}{query}"),
        };
        let rules = RoutingRules::ocelot();
        let template = Template::compile(&from, false, &rules).unwrap();
        let target = Target::normalize(url.as_bytes(), false).unwrap();
        if template.matches(&target).is_err() {
            return Ok(());
        }
        let mut taken = PathParams::new();
        template.extract(&target, &mut taken);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let names = template.names().iter().map(|n| &**n);
        let values: Vec<(&str, String)> =
            names.enumerate().map(|(i, n)| (n, text(taken.get(i, target.text()).unwrap().bytes))).collect();
        // Deliberate differences are documented.
        if values.iter().any(|(_, v)| v.contains(['?', '&', '.'])) || to.contains("//") {
            return Ok(());
        }
        let mut out = Vec::new();
        UrlTemplate::compile(&to, template.names(), &rules).build(&taken, &target, &mut out).unwrap();
        let want = model(&to, &values, &text(target.path()), &text(target.query()));
        prop_assert_eq!(text(&out), want, "{} -> {} {}", from, to, url);
    }
}
