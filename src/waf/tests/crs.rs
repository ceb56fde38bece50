//! The regression tests of the OWASP Core Rule Set, in process.

#![expect(clippy::print_stdout, reason = "the figures of the rule set are what these tests are for")]

use super::rule_set;
use crate::waf::bodies::reader::{BodyReader, BodySettings};
use crate::waf::policy::compiled::{Policy, PolicySettings};
use crate::waf::request::head::RequestHead;
use crate::waf::transaction::run::Transaction;
use crate::waf::transform::url;
use base64::Engine as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Debian's libmodsecurity 3.0.9 passes 4,888 of the 4,937 stages with rule ids.
const MIN_PASSED: usize = 4898;

/// The stages that fail, and why.
const KNOWN_FAILURES: [(&str, &str); 5] = [
    (
        "920181-1",
        "expects that the server removes Content-Length next to Transfer-Encoding before the rules run",
    ),
    ("920430-5", "sends a request line of HTTP/0.9, which the HTTP parser rejects"),
    ("920620-1", "expects that the server joins two Content-Type fields to one, as Apache httpd does"),
    (
        "920640-5",
        "expects that the server ignores a body without Content-Length; in process the body is given",
    ),
    ("921140-1", "expects that the HTTP parser rejects a carriage return in a field before the rules run"),
];

struct Stage {
    name: String,
    input: Value,
    expected: BTreeSet<u32>,
    unexpected: BTreeSet<u32>,
}

struct RawRequest {
    method: Vec<u8>,
    target: Vec<u8>,
    protocol: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

#[test]
fn the_regression_tests_of_the_core_rule_set_pass() {
    let Some(directory) = rule_set::directory() else { return };
    let policy = Arc::new(regression_policy(&directory));
    let stages = stages(&directory.join("tests/regression/tests"));
    let failures = Mutex::new(Vec::new());
    let half = stages.len() / 2;
    std::thread::scope(|scope| {
        for part in [&stages[..half], &stages[half..]] {
            scope
                .spawn(|| part.iter().for_each(|stage| failures.lock().unwrap().extend(run(&policy, stage))));
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let passed = stages.len() - failures.len();
    println!("{passed} of {} stages pass", stages.len());
    let reason = |failure: &str| {
        let known = KNOWN_FAILURES.iter().find(|(name, _)| failure.starts_with(&format!("{name}:")));
        known.map(|(_, reason)| *reason)
    };
    failures
        .iter()
        .for_each(|failure| println!("{failure}: {}", reason(failure).unwrap_or("unknown reason")));
    assert_eq!(failures.iter().find(|failure| reason(failure).is_none()), None);
    assert!(passed >= MIN_PASSED, "{passed} of {} stages pass, expected {MIN_PASSED}", stages.len());
}

fn regression_policy(directory: &Path) -> Policy {
    let variables = [
        ("crs_setup_version", "4280"),
        ("blocking_paranoia_level", "4"),
        ("detection_paranoia_level", "4"),
        ("crs_validate_utf8_encoding", "1"),
        ("arg_name_length", "100"),
        ("arg_length", "400"),
        ("total_arg_length", "64000"),
        ("max_num_args", "255"),
        ("max_file_size", "64100"),
        ("combined_file_sizes", "65535"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let settings = PolicySettings {
        variables,
        is_response_inspected: true,
        is_log_phase_evaluated: true,
        ..PolicySettings::default()
    };
    Policy::new(Arc::new(rule_set::library(directory)), settings)
}

fn stages(directory: &Path) -> Vec<Stage> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            files.extend(std::fs::read_dir(entry).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().flat_map(|file| stages_of_file(file)).collect()
}

fn stages_of_file(file: &Path) -> Vec<Stage> {
    let text = std::fs::read_to_string(file).unwrap();
    let document: Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for (number, test) in document["tests"].as_array().into_iter().flatten().enumerate() {
        for stage in test["stages"].as_array().into_iter().flatten() {
            let stage = if stage["stage"].is_object() { &stage["stage"] } else { stage };
            let ids = |key: &str| stage["output"]["log"][key].as_array().into_iter().flatten();
            let ids = |key: &str| {
                ids(key).filter_map(|id| id.as_u64()).map(|id| id as u32).collect::<BTreeSet<u32>>()
            };
            let (expected, unexpected) = (ids("expect_ids"), ids("no_expect_ids"));
            if !expected.is_empty() || !unexpected.is_empty() {
                let id = test["test_id"].as_u64().unwrap_or(number as u64 + 1);
                found.push(Stage {
                    name: format!("{name}-{id}"),
                    input: stage["input"].clone(),
                    expected,
                    unexpected,
                });
            }
        }
    }
    found
}

fn run(policy: &Arc<Policy>, stage: &Stage) -> Option<String> {
    let request = match stage.input["encoded_request"].as_str() {
        Some(encoded) => {
            let encoded: String = encoded.chars().filter(|character| !character.is_whitespace()).collect();
            decode_request(&base64::prelude::BASE64_STANDARD.decode(encoded).unwrap())
        }
        None => build_request(&stage.input),
    };
    let logged = evaluate(policy, &request);
    let missing: Vec<_> = stage.expected.difference(&logged).collect();
    let wrong: Vec<_> = stage.unexpected.intersection(&logged).collect();
    let failed = !missing.is_empty() || !wrong.is_empty();
    failed.then(|| format!("{}: missing {missing:?}, unexpected {wrong:?}", stage.name))
}

fn decode_request(raw: &[u8]) -> RawRequest {
    let head_end = memchr::memmem::find(raw, b"\r\n\r\n").unwrap_or(raw.len());
    let mut lines =
        raw[..head_end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    let first = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let last = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
    let headers = lines.map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        (line[..colon].to_vec(), line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec())
    });
    RawRequest {
        method: line[..first].to_vec(),
        target: line.get(first + 1..last).unwrap_or_default().to_vec(),
        protocol: line.get(last + 1..).unwrap_or(b"HTTP/1.1").to_vec(),
        headers: headers.collect(),
        body: raw.get(head_end + 4..).unwrap_or_default().to_vec(),
    }
}

fn build_request(input: &Value) -> RawRequest {
    let text = |key: &str, default: &str| input[key].as_str().unwrap_or(default).to_owned();
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (name, value) in input["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        headers.push((name.clone().into_bytes(), expand(&value).trim().as_bytes().to_vec()));
    }
    let completes = input["autocomplete_headers"].as_bool().unwrap_or(true);
    let mut body = expand(&text("data", ""));
    let has = |headers: &[(Vec<u8>, Vec<u8>)], name: &str| {
        headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
    };
    if completes {
        if !body.is_empty() && !has(&headers, "content-type") {
            headers.push((b"Content-Type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
        }
        let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let content_type = content_type.map(|(_, value)| value.clone()).unwrap_or_default();
        if content_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            body = escape_form(&body);
        }
        if content_type.starts_with(b"multipart/form-data;") {
            body = body.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        if !has(&headers, "connection") {
            headers.push((b"Connection".to_vec(), b"close".to_vec()));
        }
        if !body.is_empty() && !has(&headers, "content-length") {
            headers.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        }
    }
    RawRequest {
        method: text("method", "GET").into_bytes(),
        target: expand(&text("uri", "/")).into_bytes(),
        protocol: text("version", "HTTP/1.1").into_bytes(),
        headers,
        body: body.into_bytes(),
    }
}

/// Form data without escapes is escaped for each key and value.
fn escape_form(body: &str) -> String {
    let is_escaped = url::decode(body.as_bytes()) != body.as_bytes();
    if is_escaped || body.is_empty() {
        return body.to_owned();
    }
    let pairs = body.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", escape(name), escape(value)),
        None => escape(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// `{{ "x" | repeat N }}`.
fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
    let Some((template, after)) = rest.split_once("}}") else { return text.to_owned() };
    let Some((literal, count)) = template.split_once("| repeat") else { return text.to_owned() };
    let literal = literal.trim().trim_matches('"');
    let count: usize = count.trim().parse().unwrap();
    format!("{before}{}{}", literal.repeat(count), expand(after))
}

fn evaluate(policy: &Arc<Policy>, raw: &RawRequest) -> BTreeSet<u32> {
    let headers: Vec<(&[u8], &[u8])> =
        raw.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let head = RequestHead {
        method: &raw.method,
        target: &raw.target,
        protocol: &raw.protocol,
        headers: &headers,
        remote_address: [127, 0, 0, 1].into(),
        id: b"1",
    };
    let mut transaction = Transaction::new(policy.clone(), &head, true);
    transaction.run_head();
    let settings = BodySettings { inspect_limit: 1 << 20, is_guessing: false };
    let mut reader = BodyReader::new(transaction.request_mut(), settings);
    reader.push(&raw.body, transaction.request_mut());
    reader.finish(transaction.request_mut());
    transaction.add_raw_body(&raw.body);
    transaction.request_mut().body_length = raw.body.len() as u64;
    transaction.run_body();
    let (status, response_headers, body) = reflect(raw);
    let fields: Vec<(&[u8], &[u8])> =
        response_headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    transaction.request_mut().add_response(status, b"HTTP/1.1", &fields);
    transaction.run_response(&body);
    transaction.run_log_phase();
    transaction.matches().iter().map(|found| found.rule).collect()
}

/// The backend answers `/reflect` with the status, headers and body given as JSON in the request.
fn reflect(raw: &RawRequest) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let plain = || (200, vec![("Content-Type".to_owned(), "text/plain".to_owned())], b"Hello".to_vec());
    if !raw.target.starts_with(b"/reflect") {
        return plain();
    }
    let Ok(given) = serde_json::from_slice::<Value>(&raw.body) else { return plain() };
    let status = given["status"].as_u64().unwrap_or(200) as u16;
    let headers = given["headers"].as_object().into_iter().flatten();
    let headers =
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let body = match given["encodedBody"].as_str() {
        Some(encoded) => base64::prelude::BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        None => given["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    (status, headers, body)
}
