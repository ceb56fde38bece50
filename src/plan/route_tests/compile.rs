//! Checks the section `Tests`.

use super::{Expectation, ExpectedHeader, RouteTest};
use crate::base::bytes::is_token;
use crate::config::values::{Setting, StringList, items};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::pipeline::error::ErrorCode;
use crate::plan::blueprint::{Listener, RouteBlueprint};
use crate::plan::document::{Document, ExpectDocument, ExpectedRequestDocument, TestDocument};
use crate::plan::explain::parse_request;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// Maximum number of names in the help of a diagnostic.
const MAX_LISTED_NAMES: usize = 8;

/// Compiles the tests; `is_dynamic`: routes of discovered services have names that are not in the document.
pub fn compile(
    document: &Document,
    routes: &[RouteBlueprint],
    listeners: &[Listener],
    is_dynamic: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<RouteTest> {
    let tests = items(&document.tests);
    if tests.is_empty() {
        return Vec::new();
    }
    let clusters = document.clusters.iter().flat_map(|clusters| clusters.iter());
    let mut compiler = TestCompiler {
        routes: routes.iter().map(|route| route.name.as_str()).collect(),
        clusters: clusters.map(|(name, _)| name.as_str()).collect(),
        listeners: listeners.iter().map(|listener| &*listener.name).collect(),
        is_dynamic,
        diagnostics,
    };
    tests.iter().map(|test| compiler.test(test)).collect()
}

struct TestCompiler<'c> {
    routes: HashSet<&'c str>,
    clusters: Vec<&'c str>,
    listeners: Vec<&'c str>,
    is_dynamic: bool,
    diagnostics: &'c mut Diagnostics,
}

impl TestCompiler<'_> {
    fn test(&mut self, test: &Spanned<TestDocument>) -> RouteTest {
        let written = test.request.as_ref().map_or("", |request| request.trim());
        let (method, url) = written.split_once(char::is_whitespace).unwrap_or(("", ""));
        let (method, url) = (method.to_owned(), url.trim().to_owned());
        let headers = self.request_headers(&test.headers);
        let from = self.from(&test.from);
        let listener = test.listener.as_ref().map(|name| {
            self.check_name("Listener", name, &self.listeners.clone(), codes::TEST_REQUEST);
            name.value.clone()
        });
        self.check_request(test, &method, &url);
        RouteTest {
            name: test.name.as_ref().map_or_else(|| written.to_owned(), |name| name.value.clone()),
            span: test.span,
            method,
            url,
            headers,
            from,
            listener,
            expected: self.expectation(test),
        }
    }

    fn check_request(&mut self, test: &Spanned<TestDocument>, method: &str, url: &str) {
        let span = test.request.as_ref().map_or(test.span, |request| request.span);
        let problem = match (is_token(method.as_bytes()), url.is_empty()) {
            (true, false) => parse_request(method, url, &[]).err(),
            _ => Some("expected a method and a URL or path".to_owned()),
        };
        if let Some(problem) = problem {
            self.diagnostics
                .error(codes::TEST_REQUEST, span, format!("invalid Request of a test: {problem}"))
                .help("write a method and a URL or path, such as \"GET /orders/7\"");
        }
    }

    fn request_headers(&mut self, headers: &StringList) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (name, value) in headers.iter().flat_map(|map| map.iter()) {
            self.check_header(name, value.as_ref());
            all.extend(value.as_ref().map(|value| (name.value.clone(), value.value.clone())));
        }
        all
    }

    fn from(&mut self, from: &Setting<String>) -> IpAddr {
        let Some(from) = from else { return IpAddr::V4(Ipv4Addr::LOCALHOST) };
        from.trim().parse().unwrap_or_else(|_| {
            self.diagnostics
                .error(
                    codes::TEST_REQUEST,
                    from.span,
                    format!("invalid From \"{}\": must be an IP address", from.value),
                )
                .help("write an address such as 10.0.0.9 or 2001:db8::1");
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        })
    }

    fn expectation(&mut self, test: &Spanned<TestDocument>) -> Expectation {
        let nothing = ExpectDocument::default();
        let (expect, span) = match &test.expect {
            Some(expect) => (&*expect.value, expect.span),
            None => (&nothing, test.span),
        };
        self.check_names(expect);
        let no_request = ExpectedRequestDocument::default();
        let backend = expect.backend.as_ref().map_or(&no_request, |backend| &backend.value);
        let text = |setting: &Setting<String>| setting.as_ref().map(|text| text.value.clone());
        let expected = Expectation {
            route: text(&expect.route),
            status: self.status(&expect.status),
            code: text(&expect.code),
            headers: self.expected_headers(&expect.headers),
            cluster: text(&expect.cluster),
            backend_method: text(&backend.method),
            backend_path: text(&backend.path),
            backend_headers: self.expected_headers(&backend.headers),
        };
        self.check_expectation(&expected, expect.backend.is_some(), span);
        expected
    }

    fn check_expectation(&mut self, expected: &Expectation, has_backend: bool, span: Span) {
        let of_response =
            expected.status.is_some() || expected.code.is_some() || !expected.headers.is_empty();
        let of_backend = expected.cluster.is_some() || has_backend;
        if of_response && of_backend {
            self.diagnostics
                .error(codes::TEST_EXPECTATION, span, "a test cannot expect both a response of the gateway and a request to a backend")
                .help("remove Status, Code and Headers, or Cluster and Downstream; headers of the request to the backend are in Downstream.Headers");
        } else if *expected == Expectation::default() && !has_backend {
            self.diagnostics
                .error(codes::TEST_EXPECTATION, span, "a test without an expectation")
                .help("set Expect.Route, Status, Code, Headers, Cluster or Downstream");
        }
    }

    fn check_names(&mut self, expect: &ExpectDocument) {
        if let Some(route) = expect.route.as_ref().filter(|_| !self.is_dynamic)
            && !self.routes.contains(route.value.as_str())
        {
            let known: Vec<_> = self.routes.iter().copied().collect();
            self.check_name("Route", route, &known, codes::TEST_UNKNOWN_NAME);
        }
        if let Some(cluster) = &expect.cluster {
            self.check_name("Cluster", cluster, &self.clusters.clone(), codes::TEST_UNKNOWN_NAME);
        }
        if let Some(code) = &expect.code {
            let known: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
            self.check_name("Code", code, &known, codes::TEST_UNKNOWN_NAME);
        }
    }

    fn check_name(
        &mut self,
        setting: &str,
        name: &Spanned<String>,
        known: &[&str],
        code: crate::config::Code,
    ) {
        if known.contains(&name.value.as_str()) {
            return;
        }
        let what = match setting {
            "Code" => "error code".to_owned(),
            _ => setting.to_lowercase(),
        };
        let diagnostic =
            self.diagnostics.error(code, name.span, format!("unknown {what} \"{}\"", name.value));
        if let Some(meant) = suggest::closest_match(name, known.iter().copied()) {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        let help = match setting {
            "Code" => "`margay help error` lists the codes".to_owned(),
            "Route" => "the name of a route is its Key, otherwise its UpstreamPathTemplate".to_owned(),
            _ if known.is_empty() => format!("there is no {what}"),
            _ => format!("expected {}", suggest::one_of(&known[..known.len().min(MAX_LISTED_NAMES)])),
        };
        diagnostic.help(help);
    }

    fn status(&mut self, status: &Setting<i32>) -> Option<u16> {
        let status = status.as_ref()?;
        let valid = u16::try_from(status.value).ok().filter(|status| (100..600).contains(status));
        if valid.is_none() {
            self.diagnostics
                .error(
                    codes::TEST_EXPECTATION,
                    status.span,
                    format!("invalid Status {}: must be 100 to 599", status.value),
                )
                .help("write the status of the response, such as 401");
        }
        valid
    }

    fn expected_headers(&mut self, headers: &StringList) -> Vec<ExpectedHeader> {
        let mut all = Vec::new();
        for (name, value) in headers.iter().flat_map(|map| map.iter()) {
            self.check_header(name, value.as_ref());
            all.push((name.value.clone(), value.as_ref().map(|value| value.value.clone())));
        }
        all
    }

    fn check_header(&mut self, name: &Spanned<String>, value: Option<&Spanned<String>>) {
        let is_valid =
            |value: &Spanned<String>| !value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f);
        if !is_token(name.as_bytes()) || !value.is_none_or(is_valid) {
            self.diagnostics
                .error(codes::TEST_REQUEST, name.span, format!("invalid header \"{}\" of a test", name.value))
                .help(
                    "names consist of letters, digits and !#$%&'*+-.^_`|~; values have no control characters",
                );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, InMemoryFiles, render};
    use crate::plan::compile;
    use crate::plan::document::load_texts;

    /// The diagnostics of a document with one route, `orders`, and this test.
    fn report(test: &str) -> String {
        let text = format!(
            r#"{{ "Routes": [{{ "Key": "orders", "UpstreamPathTemplate": "/orders", "DownstreamPathTemplate": "/",
                "DownstreamHostAndPorts": [{{ "Host": "h", "Port": 1 }}], "DownstreamScheme": "http" }}], "Tests": [{test}] }}"#
        );
        let files = [("gateway.json", text.as_str())];
        let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
        let mut loaded = load_texts(&files, Environment::of_process());
        let _ = compile(&mut loaded);
        render::text(&loaded.diagnostics, &loaded.sources, render::Style::default())
    }

    #[test]
    fn a_valid_test_has_no_diagnostics() {
        assert_eq!(report(r#"{ "Request": "GET /orders", "Expect": { "Route": "orders" } }"#), "");
        assert_eq!(
            report(
                r#"{ "Name": "n", "Request": "GET https://a.example/x", "Headers": { "A": "b" }, "From": "::1",
                "Expect": { "Status": 404, "Code": "route.not_found" } }"#
            ),
            ""
        );
    }

    /// A test, the code of its mistake, and a part of the message.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (r#"{ "Request": "GET /x", "Expect": { "Route": "order" } }"#, "MG1251", "did you mean \"orders\"?"),
        (r#"{ "Request": "GET /x", "Expect": { "Cluster": "a" } }"#, "MG1251", "there is no cluster"),
        (
            r#"{ "Request": "GET /x", "Expect": { "Code": "route.notfound" } }"#,
            "MG1251",
            "did you mean \"route.not_found\"?",
        ),
        (r#"{ "Request": "/x", "Expect": { "Status": 404 } }"#, "MG1250", "such as \"GET /orders/7\""),
        (r#"{ "Expect": { "Status": 404 } }"#, "MG1250", "such as \"GET /orders/7\""),
        (r#"{ "Request": "GET /x", "From": "me", "Expect": { "Status": 404 } }"#, "MG1250", "10.0.0.9"),
        (r#"{ "Request": "GET /x", "Listener": "y", "Expect": { "Route": "orders" } }"#, "MG1250", "exp"),
        (
            r#"{ "Request": "GET /x", "Headers": { "a b": "c" }, "Expect": { "Status": 404 } }"#,
            "MG1250",
            "letters",
        ),
        (r#"{ "Request": "GET /x" }"#, "MG1252", "Expect.Route"),
        (r#"{ "Request": "GET /x", "Expect": { "Status": 4 } }"#, "MG1252", "401"),
        (
            r#"{ "Request": "GET /x", "Expect": { "Status": 404, "Downstream": {} } }"#,
            "MG1252",
            "Downstream.Headers",
        ),
        (r#"{ "Request": "GET /x", "Expect": { "Statuss": 404 } }"#, "MG0102", "did you mean \"Status\""),
    ];

    #[test]
    fn every_mistake_has_a_code_and_a_cure() {
        for (test, code, cure) in MISTAKES {
            let report = report(test);
            assert!(report.contains(code) && report.contains(cure), "{test}\n{report}");
        }
    }
}
