//! Tests of an imported configuration: a request for each route, and what the dry run does with it. They fail when a later
//! change sends the request elsewhere.

use super::report::Report;
use crate::config::{Environment, InMemoryFiles};
use crate::control::candidate::Candidate;
use crate::control::dry_run::DryRun;
use crate::plan::compile;
use crate::plan::document::load_texts;
use crate::plan::explain::{Explanation, parse_request};
use serde_json::{Map, Value, json};

/// The value of every placeholder of a template.
const SAMPLE_VALUE: &str = "1";

/// A request that a route should match.
#[derive(Debug, PartialEq, Eq)]
struct SampleRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
}

/// Adds the section `Tests`. A route without a test is in the report.
///
/// # Errors
/// A sentence: the plan of the configuration cannot be built.
pub fn add(document: &mut Value, report: &mut Report) -> Result<(), String> {
    let candidate = candidate(document);
    let dry_run = DryRun::new(&candidate)?;
    let routes = document.get("Routes").and_then(Value::as_array);
    let mut tests = Vec::new();
    for route in routes.into_iter().flatten() {
        let key = route.get("Key").and_then(Value::as_str).unwrap_or_default();
        let sample = sample(route);
        let headers: Vec<_> =
            sample.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let exchange = parse_request(&sample.method, &sample.url, &headers);
        match exchange.and_then(|exchange| dry_run.explain(exchange)) {
            Ok(explanation) if explanation.route.as_ref().is_some_and(|route| route.name == key) => {
                tests.push(test(key, &sample, &explanation, route));
            }
            _ => report
                .skip(format!("Routes.{key}"), "no test: a request made of its template does not reach it"),
        }
    }
    report.counts.push(("tests", tests.len()));
    document["Tests"] = tests.into();
    Ok(())
}

fn candidate(document: &Value) -> Candidate {
    let text = document.to_string();
    let files = [("gateway.json", text.as_str())];
    let mut loaded =
        load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process());
    let blueprint = compile(&mut loaded);
    Candidate { loaded, blueprint, id: String::new(), watched_paths: Vec::new() }
}

fn sample(route: &Value) -> SampleRequest {
    let text = |name: &str| route.get(name).and_then(Value::as_str).unwrap_or_default();
    let methods = route.get("UpstreamHttpMethod").and_then(Value::as_array);
    let method = methods.and_then(|methods| methods.first()).and_then(Value::as_str).unwrap_or("GET");
    let path = filled(text("UpstreamPathTemplate"));
    let url = match text("UpstreamHost") {
        "" => path,
        host => format!("http://{}{path}", filled(host).replace('*', SAMPLE_VALUE)),
    };
    let templates = route.get("UpstreamHeaderTemplates").and_then(Value::as_object);
    let headers = templates.into_iter().flatten();
    let headers = headers.filter_map(|(name, template)| Some((name.clone(), filled(template.as_str()?))));
    SampleRequest { method: method.to_owned(), url, headers: headers.collect() }
}

/// The template with a value in the place of each placeholder.
fn filled(template: &str) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((_, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(SAMPLE_VALUE);
        rest = behind;
    }
    filled + rest
}

fn test(key: &str, sample: &SampleRequest, explanation: &Explanation, route: &Value) -> Value {
    let mut expected = json!({ "Route": key });
    match (&explanation.response, explanation.request.first()) {
        (Some(response), _) => {
            expected["Status"] = response.status.into();
            if !response.code.is_empty() {
                expected["Code"] = response.code.as_str().into();
            }
        }
        (None, Some(line)) => {
            let mut words = line.split(' ');
            expected["Downstream"] = json!({ "Method": words.next(), "Path": words.next() });
            if let Some(cluster) = route.get("DownstreamCluster") {
                expected["Cluster"] = cluster.clone();
            }
        }
        (None, None) => {}
    }
    let mut test = json!({ "Name": key, "Request": format!("{} {}", sample.method, sample.url) });
    if !sample.headers.is_empty() {
        let headers = sample.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        test["Headers"] = headers.collect::<Map<_, _>>().into();
    }
    test["Expect"] = expected;
    test
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_has_a_value() {
        assert_eq!(filled("/a/{b}/{c}.json?d={e}"), "/a/1/1.json?d=1");
        assert_eq!(filled("/a/{b"), "/a/{b");
    }

    #[test]
    fn routes_get_a_test_of_what_happens_to_a_request_of_their_template() {
        let route = |key: &str, path: &str| json!({ "Key": key, "UpstreamPathTemplate": path, "DownstreamPathTemplate": "/v2/{id}", "DownstreamCluster": "a" });
        let mut document = json!({
            "Routes": [route("one", "/a/{id}"), route("hidden", "/a/{id}/"), {
                "Key": "two", "UpstreamPathTemplate": "/b", "DownstreamPathTemplate": "/", "DownstreamCluster": "a",
                "UpstreamHttpMethod": ["POST"], "UpstreamHost": "b.example", "UpstreamHeaderTemplates": { "X-Kind": "k{header:n}" },
            }],
            "Clusters": { "a": { "DownstreamScheme": "http", "Endpoints": [{ "Host": "a", "Port": 1 }] } }
        });
        document["Routes"][1]["UpstreamPathTemplate"] = json!("/a/1");
        document["Routes"][1]["Priority"] = json!(0);
        document["Routes"][1]["DownstreamPathTemplate"] = json!("/");
        let mut report = Report::default();
        add(&mut document, &mut report).unwrap();
        let expected = json!([
            { "Name": "one", "Request": "GET /a/1",
              "Expect": { "Route": "one", "Downstream": { "Method": "GET", "Path": "/v2/1" }, "Cluster": "a" } },
            { "Name": "two", "Request": "POST http://b.example/b", "Headers": { "X-Kind": "k1" },
              "Expect": { "Route": "two", "Downstream": { "Method": "POST", "Path": "/" }, "Cluster": "a" } },
        ]);
        assert_eq!(document["Tests"], expected);
        assert!(report.to_text().contains("Routes.hidden"), "{}", report.to_text());
    }
}
