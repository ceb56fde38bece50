//! Runs the cases in margay's own vocabulary: policy documents next to the configuration, requests to the administration
//! address, commands, restarts, values that later steps use.

use super::case::Case;
use super::environment::{Environment, pretty};
use super::expect::{self, StepResult};
use super::fits::{diagnostics_fit, json_fits};
use super::run::{Outcome, ask_at, request, steps_of};
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::next_order;
use crate::support::process::Ended;
use crate::support::stub_backend::text_of;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A case that runs.
struct Run<'c> {
    case: &'c Case,
    environment: &'c Environment,
    setup: Setup,
    gateway: Gateway,
    captured: BTreeMap<String, String>,
}

pub fn run(case: &Case) -> Outcome {
    if !case.all["requires"].is_null() {
        return Outcome::Pending("api-management-portal".into());
    }
    let environment = Environment::new(case);
    let setup = setup(case, &environment);
    match (Gateway::try_start(&setup), case.must_fail()) {
        (Err(_), true) => refused(case, &environment),
        (Ok(_), true) => Outcome::Failed("starts, although the configuration is invalid".into()),
        (Err(ended), false) => Outcome::Failed(format!("does not start:\n{}{}", ended.stdout, ended.stderr)),
        (Ok(gateway), false) => {
            let captured = BTreeMap::new();
            Run { case, environment: &environment, setup, gateway, captured }.steps()
        }
    }
}

fn setup(case: &Case, environment: &Environment) -> Setup {
    let mut setup = Setup::text(pretty(&environment.ports.fill(&case.all["config"])));
    for (name, content) in case.all["files"].as_object().into_iter().flatten() {
        setup = setup.file(name, &file_text(environment, content));
    }
    setup.threads(2)
}

fn file_text(environment: &Environment, content: &Value) -> String {
    match environment.ports.fill(content) {
        Value::String(text) => text,
        json => pretty(&json),
    }
}

/// `margay check --json` reports the mistakes of a configuration that must not start.
fn refused(case: &Case, environment: &Environment) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    setup(case, environment).write_to(directory.path());
    let checked = command(directory.path(), &["check", "--json", "gateway.json"]);
    let mut wrong = diagnostics_fit(&checked.stdout, &case.all["start"]["diagnostics"]);
    if checked.code != Some(2) {
        wrong.push(format!("margay check exits with {:?}", checked.code));
    }
    if wrong.is_empty() { Outcome::Passed } else { Outcome::Failed(wrong.join("\n  ")) }
}

fn command(directory: &Path, words: &[&str]) -> Ended {
    let output = Command::new(binary())
        .args(words)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .output()
        .expect("margay runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Run<'_> {
    fn steps(mut self) -> Outcome {
        for (number, step) in steps_of(self.case).iter().enumerate() {
            let step = self.with_captured(step);
            let wrong = self.step(&step);
            std::thread::sleep(Duration::from_millis(step["wait_ms"].as_u64().unwrap_or(0)));
            if !wrong.is_empty() {
                let stderr = self.gateway.process.stderr();
                let tail: Vec<&str> = stderr.lines().rev().take(12).collect();
                let shown: String = step.to_string().chars().take(400).collect();
                return Outcome::Failed(format!(
                    "step {number} {shown}\n  {}\n  stderr: {tail:?}",
                    wrong.join("\n  ")
                ));
            }
        }
        Outcome::Passed
    }

    /// Replaces `{{GOT:NAME}}` by what earlier steps captured.
    fn with_captured(&self, step: &Value) -> Value {
        let mut text = step.to_string();
        for (name, value) in &self.captured {
            let quoted = json!(value).to_string();
            text = text.replace(&format!("{{{{GOT:{name}}}}}"), &quoted[1..quoted.len() - 1]);
        }
        serde_json::from_str(&text).expect("JSON")
    }

    fn step(&mut self, step: &Value) -> Vec<String> {
        if let Some(files) = step["write_files"].as_object() {
            for (name, content) in files {
                self.gateway.write_file(name, &file_text(self.environment, content));
            }
            return Vec::new();
        }
        if let Some(signal) = step["restart"].as_str() {
            return match self.gateway.restart(&self.setup, signal) {
                Ok(()) => Vec::new(),
                Err(ended) => vec![format!("does not start again: {}{}", ended.stdout, ended.stderr)],
            };
        }
        if let Some(texts) = step["log_absent"].as_array() {
            let log = self.gateway.process.stdout() + &self.gateway.process.stderr();
            let found = texts.iter().map(text_of).filter(|text| log.contains(text));
            return found.map(|text| format!("the log contains {text:?}")).collect();
        }
        if let Some(words) = step["command"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let directory = self.gateway.config().parent().expect("a directory");
            return self.command_fits(&command(directory, &words), &step["expect"]);
        }
        self.request(step)
    }

    fn command_fits(&self, ended: &Ended, expected: &Value) -> Vec<String> {
        let expected = self.environment.ports.fill(expected);
        let output = format!("{}{}", ended.stdout, ended.stderr);
        let mut wrong = Vec::new();
        if expected["exit"].as_i64().is_some_and(|code| ended.code.map(i64::from) != Some(code)) {
            wrong.push(format!("expected exit {}, got {:?}: {output}", expected["exit"], ended.code));
        }
        for text in expected["output_contains"].as_array().into_iter().flatten().map(text_of) {
            if !output.contains(&text) {
                wrong.push(format!("the output lacks {text:?}: {output}"));
            }
        }
        for text in expected["output_absent"].as_array().into_iter().flatten().map(text_of) {
            if output.contains(&text) {
                wrong.push(format!("the output contains {text:?}"));
            }
        }
        if let Some(want) = expected.get("json") {
            match serde_json::from_str(&ended.stdout) {
                Ok(found) => json_fits(want, &found, "", &mut wrong),
                Err(error) => wrong.push(format!("the output is no JSON: {error}")),
            }
        }
        if let Some(want) = expected.get("diagnostics") {
            wrong.extend(diagnostics_fit(&ended.stdout, want));
        }
        wrong
    }

    fn request(&mut self, step: &Value) -> Vec<String> {
        let patience = Duration::from_millis(step["request"]["retry_until_ms"].as_u64().unwrap_or(0));
        let start = Instant::now();
        loop {
            let before = next_order();
            let made = self.make(&step["request"]);
            let wrong = expect::check(self.environment, &step["expect"], &made, before);
            if wrong.is_empty() {
                return self.capture(&step["capture"], &made);
            }
            if start.elapsed() >= patience {
                return wrong;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn make(&self, action: &Value) -> StepResult {
        let action = self.environment.ports.fill(action);
        let address: SocketAddr =
            if action["to"] == "admin" { self.gateway.admin } else { self.gateway.address };
        let parallel = action["repeat_parallel"].as_u64();
        let times = parallel.or(action["repeat"].as_u64()).unwrap_or(1);
        let requests: Vec<Request> = (0..times).map(|i| request(self.case, &action, i)).collect();
        let start = Instant::now();
        let ask = |request: &Request| ask_at(address, request, &Value::Null);
        let answers: Vec<expect::Answer> = if parallel.is_some() {
            std::thread::scope(|scope| {
                let all: Vec<_> = requests.iter().map(|request| scope.spawn(move || ask(request))).collect();
                all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            })
        } else {
            requests.iter().map(ask).collect()
        };
        StepResult { answers: requests.into_iter().zip(answers).collect(), took: start.elapsed() }
    }

    /// Keeps values of the last response for later steps.
    fn capture(&mut self, wanted: &Value, made: &StepResult) -> Vec<String> {
        let Some((_, Ok(response))) = made.answers.last() else { return Vec::new() };
        let mut absent = Vec::new();
        for (name, place) in wanted.as_object().into_iter().flatten() {
            let place = text_of(place);
            let value = match place.strip_prefix("header:") {
                Some(field) => response.header(field).map(str::to_owned),
                None => response.json().pointer(&place).map(text_of),
            };
            match value {
                Some(value) => drop(self.captured.insert(name.clone(), value)),
                None => absent.push(format!("{place} is absent")),
            }
        }
        absent
    }
}
