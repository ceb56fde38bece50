//! Runs one case: start, steps, verdict.

use super::case::Case;
use super::environment::{Environment, pretty};
use super::expect::{self, StepResult};
use super::own;
use super::tokens::header_value;
use crate::reasons::{CAPABILITIES, codes_for};
use crate::support::client::{Body, Client, Request};
use crate::support::gateway::Gateway;
use crate::support::origin::next_order;
use crate::support::process::Ended;
use crate::support::stub_backend::{pairs, text_of};
use crate::support::websocket::{open, opening};
use base64::Engine;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

/// The outcome of a case.
pub enum Outcome {
    Passed,
    /// It describes a gateway that was built without a feature.
    Skipped,
    /// It requires this later capability.
    Pending(String),
    Failed(String),
}

const MUST_FAIL_WITHIN: Duration = Duration::from_secs(10);

pub fn run(case: &Case) -> Outcome {
    if case.is_api_management {
        return super::margay::run(case);
    }
    if case.is_for_another_build() {
        return Outcome::Skipped;
    }
    let environment = Environment::new(case);
    let began = Instant::now();
    if case.is_own() && case.must_fail() {
        return own::refused(case, &environment);
    }
    match (environment.start(case), case.must_fail()) {
        (Ok(gateway), false) => steps(case, &environment, gateway),
        (Err(ended), true) if began.elapsed() < MUST_FAIL_WITHIN => refused(case, &ended),
        (Err(_), true) => Outcome::Failed("the start failed, but not within 10 s".into()),
        (Ok(_), true) => Outcome::Failed(format!("starts, although Ocelot refuses it: {:?}", case.reasons())),
        (Err(ended), false) => did_not_start(&ended),
    }
}

/// The codes of the errors that were printed (`error[MG0101]: …`).
fn codes(ended: &Ended) -> Vec<String> {
    let pattern = regex::Regex::new(r"error\[(MG\d{4})\]").expect("a pattern");
    let text = format!("{}\n{}", ended.stderr, ended.stdout);
    pattern.captures_iter(&text).map(|c| c[1].to_owned()).collect()
}

fn is_not_yet(code: &str) -> bool {
    code.starts_with("MG09")
}

/// The reason why a required start failed.
fn did_not_start(ended: &Ended) -> Outcome {
    let codes = codes(ended);
    if codes.is_empty() || !codes.iter().all(|c| is_not_yet(c)) {
        return Outcome::Failed(format!(
            "does not start (exit {:?}):\n{}{}",
            ended.code, ended.stdout, ended.stderr
        ));
    }
    let name = |code: &String| {
        CAPABILITIES.iter().find(|(c, _)| c == code).map_or(code.as_str(), |(_, n)| n).to_owned()
    };
    let mut names: Vec<String> = codes.iter().map(name).collect();
    names.sort();
    names.dedup();
    Outcome::Pending(names.join(" + "))
}

/// A start that must fail failed; it counts when each of Ocelot's reasons has one of our codes.
fn refused(case: &Case, ended: &Ended) -> Outcome {
    let printed = codes(ended);
    let missing: Vec<String> = case
        .reasons()
        .iter()
        .filter_map(|reason| {
            let codes = codes_for(reason);
            // A case without a reason of Ocelot accepts any diagnostic of ours.
            let found = match reason.is_empty() {
                true => printed.iter().any(|c| !is_not_yet(c)),
                false => codes.iter().any(|c| !is_not_yet(c) && printed.iter().any(|p| p == c)),
            };
            (!found).then(|| format!("{reason:?} requires one of {codes:?}"))
        })
        .collect();
    if missing.is_empty() && ended.code.is_some_and(|c| c != 0) {
        return Outcome::Passed;
    }
    Outcome::Failed(format!(
        "refused (exit {:?}), but not for Ocelot's reason: {}\nprinted {printed:?}\n{}{}",
        ended.code,
        missing.join("; "),
        ended.stdout,
        ended.stderr
    ))
}

/// The steps of a case.
pub fn steps_of(case: &Case) -> &[Value] {
    case.list("steps")
}

pub fn steps(case: &Case, environment: &Environment, mut gateway: Gateway) -> Outcome {
    for (number, step) in case.list("steps").iter().enumerate() {
        let wrong = one_step(case, environment, &gateway, step);
        std::thread::sleep(Duration::from_millis(step["wait_ms"].as_u64().unwrap_or(0)));
        if !wrong.is_empty() {
            let ended = gateway
                .process
                .ended()
                .map(|e| format!("\n  the gateway has ended: {e:?}"))
                .unwrap_or_default();
            let stderr = gateway.process.stderr();
            let tail: Vec<&str> = stderr.lines().rev().take(12).collect();
            let place = gateway.keep();
            return Outcome::Failed(format!(
                "step {number} {}\n  {}{ended}\n  configuration in {}\n  stderr (last lines first): {tail:?}",
                shortened(&environment.ports.fill(&step["request"]).to_string()),
                wrong.join("\n  "),
                place.display(),
            ));
        }
    }
    Outcome::Passed
}

fn shortened(text: &str) -> String {
    text.chars().take(600).collect()
}

fn one_step(case: &Case, environment: &Environment, gateway: &Gateway, step: &Value) -> Vec<String> {
    if let Some(config) = step.get("write_config") {
        gateway.write(&pretty(&environment.ports.fill(&case.document(config))));
    } else if let Some(stub) = step.get("set_stub") {
        environment.set_stub(stub);
    }
    own::write_files(environment, gateway, &step["write_files"]);
    if let Some(action) = step.get("put_partition") {
        return own::put_partition(gateway, &environment.ports.fill(action));
    }
    if step["reset_calls"] == Value::Bool(true) {
        environment.origins.values().for_each(crate::support::origin::Origin::forget);
    }
    if let Some(action) = step.get("websocket") {
        return websocket(&environment.ports.fill(action), gateway, &step["expect"]);
    }
    if step.get("request").is_none() {
        return Vec::new();
    }
    let patience = Duration::from_millis(step["request"]["retry_until_ms"].as_u64().unwrap_or(0));
    let start = Instant::now();
    loop {
        let before = next_order();
        let made = make(case, environment, gateway, &step["request"]);
        let wrong = expect::check(environment, &step["expect"], &made, before);
        if wrong.is_empty() || start.elapsed() >= patience {
            return wrong;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Opens a WebSocket, sends the messages, and compares the responses.
fn websocket(action: &Value, gateway: &Gateway, expected: &Value) -> Vec<String> {
    let mut request = opening(action["path"].as_str().unwrap_or("/"));
    request.headers.extend(pairs(&action["headers"]));
    let (head, socket) = open(gateway.address, &request);
    let mut wrong = Vec::new();
    let status = expected["status"].as_u64().unwrap_or(101);
    if !head.start.contains(&format!(" {status} ")) {
        wrong.push(format!("unexpected status {status}: {}", head.start));
    }
    let Some(mut socket) = socket else { return wrong };
    let list = |key: &str| action[key].as_array().cloned().unwrap_or_default();
    for message in list("send") {
        let _ = socket.send(Message::text(text_of(&message)));
    }
    for want in list("expect") {
        let want = Message::text(text_of(&want));
        match socket.read() {
            Ok(got) if got == want => {}
            other => wrong.push(format!("expected {want:?}, got {other:?}")),
        }
    }
    let Some([code, reason]) = action["close"].as_array().map(Vec::as_slice) else { return wrong };
    let code = u16::try_from(code.as_u64().unwrap_or(1000)).expect("a close code");
    let _ = socket.close(Some(CloseFrame { code: code.into(), reason: text_of(reason).into() }));
    let answered = loop {
        match socket.read() {
            Ok(Message::Close(frame)) => break frame.map(|frame| u64::from(u16::from(frame.code))),
            Ok(_) => {}
            Err(_) => break None,
        }
    };
    if answered != expected["close_code"].as_u64() {
        wrong.push(format!("expected close code {}, got {answered:?}", expected["close_code"]));
    }
    wrong
}

/// Sends the request(s) of a step.
fn make(case: &Case, environment: &Environment, gateway: &Gateway, action: &Value) -> StepResult {
    let action = environment.ports.fill(action);
    let parallel = action["repeat_parallel"].as_u64();
    let times = parallel.or(action["repeat"].as_u64()).unwrap_or(1);
    let requests: Vec<Request> = (0..times).map(|i| request(case, &action, i)).collect();
    let start = Instant::now();
    let answers: Vec<expect::Answer> = if parallel.is_some() {
        std::thread::scope(|scope| {
            let all: Vec<_> =
                requests.iter().map(|r| scope.spawn(move || ask(gateway, r, &Value::Null))).collect();
            all.into_iter().map(|t| t.join().expect("no panic")).collect()
        })
    } else {
        requests.iter().map(|r| ask(gateway, r, &action["abort_after_ms"])).collect()
    };
    StepResult { answers: requests.into_iter().zip(answers).collect(), took: start.elapsed() }
}

fn ask(gateway: &Gateway, request: &Request, abort_after: &Value) -> expect::Answer {
    ask_at(gateway.address, request, abort_after)
}

/// Sends a request to an address on its own connection.
pub fn ask_at(address: SocketAddr, request: &Request, abort_after: &Value) -> expect::Answer {
    let mut client = Client::try_connect(address).map_err(|e| format!("no connection: {e}"))?;
    if let Some(after) = abort_after.as_u64() {
        client.send(request.bytes("localhost"));
        std::thread::sleep(Duration::from_millis(after));
        return Err("aborted".into());
    }
    client.ask(request).map_err(|fault| format!("{fault:?}"))
}

/// The request of a step.
pub fn request(case: &Case, action: &Value, index: u64) -> Request {
    let target = match action["path"].as_array() {
        Some(list) => text_of(&list[usize::try_from(index).expect("fits") % list.len()]),
        None => text_of(&action["path"]),
    };
    let target = header_value(case, &target);
    let mut request = Request::new(action["method"].as_str().unwrap_or("GET"), &target);
    request.headers =
        pairs(&action["headers"]).into_iter().map(|(n, v)| (n, header_value(case, &v))).collect();
    request.body = body(action);
    request
}

fn body(action: &Value) -> Body {
    if let Some(chunks) = action["chunks"].as_array() {
        return Body::Chunks(chunks.iter().map(|c| text_of(c).into_bytes()).collect(), Vec::new());
    }
    let bytes = if let Some(n) = action["generate_body_bytes"].as_u64() {
        vec![b'x'; usize::try_from(n).expect("fits")]
    } else if let Some(text) = action["body_base64"].as_str() {
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    } else if action["body"].is_null() {
        return Body::None;
    } else {
        text_of(&action["body"]).into_bytes()
    };
    if action["chunked"] == Value::Bool(true) {
        Body::Chunks(vec![bytes], Vec::new())
    } else {
        Body::CompleteResponse(bytes)
    }
}
