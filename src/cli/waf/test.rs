//! `margay waf test`: requests with the expected decisions of the firewall, the regression test of its operator.

use super::args::WafTest;
use super::evaluation::{decide, exchange, read_candidate};
use crate::cli::{Exit, output};
use crate::control::dry_run::DryRun;
use crate::pipeline::exchange::Exchange;
use crate::stages::custom::StageRegistry;
use serde_json::Value;
use std::fmt::Write;

/// Evaluates every line of the file, and prints those with another decision.
pub(super) fn run(arguments: &WafTest, stages: &StageRegistry) -> Exit {
    let text = match std::fs::read_to_string(&arguments.file) {
        Ok(text) => text,
        Err(error) => return Exit::failed(&format!("{}: {error}", arguments.file.display())),
    };
    let candidate = match read_candidate(&arguments.configuration, stages) {
        Ok(candidate) => candidate,
        Err(exit) => return exit,
    };
    let dry_run = match DryRun::new(&candidate) {
        Ok(dry_run) => dry_run,
        Err(error) => return Exit::failed(&error),
    };
    let (mut report, mut passed, mut failed) = (String::new(), 0, 0);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match run_line(line, &dry_run) {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                let _ = writeln!(report, "{}:{}: {error}", arguments.file.display(), number + 1);
            }
        }
    }
    let _ = writeln!(report, "{passed} passed, {failed} failed");
    output::write_stdout(&report);
    if failed == 0 { Exit::Done } else { Exit::Failed }
}

/// Evaluates one line; the error is a sentence.
fn run_line(line: &str, dry_run: &DryRun<'_>) -> Result<(), String> {
    let test: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let decision = decide(dry_run, request(&test)?)?;
    let is_expected = match &test["expect"] {
        Value::Number(expected) => expected.as_u64() == Some(decision.status.into()),
        Value::String(expected) => match expected.as_str() {
            "pass" => decision.status == 0,
            "block" => decision.status != 0,
            expected => expected == decision.code,
        },
        _ => {
            return Err(
                "missing `expect`: expected \"pass\", \"block\", an error code or a status".to_owned()
            );
        }
    };
    let (method, path, text) = (&decision.method, &decision.target, &decision.text);
    is_expected.then_some(()).ok_or_else(|| format!("{method} {path}: expected {}, {text}", test["expect"]))
}

/// The request of a line: `method`, `path`, `headers` as an object or a list of pairs, `body`.
fn request(test: &Value) -> Result<Exchange, String> {
    let path = test["path"].as_str().ok_or("missing `path`: expected a text")?;
    let method = test["method"].as_str().unwrap_or("GET");
    let texts = |name: &Value, value: &Value| Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()));
    let headers: Option<Vec<(String, String)>> = match &test["headers"] {
        Value::Null => Some(Vec::new()),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        }
        Value::Array(fields) => fields.iter().map(|field| texts(&field[0], &field[1])).collect(),
        _ => None,
    };
    let headers = headers.ok_or("invalid `headers`: expected an object or a list of pairs")?;
    exchange(method, path, &headers, test["body"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_headers_as_an_object_or_as_pairs() {
        for headers in [r#"{"X-A": "1"}"#, r#"[["X-A", "1"]]"#] {
            let line = format!(r#"{{"path": "/a", "headers": {headers}, "body": "b=2"}}"#);
            let exchange = request(&serde_json::from_str(&line).unwrap()).unwrap();
            assert_eq!(exchange.request.get(b"x-a"), Some(&b"1"[..]));
            assert_eq!(exchange.body.collected.as_deref(), Some(&b"b=2"[..]));
        }
        assert!(request(&serde_json::json!({ "path": "/a", "headers": 1 })).is_err());
        assert!(request(&serde_json::json!({ "method": "GET" })).is_err());
    }
}
