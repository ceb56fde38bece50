//! Compares what happened with what a step expects.

use super::environment::Environment;
use super::fits::{canonical_xml, json_fits, matches};
use crate::support::client::{Request, Response};
use crate::support::http1_reader::Head;
use crate::support::origin::Seen;
use crate::support::stub_backend::text_of;
use base64::Engine;
use serde_json::Value;
use std::time::Duration;

pub type Answer = Result<Response, String>;

/// The requests of a step and their responses.
pub struct StepResult {
    pub answers: Vec<(Request, Answer)>,
    pub took: Duration,
}

/// The mismatches, one line each.
pub fn check(environment: &Environment, expected: &Value, made: &StepResult, before: u64) -> Vec<String> {
    let filled = environment.ports.fill(expected);
    let mut wrong = Vec::new();
    for (request, answer) in &made.answers {
        match answer {
            Ok(response) => response_fits(&filled, request, response, &mut wrong),
            Err(_) if filled["status"].is_null() => {}
            Err(fault) => wrong.push(format!("no answer: {fault}")),
        }
        if !wrong.is_empty() {
            break;
        }
    }
    if let (Some(want), Some((_, Ok(last)))) = (filled.get("last_body"), made.answers.last()) {
        same("body of the last answer", &text_of(want), &last.text(), &mut wrong);
    }
    if let Some(range) = filled["elapsed_ms"].as_array() {
        let took = u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX);
        let (least, most) = (range[0].as_u64().unwrap_or(0), range[1].as_u64().unwrap_or(u64::MAX));
        if took < least || took > most {
            wrong.push(format!("took {took} ms, expected {least} to {most}"));
        }
    }
    calls_fit(environment, expected, before, &mut wrong);
    wrong
}

fn same(what: &str, want: &str, found: &str, wrong: &mut Vec<String>) {
    if want != found {
        wrong.push(format!("{what}: expected {:?}, got {:?}", short(want), short(found)));
    }
}

fn short(text: &str) -> String {
    if text.len() <= 300 {
        text.to_owned()
    } else {
        format!("{}… ({} bytes)", text.chars().take(300).collect::<String>(), text.len())
    }
}

fn response_fits(want: &Value, request: &Request, response: &Response, wrong: &mut Vec<String>) {
    let status = u64::from(response.status);
    let is_one = |list: &Vec<Value>| list.iter().any(|one| one.as_u64() == Some(status));
    if want["status"].as_u64().is_some_and(|s| s != status)
        || want["status"].as_array().is_some_and(|list| !is_one(list))
    {
        wrong.push(format!(
            "status: expected {}, got {} {:?}",
            want["status"],
            response.status,
            short(&response.text())
        ));
        return;
    }
    if let Some(pattern) = want["body"]["regex"].as_str() {
        if !matches(pattern, &response.text()) {
            wrong.push(format!("body {:?} does not match {pattern}", short(&response.text())));
        }
    } else if let Some(body) = want.get("body") {
        same("body", &echoed(&text_of(body), request), &response.text(), wrong);
    }
    if want["body_length"].as_u64().is_some_and(|n| n != response.length) {
        wrong.push(format!("body length: expected {}, got {}", want["body_length"], response.length));
    }
    if let Some(reason) = want["reason"].as_str() {
        same("reason", reason, &response.reason, wrong);
    }
    if let Some(code) = want["problem"].as_str() {
        let problem: Value = serde_json::from_str(&response.text()).unwrap_or_default();
        let is_problem = response.header("Content-Type") == Some("application/problem+json");
        if !is_problem || problem["code"] != code || problem["status"].as_u64() != Some(status) {
            wrong.push(format!("problem: expected {code}, got {:?}", short(&response.text())));
        }
    }
    content_fits("body", want, &response.text(), wrong);
    headers_fit("answer", want, &response.head, wrong);
}

/// The expected JSON or XML of a body.
fn content_fits(what: &str, want: &Value, found: &str, wrong: &mut Vec<String>) {
    let pointers = want["json"].as_object().filter(|want| want.keys().all(|key| key.starts_with('/')));
    if let Some(pointers) = pointers {
        pointers_fit(pointers, found, wrong);
    } else if let Some(want) = want.get("json") {
        match serde_json::from_str(found) {
            Ok(found) => json_fits(want, &found, what, wrong),
            Err(_) => wrong.push(format!("{what}: expected JSON, got {:?}", short(found))),
        }
    }
    if let Some(want) = want["xml"].as_str()
        && canonical_xml(want) != canonical_xml(found)
    {
        wrong.push(format!("{what}: expected {want:?}, got {:?}", short(found)));
    }
}

/// JSON pointer → value, or a regular expression for a text.
fn pointers_fit(want: &serde_json::Map<String, Value>, text: &str, wrong: &mut Vec<String>) {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    for (pointer, value) in want {
        let found = body.pointer(pointer).cloned().unwrap_or_default();
        let fits = match found.as_str().filter(|_| value["regex"].is_string()) {
            Some(text) => value_fits(value, text),
            None => found == *value,
        };
        if !fits {
            wrong.push(format!("{pointer}: expected {value}, got {found} in {:?}", short(text)));
        }
    }
}

/// `{{SAME_AS_REQUEST_HEADER:X}}` is the value that was sent.
fn echoed(text: &str, request: &Request) -> String {
    let Some(name) = text.strip_prefix("{{SAME_AS_REQUEST_HEADER:").and_then(|t| t.strip_suffix("}}")) else {
        return text.to_owned();
    };
    request
        .headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.clone())
        .unwrap_or_default()
}

fn headers_fit(who: &str, want: &Value, head: &Head, wrong: &mut Vec<String>) {
    for (name, value) in want["headers"].as_object().into_iter().flatten() {
        let lines = head.all(name);
        let fits = lines.iter().any(|l| value_fits(value, l))
            || value_fits(value, &lines.join(",")) && !lines.is_empty()
            || value_fits(value, &lines.join(", ")) && !lines.is_empty();
        if !fits {
            wrong.push(format!("{who} header {name}: expected {value}, got {lines:?}"));
        }
    }
    for name in want["headers_absent"].as_array().into_iter().flatten().map(text_of) {
        if head.has(&name) {
            wrong.push(format!("{who} header {name}: expected none, got {:?}", head.all(&name)));
        }
    }
    for (name, values) in want["headers_multi"].as_object().into_iter().flatten() {
        let values: Vec<String> = values.as_array().into_iter().flatten().map(text_of).collect();
        if head.all(name) != values {
            wrong.push(format!("{who} header {name}: expected {values:?}, got {:?}", head.all(name)));
        }
    }
}

fn value_fits(want: &Value, found: &str) -> bool {
    if let Some(pattern) = want["regex"].as_str() {
        return matches(pattern, found);
    }
    match text_of(want).as_str() {
        "{{NOT_EMPTY}}" => !found.is_empty(),
        "{{CLIENT_IP}}" => matches!(found, "127.0.0.1" | "::1" | "::ffff:127.0.0.1"),
        text => text == found,
    }
}

fn calls_fit(environment: &Environment, expected: &Value, before: u64, wrong: &mut Vec<String>) {
    let calls = environment.calls_since(before);
    if expected["no_downstream_call"] == Value::Bool(true) && !calls.is_empty() {
        let targets: Vec<&str> = calls.iter().map(|(_, s)| s.target.as_str()).collect();
        wrong.push(format!("no call expected, got {targets:?}"));
    }
    for (token, n) in expected["calls"].as_object().into_iter().flatten() {
        let found = environment.origins[token].calls() as u64;
        if n.as_u64() != Some(found) {
            wrong.push(format!("calls of {token}: expected {n}, got {found}"));
        }
    }
    for (token, range) in expected["calls_range"].as_object().into_iter().flatten() {
        let found = environment.origins[token].calls() as u64;
        if found < range[0].as_u64().unwrap_or(0) || found > range[1].as_u64().unwrap_or(u64::MAX) {
            wrong.push(format!("calls of {token}: expected {range}, got {found}"));
        }
    }
    for (place, n) in expected["calls_path"].as_object().into_iter().flatten() {
        let (token, path) = place.split_once(':').expect("PORT:path");
        let fits = |s: &Seen| match path.strip_suffix('*') {
            Some(start) => s.path.starts_with(start),
            None => s.path == path,
        };
        let found = environment.origins[token].seen().iter().filter(|s| fits(s)).count() as u64;
        if n.as_u64() != Some(found) {
            wrong.push(format!("calls of {place}: expected {n}, got {found}"));
        }
    }
    match &expected["downstream_saw"] {
        Value::Array(all) => all.iter().for_each(|one| saw_one_fits(environment, one, &calls, wrong)),
        one if one.is_object() => saw_fits(environment, one, &calls, wrong),
        _ => {}
    }
}

/// One of several backends: its last call.
fn saw_one_fits(environment: &Environment, expected: &Value, calls: &[(u16, Seen)], wrong: &mut Vec<String>) {
    let port = environment.ports.fill(&expected["port"]).as_u64();
    let own = calls.iter().filter(|(at, _)| port.is_none_or(|port| port == u64::from(*at)));
    saw_fits(environment, expected, &own.cloned().collect::<Vec<_>>(), wrong);
}

fn saw_fits(environment: &Environment, expected: &Value, calls: &[(u16, Seen)], wrong: &mut Vec<String>) {
    let filled = environment.ports.fill(expected);
    if let Some(registry) = expected["port"].as_str().filter(|p| !p.contains("PORT")) {
        let fits = |s: &Seen| {
            let mut here = Vec::new();
            seen_fits(&filled, s, &mut here);
            here.is_empty()
        };
        if !environment.origins[registry].seen().iter().any(fits) {
            wrong.push(format!("no call of {registry} like {expected}"));
        }
        return;
    }
    let Some((port, seen)) = calls.last() else {
        wrong.push("the service was not called".into());
        return;
    };
    if filled["port"].as_u64().is_some_and(|p| p != u64::from(*port)) {
        wrong.push(format!("called port {port}, expected {} ({})", filled["port"], expected["port"]));
    }
    seen_fits(&filled, seen, wrong);
}

fn seen_fits(want: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    let mut text = |what: &str, found: &str| {
        if want[what].is_string() {
            same(&format!("service saw {what}"), &text_of(&want[what]), found, wrong);
        }
    };
    text("method", &seen.method);
    text("path", &seen.path);
    text("raw_path", seen.raw_path());
    text("body", &String::from_utf8_lossy(&seen.body));
    text("body_base64", &base64::engine::general_purpose::STANDARD.encode(&seen.body));
    if let Some(query) = want["query"].as_str() {
        same("service saw query", query.trim_start_matches('?'), seen.query.trim_start_matches('?'), wrong);
    }
    if want["body_length"].as_u64().is_some_and(|n| n != seen.length) {
        wrong.push(format!("service saw body of {} bytes, expected {}", seen.length, want["body_length"]));
    }
    content_fits("service saw body", want, &String::from_utf8_lossy(&seen.body), wrong);
    headers_fit("service saw", want, &seen.head, wrong);
}
