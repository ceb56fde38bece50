//! `margay test`: runs the tests of the configuration.

use super::args::Test;
use super::{Exit, output, settings};
use crate::control::candidate::Candidate;
use crate::control::dry_run::run_tests;
use crate::plan::route_tests::TestResult;
use crate::stages::custom::StageRegistry;
use serde_json::json;

/// Runs the tests, and prints those that failed.
pub(super) fn run(arguments: &Test, stages: &StageRegistry) -> Exit {
    let mut configuration = arguments.configuration.clone();
    configuration.config.extend(arguments.files.iter().cloned());
    let mut candidate = Candidate::read(&settings::request(&configuration), stages);
    let Some(blueprint) = &mut candidate.blueprint else {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    };
    if let Some(text) = &arguments.filter {
        blueprint.tests.retain(|test| test.name.contains(text));
    }
    let results = match run_tests(&candidate) {
        Ok(results) => results,
        Err(error) => return Exit::failed(&error),
    };
    match arguments.json {
        true => {
            output::write_stdout(&format!("{:#}\n", json!({ "passed": passed(&results), "tests": results })));
        }
        false => output::write_stdout(&text(&results)),
    }
    if passed(&results) { Exit::Done } else { Exit::Failed }
}

/// Whether no test failed.
pub(super) fn passed(results: &[TestResult]) -> bool {
    results.iter().all(|result| result.passed)
}

/// The failed tests, and a summary.
pub(super) fn text(results: &[TestResult]) -> String {
    let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
    let mut text: String = failed.iter().map(|result| result.text()).collect();
    let plural = if results.len() == 1 { "" } else { "s" };
    let failed = if failed.is_empty() { "all passed".to_owned() } else { format!("{} FAILED", failed.len()) };
    text.push_str(&match results {
        [] => "no tests; add them to Tests in the configuration\n".to_owned(),
        _ => format!("{} test{plural}: {failed}\n", results.len()),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use std::path::{Path, PathBuf};

    fn results(file: PathBuf) -> Vec<TestResult> {
        let request = Request { paths: vec![file], ..Request::default() };
        run_tests(&Candidate::read(&request, &StageRegistry::default())).unwrap()
    }

    #[test]
    fn the_tests_of_the_demo_and_of_the_example_pass() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["gateway.json", "deploy/examples/safe-change/gateway.json"] {
            let results = results(root.join(file));
            assert!(results.len() >= 3 && passed(&results), "{file}: {}", text(&results));
        }
    }

    #[test]
    fn a_failed_test_reports_what_differs_and_the_explanation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.json");
        std::fs::write(
            &file,
            r#"{ "Routes": [{ "Key": "a", "UpstreamPathTemplate": "/a/{id}", "DownstreamPathTemplate": "/b/{id}",
                "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "10.0.0.1", "Port": 81 }] }],
            "Tests": [
                { "Name": "wrong path", "Request": "GET /a/7", "Expect": { "Route": "a", "Downstream": { "Path": "/a/7" } } },
                { "Name": "wrong header", "Request": "GET /a/7", "Headers": { "X": "1" },
                  "Expect": { "Downstream": { "Method": "GET", "Headers": { "X": null, "Host": "10.0.0.1:81", "Y": "2" } } } },
                { "Name": "no response", "Request": "GET /a/7", "Expect": { "Status": 200 } },
                { "Name": "right", "Request": "GET /c", "Expect": { "Status": 404, "Code": "route.not_found",
                  "Headers": { "content-type": "application/problem+json" } } }
            ] }"#,
        )
        .unwrap();
        let results = results(file);
        let text = text(&results);
        for line in [
            "  Downstream.Path: expected /a/7, found /b/7\n  explain:\n    route ",
            "  Downstream.Headers.X: expected no header, found 1\n",
            "  Downstream.Headers.Y: expected 2, found no header\n",
            "  Status: expected 200, found a request to 10.0.0.1:81\n",
            "4 tests: 3 FAILED\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(results[3].passed && results[3].explanation.is_none());
    }
}
