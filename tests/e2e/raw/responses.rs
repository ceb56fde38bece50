//! `raw_responses.jsonl`: what a broken or hostile backend may send, and what the client may receive.

use super::requests::catch_all;
use super::strict::is_token;
use super::{Verdict, bytes, chosen, id, load, settle};
use crate::support::client::{Client, Ending, Request, Response};
use crate::support::gateway::Gateway;
use crate::support::http1_reader::{Fault, Http1Stream, Result};
use crate::support::scripted_backend::ScriptedBackend;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

#[test]
fn no_invalid_response_gets_past_the_parser() {
    let cases = chosen(load("raw_responses.jsonl"));
    let scripts: HashMap<String, (Vec<u8>, bool)> =
        cases.iter().map(|c| (id(c).to_owned(), (bytes(c), c["close"] == json!(true)))).collect();
    let origin = ScriptedBackend::start(move |wire, _| while serve(wire, &scripts) {});
    let gateway = Gateway::with(&catch_all(origin.port()));
    let verdicts: Vec<Verdict> = cases.iter().map(|c| judge(c, &gateway)).collect();
    settle("responses", "responses", &cases, &verdicts);
}

/// Answers one request: the bytes of the case it names, or a clean response.
fn serve(wire: &mut Http1Stream, scripts: &HashMap<String, (Vec<u8>, bool)>) -> bool {
    let Ok(head) = wire.head() else { return false };
    let target = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
    match target.strip_prefix("/rs/").and_then(|id| scripts.get(id)) {
        Some((bytes, close)) => wire.send(bytes) && !close,
        None => wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Clean: 1\r\n\r\nclean"),
    }
}

fn judge(case: &Value, gateway: &Gateway) -> Verdict {
    let mut client = Client::connect(gateway.address);
    client.wire.read_timeout(Duration::from_secs(5));
    let answer = client.ask(&Request::get(&format!("/rs/{}", id(case))).header("Host", "gw.test"));
    let mut verdict = Verdict::default();
    rule(case, &answer, &mut verdict.open);
    if let Ok(response) = &answer {
        canonical(response, &mut verdict);
        if response.keeps_alive() {
            clean(&mut client, &mut verdict.fatal);
        }
    }
    clean(&mut Client::connect(gateway.address), &mut verdict.fatal);
    verdict
}

/// The next response is the clean one, or the connection is closed.
fn clean(client: &mut Client, wrong: &mut Vec<String>) {
    match client.ask(&Request::get("/clean").header("Host", "gw.test")) {
        Ok(r) if r.status == 200 && r.text() == "clean" && r.header("x-clean") == Some("1") => {}
        Err(Fault::Closed) => {}
        other => wrong.push(format!("the next answer is not the clean one: {}", shown(&other))),
    }
}

fn shown(answer: &Result<Response>) -> String {
    match answer {
        Ok(r) => format!("{} {:?} {:?} {:?}", r.status, r.ending, r.text(), r.head.headers),
        Err(fault) => format!("{fault:?}"),
    }
}

fn rule(case: &Value, answer: &Result<Response>, wrong: &mut Vec<String>) {
    let refused = answer.as_ref().is_ok_and(|r| matches!(r.status, 502 | 504));
    let broken = matches!(answer, Err(Fault::CutShort(_) | Fault::Malformed(_)));
    let complete = answer.as_ref().is_ok_and(|r| body_fits(case, r));
    let holds = match case["rule"].as_str() {
        Some("must_502") => refused || broken,
        Some("must_normalise") => complete,
        _ => refused || broken || complete,
    };
    if !holds {
        wrong.push(shown(answer));
    }
}

fn body_fits(case: &Value, response: &Response) -> bool {
    let bodiless = case["nobody"] == json!(true) || response.status == 204;
    if bodiless {
        return response.ending == Ending::NoBody;
    }
    response.status == 200 && case["body"].as_str().is_none_or(|b| b == response.text())
}

/// The client received a valid message.
fn canonical(response: &Response, verdict: &mut Verdict) {
    let head = &response.head;
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    if lengths.len() > 1 || (!lengths.is_empty() && !codings.is_empty()) {
        verdict.fatal.push(format!("relayed with lengths {lengths:?} and codings {codings:?}"));
    }
    if !codings.is_empty() && codings != ["chunked"] {
        verdict.open.push(format!("relayed with codings {codings:?}"));
    }
    if head.has("x-evil") {
        verdict.fatal.push("the second answer leaked into the first".into());
    }
    if let Some((name, _)) = head.headers.iter().find(|(n, _)| !is_token(n.as_bytes())) {
        verdict.open.push(format!("relayed a field named {name:?}"));
    }
    let lines = head.raw.split(|b| *b == b'\n');
    if lines.clone().any(|l| l.trim_ascii_end().iter().any(|b| matches!(b, b'\r' | 0))) || has_fold(&head.raw)
    {
        verdict.open.push(format!("relayed {:?}", String::from_utf8_lossy(&head.raw)));
    }
}

fn has_fold(raw: &[u8]) -> bool {
    crate::support::http1_reader::find(raw, b"\r\n ").is_some()
        || crate::support::http1_reader::find(raw, b"\r\n\t").is_some()
}
