//! The black-box cases of routing and URL building, evaluated without sockets: which route is found, and which path
//! and query are sent to its backend.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::plan::routing::{
    HeaderLookup, HeaderTemplates, PathParams, Query, RouteSpec, RouteTable, RoutingRules, Target, Template,
    UrlTemplate,
};

const FEATURES: [&str; 8] = [
    "routing",
    "routing-query",
    "routing-embedded",
    "routing-case",
    "routing-headers",
    "routing-host",
    "url-building",
    "fuzz-routing",
];

struct Gateway {
    table: RouteTable,
    urls: Vec<UrlTemplate>,
}

/// A property of a route by its name, case-insensitive.
fn property<'j>(route: &'j Json, name: &str) -> Option<&'j Json> {
    route.as_object()?.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

fn text(route: &Json, name: &str) -> Option<String> {
    property(route, name)?.as_str().map(str::to_owned)
}

fn list(config: &Json, name: &str) -> Vec<Json> {
    property(config, name).and_then(Json::as_array).cloned().unwrap_or_default()
}

impl Gateway {
    fn new(config: &Json) -> Gateway {
        let rules = RoutingRules::ocelot();
        let routes = list(config, "Routes").into_iter().map(|r| (r, false));
        let aggregates = list(config, "Aggregates").into_iter().map(|r| (r, true));
        let (mut specs, mut urls) = (Vec::new(), Vec::new());
        for (index, (route, aggregate)) in routes.chain(aggregates).enumerate() {
            let spec = spec(&route, index, aggregate, &rules);
            let names: Vec<Box<str>> =
                spec.template.names().iter().chain(spec.headers.names()).cloned().collect();
            let to = text(&route, "DownstreamPathTemplate").unwrap_or_default();
            urls.push(UrlTemplate::compile(&to, &names, &rules));
            specs.push(spec);
        }
        Gateway { table: RouteTable::new(specs, rules), urls }
    }

    fn answer(&self, request: &Json) -> Option<(usize, String)> {
        let method = request["method"].as_str().unwrap_or("GET");
        let target = Target::normalize(request["path"].as_str()?.as_bytes(), method == "OPTIONS").ok()?;
        let headers = Headers::new(&request["headers"]);
        let host = headers.join_header_lines("host").unwrap_or(b"localhost:5000"[..].into()).into_owned();
        let mut values = PathParams::new();
        let query = Query {
            method: method.as_bytes(),
            host: &host,
            target: &target,
            headers: &headers,
            listener: "",
        };
        let index = self.table.find(&query, &mut values)?;
        let mut out = Vec::new();
        let built = self.urls[index].build(&values, &target, &mut out);
        Some((index, built.map_or(String::new(), |()| String::from_utf8(out).unwrap())))
    }
}

fn spec(route: &Json, index: usize, aggregate: bool, rules: &RoutingRules) -> RouteSpec {
    let case_sensitive = property(route, "RouteIsCaseSensitive").and_then(Json::as_bool).unwrap_or_default();
    let template = text(route, "UpstreamPathTemplate").unwrap_or_default();
    let mut methods: Vec<String> =
        list(route, "UpstreamHttpMethod").iter().filter_map(Json::as_str).map(str::to_owned).collect();
    if aggregate && methods.is_empty() {
        methods.push("GET".to_owned());
    }
    let headers = property(route, "UpstreamHeaderTemplates").and_then(Json::as_object);
    let pairs: Vec<(String, String)> =
        headers.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    RouteSpec {
        index,
        template: Template::compile(&template, case_sensitive, rules).unwrap(),
        methods,
        host: text(route, "UpstreamHost"),
        headers: HeaderTemplates::compile(&pairs, case_sensitive).unwrap(),
        listeners: Vec::new(),
        priority: property(route, "Priority").and_then(Json::as_i64).unwrap_or(1),
    }
}

struct Headers(Vec<(String, String)>);

impl Headers {
    fn new(headers: &Json) -> Headers {
        let owned = |k: &str, v: &Json| (k.to_owned(), v.as_str().unwrap_or_default().to_owned());
        Headers(match headers {
            Json::Object(map) => map.iter().map(|(k, v)| owned(k, v)).collect(),
            Json::Array(pairs) => pairs.iter().map(|p| owned(p[0].as_str().unwrap(), &p[1])).collect(),
            _ => Vec::new(),
        })
    }
}

impl HeaderLookup for Headers {
    fn join_header_lines(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        let lines: Vec<&str> =
            self.0.iter().filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(",").into_bytes().into())
    }
}

/// The path as the cases compare it: decoded, except for `%2F`.
fn decoded(path: &str) -> String {
    let (bytes, mut out, mut i) = (path.as_bytes(), Vec::new(), 0);
    while i < bytes.len() {
        let hex = path.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[i], hex) {
            (b'%', Some(b'/')) => (out.extend_from_slice(b"%2F"), i += 3).1,
            (b'%', Some(byte)) => (out.push(byte), i += 3).1,
            (byte, _) => (out.push(byte), i += 1).1,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The difference between the result and the expectation of this step, if any.
fn fault(case: &Json, gateway: &Gateway, step: &Json) -> Option<String> {
    let (request, expect) = (&step["request"], &step["expect"]);
    let answer = gateway.answer(request);
    let saw = &expect["downstream_saw"];
    if saw.is_null() && expect["status"] == 404 {
        return answer.map(|(route, url)| format!("expected no route, found {route}: {url}"));
    }
    let Some((route, url)) = answer else { return Some("expected a route".to_owned()) };
    if list(&case["config"], "Routes").len() <= route {
        return None;
    }
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let differs = |name: &str, have: &str| {
        let want = saw[name].as_str()?;
        (want != have).then(|| format!("{name}: expected {want}, found {have}"))
    };
    let echo = expect["body"].as_str().filter(|b| b.starts_with("/r") && *b != url);
    echo.map(|want| format!("expected {want}, found {url}"))
        .or_else(|| differs("path", &decoded(path)))
        .or_else(|| differs("raw_path", path))
        .or_else(|| differs("query", query))
        .or_else(|| stub_fault(case, route, path, expect))
}

/// Where the case does not record the backend's request: the stub that would respond has the expected body.
fn stub_fault(case: &Json, route: usize, path: &str, expect: &Json) -> Option<String> {
    let want = expect["body"].as_str().filter(|b| !b.starts_with("/r"))?;
    let route = &list(&case["config"], "Routes")[route];
    let port = &list(route, "DownstreamHostAndPorts")[0]["Port"];
    let answers = |stub: &Json| {
        stub["port"] == *port && stub["when"]["path"].as_str().is_none_or(|p| p == decoded(path))
    };
    let stub = case["downstream"].as_array()?.iter().find(|s| answers(s))?;
    let have = stub["respond"]["body"].as_str()?;
    (have != want && !have.contains("{{")).then(|| format!("body: expected {want}, found {have}"))
}

/// Checks the steps of one file; returns the differences and counts the steps.
fn check_file(file: &str, counts: &mut BTreeMap<String, usize>) -> Vec<String> {
    let path = format!("{}/tests/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let feature = case["feature"].as_str().unwrap();
        if !FEATURES.contains(&feature) && feature != "fuzz-candidates" {
            continue;
        }
        let gateway = Gateway::new(&case["config"]);
        for step in case["steps"].as_array().unwrap().iter().filter(|s| s["request"].is_object()) {
            *counts.entry(feature.to_owned()).or_default() += 1;
            if let Some(fault) = fault(&case, &gateway, step) {
                let (id, request) = (case["id"].as_str().unwrap(), &step["request"]["path"]);
                faults.push(format!("{id} {request}: {fault}"));
            }
        }
    }
    faults
}

#[test]
fn all_recorded_and_written_cases_of_routing_pass() {
    let mut counts = BTreeMap::new();
    let mut faults = check_file("ocelot.jsonl", &mut counts);
    faults.extend(check_file("ocelot_recorded.jsonl", &mut counts));
    assert!(counts.values().sum::<usize>() > 1000, "{counts:?}");
    assert!(faults.is_empty(), "{} faults in {counts:?}:\n{}", faults.len(), faults.join("\n"));
}
