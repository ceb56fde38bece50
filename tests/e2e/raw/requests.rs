//! `raw_requests.jsonl`: what a hostile client may send, and what may result.

use super::checks::checks;
use super::strict::{Record, Strict};
use super::{Verdict, bytes, chosen, load, settle};
use crate::support::client::{Client, Response};
use crate::support::gateway::Gateway;
use crate::support::http1_reader::Fault;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The time a client waits for a response or a close.
const ANSWER: Duration = Duration::from_secs(3);
/// After the responses: no byte for this long, and the client is done.
const QUIET: Duration = Duration::from_millis(60);

#[test]
fn no_invalid_byte_stream_gets_past_the_parser() {
    run("requests", |client, raw| {
        client.send(raw);
    });
}

#[test]
fn fragmentation_does_not_change_the_result() {
    run("requests in pieces", |client, raw| {
        let mut state = raw.iter().fold(7_usize, |s, b| s.wrapping_mul(31).wrapping_add(usize::from(*b)));
        let mut rest = raw;
        while !rest.is_empty() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let piece = 1 + (state >> 33) % rest.len().min(1 + raw.len() / 4);
            client.send(&rest[..piece]);
            rest = &rest[piece..];
            std::thread::sleep(Duration::from_micros(700));
        }
    });
}

/// Sends a stream over a connection.
type Send = fn(&mut Client, &[u8]);

fn run(what: &str, send: Send) {
    let cases = chosen(load("raw_requests.jsonl"));
    let next = AtomicUsize::new(0);
    let verdicts: Vec<Mutex<Verdict>> = cases.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let origin = Strict::start();
                let gateway = Gateway::with(&catch_all(origin.address.port()));
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(index) else { break };
                    *verdicts[index].lock().expect("no panic") = judge(case, &gateway, &origin, send);
                }
            });
        }
    });
    let verdicts: Vec<Verdict> = verdicts.into_iter().map(|v| v.into_inner().expect("no panic")).collect();
    settle("requests", what, &cases, &verdicts);
}

/// Every path to one backend, Host preserved.
pub fn catch_all(port: u16) -> Value {
    json!({ "Routes": [{
        "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": port }],
        "PreserveHost": true,
    }]})
}

/// What the client received.
#[derive(Default)]
struct ClientResult {
    answers: Vec<Response>,
    closed: bool,
    malformed: Option<String>,
}

fn judge(case: &Value, gateway: &Gateway, origin: &Strict, send: Send) -> Verdict {
    let raw = bytes(case);
    origin.take();
    let got = play(case, &raw, gateway, send);
    std::thread::sleep(Duration::from_millis(15));
    let mut records = origin.take();
    excuse(case, &mut records);
    let mut verdict = Verdict::default();
    fatal(case, &got, &records, &mut verdict.fatal);
    rule(case, &got, &records, &raw, &mut verdict.open);
    verdict
}

/// Sends the stream and reads the responses.
fn play(case: &Value, raw: &[u8], gateway: &Gateway, send: Send) -> ClientResult {
    let mut client = Client::connect(gateway.address);
    send(&mut client, raw);
    if case["fin"] == json!(true) {
        client.wire.finish();
    }
    let mut got = ClientResult::default();
    let first = String::from_utf8_lossy(raw.split(|b| *b == b' ').next().unwrap_or_default()).into_owned();
    let started = Instant::now();
    listen(&mut client, &first, &mut got, case["must_close"] == json!(true), started);
    if !got.closed && !got.answers.is_empty() {
        client.wire.finish();
        listen(&mut client, "GET", &mut got, true, started);
        got.closed = false;
    }
    got
}

fn listen(client: &mut Client, first: &str, got: &mut ClientResult, until_close: bool, started: Instant) {
    while started.elapsed() < ANSWER * 2 {
        let patient = got.answers.is_empty() || until_close;
        client.wire.read_timeout(if patient { ANSWER } else { QUIET });
        let method = if got.answers.is_empty() { first } else { "GET" };
        match client.answer(method) {
            Ok(answer) => got.answers.push(answer),
            Err(Fault::Closed) => {
                got.closed = true;
                return;
            }
            Err(Fault::Timeout) => return,
            Err(Fault::CutShort(what) | Fault::Malformed(what)) => {
                got.malformed = Some(what);
                got.closed = true;
                return;
            }
        }
    }
}

/// Removes violations that the case itself declares tolerable.
fn excuse(case: &Value, records: &mut [Record]) {
    let checks = &case["checks"];
    for record in records {
        let excused = |check: &str, v: &str, kind: &str| checks[check] == json!(true) && v.starts_with(kind);
        record.violations.retain(|v| {
            !excused("target_ok", v, "target-characters:") && !excused("ctl_ok", v, "control byte:")
        });
    }
}

fn fatal(case: &Value, got: &ClientResult, records: &[Record], wrong: &mut Vec<String>) {
    for record in records {
        if case["smuggle"] == json!(true) && record.target.starts_with("/smuggled") {
            wrong.push(format!("smuggled: {} {}", record.method, record.target));
        }
        let hard = record.violations.iter().filter(|v| v.starts_with("CL+TE") || v.starts_with("host"));
        wrong.extend(hard.map(|v| format!("forwarded with {v}")));
    }
    if let Some(what) = &got.malformed {
        wrong.push(format!("the client got no HTTP: {what:?}"));
    }
    let complete: Vec<&Record> = records.iter().filter(|r| r.complete).collect();
    let relayed = got.answers.iter().filter(|a| a.status == 200 && !a.body.is_empty());
    for (answer, record) in relayed.zip(complete.iter().filter(|r| r.method != "HEAD")) {
        if answer.text() != format!("seen {}", record.target) {
            wrong.push(format!("desynchronised: {:?} for {}", answer.text(), record.target));
        }
    }
}

fn rule(case: &Value, got: &ClientResult, records: &[Record], raw: &[u8], wrong: &mut Vec<String>) {
    let complete: Vec<&Record> = records.iter().filter(|r| r.complete).collect();
    for record in records {
        wrong.extend(record.violations.iter().map(|v| format!("not canonical, {v}")));
    }
    wrong.extend(outcome(case, got, complete.len() as u64));
    if case["must_close"] == json!(true) && !got.closed {
        wrong.push(format!("the connection stays open: {}", shown(got)));
    }
    if let Some(first) = complete.first() {
        checks(&case["checks"], first, raw, wrong);
    }
    if case["checks"]["no_complete"] == json!(true) && !complete.is_empty() {
        wrong.push("a complete request reached the service".into());
    }
    if case["checks"]["no_101"] == json!(true) && got.answers.iter().any(|a| a.status == 101) {
        wrong.push("switched protocols".into());
    }
}

/// Whether the stream was rejected, accepted, or either, as its rule requires.
fn outcome(case: &Value, got: &ClientResult, forwarded: u64) -> Option<String> {
    let rejected = match got.answers.first() {
        Some(first) => first.status >= 400,
        None => got.closed,
    };
    let accepted = got.answers.first().is_some_and(|a| a.status == 200);
    let (holds, what) = match case["rule"].as_str() {
        Some("must_reject") => (rejected && forwarded == 0, "not rejected"),
        Some("must_normalise") => (accepted && Some(forwarded) == case["forwarded"].as_u64(), "not accepted"),
        _ if forwarded == 0 => (rejected, "neither rejected nor forwarded"),
        _ => (case["max_forwarded"].as_u64().is_some_and(|most| forwarded <= most), "too many forwarded"),
    };
    (!holds).then(|| format!("{what}: {}, {forwarded} forwarded", shown(got)))
}

fn shown(got: &ClientResult) -> String {
    let codes: Vec<u16> = got.answers.iter().map(|a| a.status).collect();
    format!("answers {codes:?}, {}", if got.closed { "closed" } else { "open" })
}
