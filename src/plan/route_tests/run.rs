//! Runs a test and compares what the gateway does with what is expected.

use super::{ExpectedHeader, RouteTest};
use crate::plan::explain::{Explainer, Explanation, parse_request_from};
use serde::Serialize;

/// The result of one test.
#[derive(Debug, Serialize)]
pub struct TestResult {
    pub name: String,
    /// File, line and column of the test.
    pub location: String,
    pub passed: bool,
    /// What differs; empty for a test that passed.
    pub differences: Vec<Difference>,
    /// What `margay explain` reports about the request of a test that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// One expectation that is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The setting of `Expect`.
    pub setting: String,
    pub expected: String,
    pub found: String,
}

impl TestResult {
    /// The result in words: `FAILED name (gateway.json:8:5)`, what differs, and the explanation.
    pub fn text(&self) -> String {
        let verdict = if self.passed { "passed" } else { "FAILED" };
        let mut text = format!("{verdict} {} ({})\n", self.name, self.location);
        for Difference { setting, expected, found } in &self.differences {
            text.push_str(&format!("  {setting}: expected {expected}, found {found}\n"));
        }
        if let Some(explanation) = &self.explanation {
            text.push_str("  explain:\n");
            text.extend(explanation.text().lines().map(|line| format!("    {line}\n")));
        }
        text
    }
}

/// Runs a test on the plan of the explainer.
pub async fn run(explainer: &Explainer<'_>, test: &RouteTest) -> TestResult {
    let headers: Vec<_> = test.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let first = explainer.blueprint.listeners.first().map(|listener| &*listener.name);
    let listener = test.listener.as_deref().or(first);
    let (differences, explanation) =
        match parse_request_from(&test.method, &test.url, &headers, test.from, listener) {
            Ok(exchange) => {
                let explanation = explainer.explain_offline(exchange).await;
                (differences(explainer, test, &explanation), Some(explanation))
            }
            Err(error) => (
                vec![Difference {
                    setting: "Request".into(),
                    expected: "a valid request".into(),
                    found: error,
                }],
                None,
            ),
        };
    let passed = differences.is_empty();
    TestResult {
        name: test.name.clone(),
        location: explainer.sources.location(test.span),
        passed,
        differences,
        explanation: explanation.filter(|_| !passed),
    }
}

/// What the expectations are compared with.
struct Comparison<'t> {
    explanation: &'t Explanation,
    differences: Vec<Difference>,
}

fn differences(explainer: &Explainer, test: &RouteTest, explanation: &Explanation) -> Vec<Difference> {
    let expected = &test.expected;
    let mut comparison = Comparison { explanation, differences: Vec::new() };
    let route = explanation.route.as_ref().map(|route| route.name.as_str());
    comparison.compare("Route", expected.route.as_deref(), route, "no route");
    let response = explanation.response.as_ref();
    let status = response.map(|response| response.status.to_string());
    let forwarded = comparison.what_happens();
    let expected_status = expected.status.map(|status| status.to_string());
    comparison.compare("Status", expected_status.as_deref(), status.as_deref(), &forwarded);
    let code = response.map(|response| response.code.as_str());
    comparison.compare("Code", expected.code.as_deref(), code.filter(|code| !code.is_empty()), &forwarded);
    let lines = response.map(|response| response.headers.as_slice());
    comparison.compare_headers("Headers", &expected.headers, lines, &forwarded);
    let cluster = route.filter(|_| response.is_none()).and_then(|name| {
        let route = explainer.blueprint.routes.iter().find(|route| route.name == name)?;
        route.cluster.name.as_deref()
    });
    comparison.compare("Cluster", expected.cluster.as_deref(), cluster, &forwarded);
    let lines = explanation.request.split_first();
    let mut words = lines.map(|(first, _)| first.split(' ')).into_iter().flatten();
    let (method, path) = (words.next(), words.next());
    comparison.compare("Downstream.Method", expected.backend_method.as_deref(), method, &forwarded);
    comparison.compare("Downstream.Path", expected.backend_path.as_deref(), path, &forwarded);
    let headers = lines.map(|(_, headers)| headers);
    comparison.compare_headers("Downstream.Headers", &expected.backend_headers, headers, &forwarded);
    comparison.differences
}

impl Comparison<'_> {
    /// What happens to the request, for an expectation about something that does not exist.
    fn what_happens(&self) -> String {
        match &self.explanation.response {
            Some(response) if response.code.is_empty() => {
                format!("a response of the gateway, {}", response.status)
            }
            Some(response) => format!("a response of the gateway, {} {}", response.status, response.code),
            None if !self.explanation.parts.is_empty() => "an aggregate of several requests".to_owned(),
            None => format!("a request to {}", self.explanation.endpoints.join(" or ")),
        }
    }

    fn compare(&mut self, setting: &str, expected: Option<&str>, found: Option<&str>, otherwise: &str) {
        if let Some(expected) = expected.filter(|expected| Some(*expected) != found) {
            let found = found.unwrap_or(otherwise).to_owned();
            self.differences.push(Difference {
                setting: setting.to_owned(),
                expected: expected.to_owned(),
                found,
            });
        }
    }

    /// Compares headers with lines such as `Host: a.example`; `None`: there is no message.
    fn compare_headers(
        &mut self,
        setting: &str,
        expected: &[ExpectedHeader],
        lines: Option<&[String]>,
        otherwise: &str,
    ) {
        for (name, value) in expected {
            let setting = format!("{setting}.{name}");
            let Some(lines) = lines else {
                self.compare(&setting, Some(value.as_deref().unwrap_or("no header")), None, otherwise);
                continue;
            };
            let fields = lines.iter().filter_map(|line| line.split_once(':'));
            let values: Vec<_> = fields
                .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
                .collect();
            let found = (!values.is_empty()).then(|| values.join(", "));
            match (value, found) {
                (Some(value), found) => self.compare(&setting, Some(value), found.as_deref(), "no header"),
                (None, Some(found)) => self.compare(&setting, Some("no header"), Some(&found), ""),
                (None, None) => {}
            }
        }
    }
}
