//! Compression of responses, negotiated per client; stored, streamed and truncated responses keep their properties.

use super::{document, over, to};
use crate::support::client::{Client, Request, Response};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::origin::Origin;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use crate::support::until;
use serde_json::{Value, json};
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A text that compresses well.
fn text() -> String {
    (0..400).map(|n| format!("{{\"number\": {n}, \"name\": \"catalog item\"}}\n")).collect()
}

/// The decoded response body; a coding without a proper end is an error.
fn decoded(answer: &Response) -> std::io::Result<String> {
    decode(answer.header("content-encoding"), &answer.body)
}

fn decode(coding: Option<&str>, bytes: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    match coding {
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)?.read_to_string(&mut text),
        Some(other) => panic!("an unknown coding {other}"),
        None => {
            text.push_str(&String::from_utf8_lossy(bytes));
            Ok(0)
        }
    }?;
    Ok(text)
}

fn compression_options() -> Value {
    json!({ "CompressionOptions": { "EnableCompression": true } })
}

fn compressing(port: u16) -> Gateway {
    Gateway::with(&document(port, &compression_options(), &json!({})))
}

fn serving(fields: &'static [(&str, &str)]) -> Origin {
    Origin::with(move |seen| {
        let answer = StubResponse::new(200, text()).header("Content-Type", "application/json");
        let answer = answer.header("X-Accepted", seen.header("accept-encoding").unwrap_or("nothing"));
        fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    })
}

fn accepting(codings: &str) -> Request {
    Request::get("/").header("Accept-Encoding", codings)
}

#[test]
fn every_coding_is_negotiated_and_decodes_to_the_original() {
    let origin =
        serving(&[("ETag", "\"v1\""), ("Accept-Ranges", "bytes"), ("Content-Digest", "sha-256=:x:")]);
    let gateway = compressing(origin.port());
    for (accepted, given) in [
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("*", "zstd"),
    ] {
        let answer = gateway.ask(&accepting(accepted));
        assert_eq!(answer.header("content-encoding"), Some(given), "{accepted}");
        assert_eq!(decoded(&answer).expect("sound"), text());
        assert!(answer.length < text().len() as u64 / 4, "{given}: {}", answer.length);
        assert_eq!(
            (answer.header("etag"), answer.header("vary")),
            (Some("W/\"v1\""), Some("Accept-Encoding"))
        );
        assert_eq!((answer.header("accept-ranges"), answer.header("content-digest")), (None, None));
        assert_eq!(answer.header("x-accepted"), Some(accepted), "the backend receives Accept-Encoding");
        assert!(answer.keeps_alive());
    }
    let page = gateway.admin("/metrics").text();
    let figure = |line: &str| -> u64 {
        let line = page.lines().find_map(|l| l.strip_prefix(line)).expect("the metric");
        line.trim().parse().expect("a number")
    };
    assert_eq!(figure("margay_compressed_responses_total{encoding=\"gzip\"}"), 2);
    let into = figure("margay_compression_bytes_total{direction=\"in\",encoding=\"zstd\"}");
    let out = figure("margay_compression_bytes_total{direction=\"out\",encoding=\"zstd\"}");
    assert_eq!(into, 2 * text().len() as u64);
    assert!(out > 0 && out < into / 4, "{out}");
}

#[test]
fn a_client_without_accept_encoding_gets_the_identity_response() {
    let origin = serving(&[("ETag", "\"v1\"")]);
    let gateway = compressing(origin.port());
    for refused in ["identity", "gzip;q=0", "gzip;q=0, *;q=0", "gzip;q=7"] {
        let answer = gateway.ask(&accepting(refused));
        assert_eq!(
            (answer.header("content-encoding"), answer.header("etag")),
            (None, Some("\"v1\"")),
            "{refused}"
        );
        assert_eq!((answer.text(), answer.header("vary")), (text(), Some("Accept-Encoding")));
        assert_eq!(answer.header("content-length"), Some(&*text().len().to_string()));
    }
}

#[test]
fn without_the_setting_nothing_is_compressed() {
    let origin = serving(&[]);
    let answer = super::gateway(origin.port()).ask(&accepting("gzip"));
    assert_eq!(
        (answer.header("content-encoding"), answer.header("vary"), answer.text()),
        (None, None, text())
    );
}

#[test]
fn curl_decodes_the_response_over_http_1_and_2() {
    let origin = serving(&[]);
    let gateway = compressing(origin.port());
    let url = format!("http://{}/", gateway.address);
    let write = " %{http_version} %{header_json}";
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["gzip", "br", "zstd"] {
            let header = format!("Accept-Encoding: {coding}");
            let arguments = ["-sS", "--compressed", version, "-H", &header, "-w", write, &url];
            let output = Command::new("curl").args(arguments).output().expect("curl");
            let output = String::from_utf8(output.stdout).expect("text");
            assert!(output.starts_with(&text()), "{coding}: {output}");
            assert!(output.contains(&format!("\"content-encoding\":[\"{coding}\"]")), "{output}");
        }
    }
}

#[test]
fn http_2_and_head_get_the_same_fields() {
    let origin = serving(&[]);
    let gateway = compressing(origin.port());
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        let answer =
            client.ask(h2::request("GET", "/", &[("accept-encoding", "br")])).await.expect("a response");
        assert_eq!(answer.header("content-encoding"), Some("br"));
        assert_eq!(decode(Some("br"), &answer.body).expect("sound"), text());
        let head =
            client.ask(h2::request("HEAD", "/", &[("accept-encoding", "br")])).await.expect("a response");
        assert_eq!((head.header("content-encoding"), head.header("content-length")), (Some("br"), None));
        assert!(head.body.is_empty());
    });
    let head = gateway.ask(&Request::new("HEAD", "/").header("Accept-Encoding", "gzip"));
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (Some("gzip"), None));
    assert_eq!(head.header("vary"), Some("Accept-Encoding"));
}

#[test]
fn uncompressible_responses_pass_unchanged() {
    let part = Origin::with(|seen| match seen.raw_path() {
        "/part" => StubResponse::new(206, &text()[..2000])
            .header("Content-Type", "text/plain")
            .header("Content-Range", "bytes 0-1999/20000"),
        "/still" => StubResponse::new(200, text())
            .header("Content-Type", "text/plain")
            .header("Cache-Control", "no-transform"),
        "/picture" => StubResponse::new(200, text()).header("Content-Type", "image/png"),
        "/coded" => StubResponse::new(200, text())
            .header("Content-Type", "text/plain")
            .header("Content-Encoding", "x-own"),
        "/short" => StubResponse::new(200, "short").header("Content-Type", "text/plain"),
        _ => StubResponse::new(204, ""),
    });
    let gateway = compressing(part.port());
    for target in ["/part", "/still", "/picture", "/coded", "/short", "/nothing"] {
        let answer = gateway.ask(&Request::get(target).header("Accept-Encoding", "gzip"));
        let known = if target == "/coded" { Some("x-own") } else { None };
        assert_eq!(answer.header("content-encoding"), known, "{target}");
        assert!(target == "/nothing" || answer.header("content-length").is_some(), "{target}");
        assert_eq!(answer.head.has("vary"), target == "/short", "{target}");
    }
}

#[test]
fn one_stored_response_is_encoded_for_each_client() {
    let origin = serving(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
    let route = over(compression_options(), &json!({ "CacheOptions": { "Mode": "Http" } }));
    let gateway = Gateway::with(&document(origin.port(), &route, &json!({})));
    for coding in ["gzip", "identity", "br", "zstd", "gzip", "identity"] {
        let answer = gateway.ask(&accepting(coding));
        let given = Some(coding).filter(|coding| *coding != "identity");
        assert_eq!(answer.header("content-encoding"), given);
        assert_eq!(decoded(&answer).expect("sound"), text(), "{coding}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        let tag = if given.is_some() { "W/\"v1\"" } else { "\"v1\"" };
        assert_eq!(answer.header("etag"), Some(tag));
        let known = gateway.ask(&accepting(coding).header("If-None-Match", tag));
        assert_eq!(
            (known.status, known.header("etag"), known.header("vary")),
            (304, Some(tag), Some("Accept-Encoding"))
        );
    }
    assert_eq!(origin.calls(), 1);
    let hit = gateway.ask(&accepting("gzip"));
    let length = hit.header("content-length").expect("a short stored answer has a length");
    assert_eq!(length, hit.body.len().to_string());
    let part = gateway.ask(&accepting("gzip").header("Range", "bytes=0-9"));
    assert_eq!((part.status, part.text()), (206, text()[..10].to_owned()));
    let whole = gateway.ask(&accepting("gzip").header("Range", "bytes=0-9").header("If-Range", "W/\"v1\""));
    assert_eq!(
        (whole.status, decoded(&whole).expect("sound")),
        (200, text()),
        "a weak tag is not enough for a part"
    );
}

#[test]
fn an_aggregate_is_compressed_as_a_whole() {
    let origin = Origin::with(|seen| {
        let body = format!("\"{} {}\"", seen.raw_path(), "many words ".repeat(200));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        StubResponse::new(200, body).header("Content-Type", "application/json")
    });
    let part = |key: &str| {
        let path = format!("/{key}");
        over(
            to(origin.port()),
            &json!({ "Key": key, "UpstreamPathTemplate": path, "DownstreamPathTemplate": path }),
        )
    };
    let whole =
        over(compression_options(), &json!({ "UpstreamPathTemplate": "/all", "RouteKeys": ["a", "b"] }));
    let gateway = Gateway::with(&json!({
        "Routes": [part("a"), part("b")], "Aggregates": [whole],
        "GlobalConfiguration": { "CompressionOptions": { "EnableCompression": true } },
    }));
    let answer = gateway.ask(&Request::get("/all").header("Accept-Encoding", "br"));
    assert_eq!(answer.header("content-encoding"), Some("br"));
    let json: Value = serde_json::from_str(&decoded(&answer).expect("sound")).expect("JSON");
    assert!(json["a"].as_str().is_some_and(|text| text.starts_with("/a many words")), "{json}");
}

/// A chunk of the scripted backend.
fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The decodable prefix of an unfinished stream.
fn decodable_prefix(coding: &str, bytes: &[u8]) -> String {
    let mut reader: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).expect("a decoder")),
    };
    let (mut text, mut piece) = (Vec::new(), [0; 512]);
    while let Ok(n @ 1..) = reader.read(&mut piece) {
        text.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(text).expect("text")
}

#[test]
fn each_event_arrives_before_the_next_one_is_sent() {
    for coding in ["gzip", "br", "zstd"] {
        let (go, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let service = ScriptedBackend::start(move |wire, _| {
            let _ = wire.head();
            wire.send(EVENTS);
            for n in 0..5 {
                wire.send(&chunk(&format!("data: {n}\n\n")));
                let _ = wait.lock().expect("the test").recv();
            }
            wire.send(b"0\r\nX-Sum: 5\r\n\r\n");
        });
        let gateway = compressing(service.port());
        let mut client = Client::connect(gateway.address);
        client.send(accepting(coding).header("TE", "trailers").bytes("h"));
        let head = client.wire.head().expect("a head");
        assert_eq!(head.get("content-encoding"), Some(coding));
        let (mut bytes, mut expected) = (Vec::new(), String::new());
        for n in 0..5 {
            expected += &format!("data: {n}\n\n");
            while decodable_prefix(coding, &bytes) != expected {
                let line = client.wire.line().expect("a chunk");
                let size = u64::from_str_radix(&line, 16).expect("a size");
                client.wire.exactly(size, &mut |piece| bytes.extend_from_slice(piece)).expect("bytes");
                client.wire.line().expect("the end of the chunk");
            }
            go.send(()).expect("the service");
        }
        let trailers = client.wire.chunked(&mut |piece| bytes.extend_from_slice(piece)).expect("the end");
        assert_eq!(decode(Some(coding), &bytes).expect("a sound end"), expected);
        assert_eq!(trailers, [("X-Sum".to_owned(), "5".to_owned())]);
    }
}

#[test]
fn responses_pass_uncompressed_when_the_memory_limit_is_reached() {
    let service = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(EVENTS);
        wire.send(&chunk("data: 1\n\n"));
        let _ = wire.drain();
    });
    let limits = json!({ "Limits": { "MaxCompressionMemory": "1MiB" } });
    let gateway = Gateway::with(&document(service.port(), &compression_options(), &limits));
    let open = || {
        let mut client = Client::connect(gateway.address);
        client.send(accepting("gzip").bytes("h"));
        let head = client.wire.head().expect("a head");
        assert_eq!(head.get("vary"), Some("Accept-Encoding"));
        (client, head.get("content-encoding").is_some())
    };
    let (first, second, third) = (open(), open(), open());
    assert_eq!((first.1, second.1, third.1), (true, true, false));
    let page = gateway.admin("/metrics").text();
    assert!(page.lines().any(|line| line == "margay_compression_skipped_total 1"), "{page}");
    drop(first);
    assert!(until(Duration::from_secs(5), || open().1.then_some(())).is_some(), "memory comes back");
}

#[test]
fn a_truncated_body_is_visibly_truncated_after_compression() {
    for coding in ["gzip", "br", "zstd"] {
        let service = ScriptedBackend::start(|wire, _| {
            let _ = wire.head();
            wire.send(EVENTS);
            wire.send(&chunk("data: half\n\n"));
        });
        let gateway = compressing(service.port());
        let mut client = Client::connect(gateway.address);
        client.send(accepting(coding).bytes("h"));
        client.wire.head().expect("a head");
        let mut bytes = Vec::new();
        let end = client.wire.chunked(&mut |piece| bytes.extend_from_slice(piece));
        assert!(end.is_err(), "{coding} ends as if nothing had happened");
        assert_eq!(decodable_prefix(coding, &bytes), "data: half\n\n");
        assert!(decode(Some(coding), &bytes).is_err(), "{coding} has an end");
    }
}

#[test]
fn long_compressed_responses_stream_completely() {
    let long = text().repeat(80);
    let body = long.clone();
    let origin = Origin::with(move |_| StubResponse::new(200, &body).header("Content-Type", "text/plain"));
    let gateway = compressing(origin.port());
    for coding in ["gzip", "br", "zstd"] {
        let answer = gateway.ask(&accepting(coding));
        assert_eq!(answer.header("content-length"), None);
        assert!(decoded(&answer).expect("sound") == long, "{coding}");
    }
    assert_eq!(origin.connections(), 1, "the connection to the service is used again");
}

#[test]
fn a_slow_client_slows_the_backend_down() {
    // Longer than the window of every encoder.
    let mut x = 1_u32;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect();
    for coding in ["gzip", "br", "zstd"] {
        let (sent, piece) = (Arc::new(AtomicUsize::new(0)), noise.clone());
        let count = sent.clone();
        let service = ScriptedBackend::start(move |wire, _| {
            let _ = wire.head();
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1073741824\r\n\r\n");
            while wire.send(&piece) {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        });
        let gateway = compressing(service.port());
        let mut client = Client::connect(gateway.address);
        client.send(accepting(coding).bytes("h"));
        assert_eq!(client.wire.head().expect("a head").get("content-encoding"), Some(coding));
        let now = || sent.load(Ordering::SeqCst);
        let still = until(Duration::from_secs(10), || {
            let before = now();
            std::thread::sleep(Duration::from_millis(300));
            (before > 0 && now() == before).then_some(before)
        });
        let still = still.expect("the service is held up");
        assert!(still < 64 << 20, "{coding}: {still} bytes went into sockets and buffers");
    }
}
