//! Mixed load: many clients, methods, sizes and framings, some clients disconnecting in the middle; every
//! response belongs to its request.

use super::document;
use crate::support::client::{Body, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::time::Duration;

/// A small generator with a fixed sequence.
struct Generator(u64);

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n
    }

    fn bytes(&mut self) -> Vec<u8> {
        let size = match self.below(4) {
            0 => 0,
            1 => self.below(100),
            2 => self.below(20_000),
            _ => self.below(200_000),
        };
        let first = u8::try_from(self.below(200)).unwrap_or(0);
        (0..size).map(|i| first.wrapping_add(u8::try_from(i % 251).unwrap_or(0))).collect()
    }

    fn request(&mut self, name: &str) -> Request {
        let request = Request::new(["POST", "PUT", "PATCH", "DELETE"][self.below(4)], name);
        let body = match self.below(4) {
            0 => return Request::get(name),
            1 => return Request::new("HEAD", name),
            2 => Body::CompleteResponse(self.bytes()),
            _ => Body::Chunks((0..self.below(5)).map(|_| self.bytes()).collect(), Vec::new()),
        };
        Request { body, ..request }
    }
}

/// Responds with the client's name, then the body; framed by the parity of the name's length.
fn echo() -> Origin {
    Origin::with(|seen| {
        let answer = StubResponse::new(200, [seen.target.as_bytes(), b"|", &seen.body].concat());
        if seen.target.len().is_multiple_of(2) { answer.chunked(&[]) } else { answer }
    })
}

fn expected(request: &Request) -> Vec<u8> {
    let body = match &request.body {
        _ if request.method == "HEAD" => return Vec::new(),
        Body::None => Vec::new(),
        Body::CompleteResponse(bytes) => bytes.clone(),
        Body::Chunks(parts, _) => parts.concat(),
    };
    [request.target.as_bytes(), b"|", &body].concat()
}

fn one_client(gateway: &Gateway, number: usize) {
    let mut dice = Generator(number as u64 + 1);
    let mut client = gateway.connect();
    for turn in 0..60 {
        let name = format!("/{}/{number}/{turn}", "x".repeat(dice.below(9)));
        let request = dice.request(&name);
        if dice.below(12) == 0 {
            let bytes = request.bytes("gw");
            client.send(&bytes[..dice.below(bytes.len()) + 1]);
            client = gateway.connect();
            continue;
        }
        let answer = client.must(&request);
        assert_eq!(answer.status, 200, "{} {}", request.method, request.target);
        assert!(answer.body == expected(&request), "{} {} got another body", request.method, request.target);
        if !answer.keeps_alive() {
            client = gateway.connect();
        }
    }
}

#[test]
fn every_response_belongs_to_its_request_under_mixed_load() {
    let origin = echo();
    let document = document(origin.port(), &json!({}), &json!({}));
    let mut gateway = Gateway::start(&Setup::json(&document).threads(2));
    std::thread::scope(|scope| {
        for number in 0..12 {
            let gateway = &gateway;
            scope.spawn(move || one_client(gateway, number));
        }
    });
    gateway.process.signal("TERM");
    let ended = gateway.process.ends_within(Duration::from_secs(5)).expect("it ends, with nothing left over");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
