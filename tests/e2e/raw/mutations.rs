//! Mutated streams: the corpus with bytes changed, truncated, duplicated and recombined. Whatever the mutation,
//! the backend receives only valid requests, the client only valid responses, and the gateway
//! survives. `MUTATIONS=100000` for a long run, `SEED=n` for other mutations.

use super::requests::catch_all;
use super::strict::Strict;
use super::{bytes, load};
use crate::support::announce;
use crate::support::client::{Client, Request};
use crate::support::gateway::Gateway;
use crate::support::http1_reader::Fault;
use crate::support::scripted_backend::ScriptedBackend;
use serde_json::{Value, json};
use std::time::Duration;

/// A small generator with a fixed sequence.
struct Generator(u64);

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }
}

const TELLING: [&[u8]; 22] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b",",
    b";",
    b"0",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: \r\n",
    b"Host: evil.test\r\n",
    b"Connection: close, Host\r\n",
    b"Expect: 100-continue\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"\xff",
];

fn mutate(streams: &[Vec<u8>], dice: &mut Generator) -> Vec<u8> {
    let mut stream = streams[dice.below(streams.len())].clone();
    if dice.below(6) == 0 {
        stream.extend_from_slice(&streams[dice.below(streams.len())]);
    }
    for _ in 0..=dice.below(4) {
        let at = dice.below(stream.len() + 1);
        let end = (at + dice.below(12)).min(stream.len());
        match dice.below(5) {
            0 => drop(stream.drain(at..end)),
            1 => {
                let part = stream[at..end].to_vec();
                stream.splice(at..at, part);
            }
            2 if at < stream.len() => stream[at] = u8::try_from(dice.below(256)).unwrap_or(0),
            _ => drop(stream.splice(at..at, TELLING[dice.below(TELLING.len())].iter().copied())),
        }
    }
    stream
}

/// Sends one stream; returns the bytes received that are not HTTP.
fn play(stream: &[u8], gateway: &Gateway) -> Option<String> {
    let mut client = Client::connect(gateway.address);
    client.send(stream);
    client.wire.read_timeout(Duration::from_millis(20));
    let method =
        String::from_utf8_lossy(stream.split(|b| *b == b' ').next().unwrap_or_default()).into_owned();
    match client.answer(method.trim_start()) {
        Err(Fault::Malformed(what)) => Some(format!("{what:?} for {:?}", String::from_utf8_lossy(stream))),
        // A second response cannot be attributed to HEAD or GET.
        _ => None,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// Plays `count` mutations on several concurrent connections; returns the bytes received that are not HTTP.
fn play_all(gateway: &Gateway, count: u64, seed: u64) -> Vec<String> {
    let cases = load("raw_requests.jsonl");
    let good = |case: &&Value| case["rule"] == json!("must_normalise");
    let short = |stream: &Vec<u8>| stream.len() < 2000;
    let all: Vec<Vec<u8>> = cases.iter().map(bytes).filter(short).collect();
    let good: Vec<Vec<u8>> = cases.iter().filter(good).map(bytes).filter(short).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (all, good) = (&all, &good);
                scope.spawn(move || {
                    let mut dice = Generator(seed * 1000 + thread);
                    let streams =
                        (0..count / 8).map(|n| mutate(if n % 2 == 0 { all } else { good }, &mut dice));
                    streams.filter_map(|stream| play(&stream, gateway)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    })
}

#[test]
fn no_mutation_of_a_stream_gets_past_the_parser() {
    let (count, seed) = (number("MUTATIONS").unwrap_or(4000), number("SEED").unwrap_or(1));
    let origin = Strict::start();
    let mut gateway = Gateway::with(&catch_all(origin.address.port()));
    let mut wrong = play_all(&gateway, count, seed);
    assert_eq!(gateway.ask(&Request::get("/clean")).text(), "seen /clean");
    let records = origin.take();
    let excused = |v: &String| v.starts_with("target-characters") || v.starts_with("control byte");
    // A request that the client truncates is truncated at the backend as well; nothing else may be malformed.
    let broken = records.iter().filter(|r| r.violations.iter().any(|v| !excused(v)));
    wrong.extend(broken.map(|r| format!("forwarded {:?} {:?} {:?}", r.method, r.target, r.violations)));
    announce(&format!("raw mutations: {count} streams, {} requests forwarded, seed {seed}", records.len()));
    assert!(
        wrong.is_empty(),
        "{} were not canonical:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(gateway.process.ended().is_none() && !gateway.process.stderr().contains("panicked"));
}

/// Answers `/m/N` with the N-th mutation (and closes after every second), other paths with their own name.
fn mutating_service(seed: u64) -> ScriptedBackend {
    let answers: Vec<Vec<u8>> = load("raw_responses.jsonl").iter().map(bytes).collect();
    ScriptedBackend::start(move |wire, _| {
        while let Ok(head) = wire.head() {
            let target = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
            let Some(n) = target.strip_prefix("/m/").and_then(|n| n.parse::<u64>().ok()) else {
                wire.send(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()).as_bytes(),
                );
                continue;
            };
            let mut dice = Generator(seed.wrapping_mul(7919).wrapping_add(n));
            dice.below(2);
            if !wire.send(&mutate(&answers, &mut dice)) || n % 2 == 0 {
                return;
            }
        }
    })
}

/// Requests a mutation, then a clean response on the same and on another connection.
fn ask_for(n: u64, gateway: &Gateway) -> Option<String> {
    let mut client = gateway.connect();
    client.wire.read_timeout(Duration::from_millis(20));
    let kept = match client.ask(&Request::get(&format!("/m/{n}"))) {
        Ok(answer) => answer.keeps_alive(),
        Err(Fault::Malformed(what)) => return Some(format!("{n}: {what:?}")),
        Err(_) => false,
    };
    let clean = format!("/clean/{n}");
    for mut client in kept.then_some(client).into_iter().chain([gateway.connect()]) {
        client.wire.read_timeout(Duration::from_secs(5));
        match client.ask(&Request::get(&clean)) {
            Ok(answer) if answer.text() == clean => {}
            Err(Fault::Closed) => {}
            other => return Some(format!("{n}: then {:?}", other.map(|a| (a.status, a.text())))),
        }
    }
    None
}

#[test]
fn no_mutation_of_a_response_reaches_another_request() {
    let (count, seed) = (number("MUTATIONS").unwrap_or(2000), number("SEED").unwrap_or(1));
    let origin = mutating_service(seed);
    let mut gateway = Gateway::with(&catch_all(origin.port()));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let gateway = &gateway;
        let run = move |thread: u64| {
            (0..count / 8).filter_map(|n| ask_for(n * 8 + thread, gateway)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    announce(&format!("raw mutations: {count} answers, seed {seed}"));
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(gateway.process.ended().is_none() && !gateway.process.stderr().contains("panicked"));
}
