//! `CompressionOptions`: answers are compressed for clients that take it (RFC 9110 8.4 and 12.5.3).
//!
//! The stage stands outside the cache, which keeps what the service gave, and outside the header transforms, which may
//! change what the service hears of the client's wishes and what is known of the answer.

pub mod accept;
mod encoder;
mod fields;
pub mod kinds;
mod memory;
mod shelf;
mod stream;

use crate::{
    base::{
        bytes::decimal,
        coding::{Accepted, Coding},
        units::SizeText,
    },
    pipeline::{
        answer::{Answer, Outcome},
        body::{Body, BodyRead},
        exchange::Exchange,
        head::Known,
        stage::{Stage, Step},
    },
    telemetry::CompressionMetrics,
};
pub use memory::Memory;

use kinds::Kinds;
use std::{fmt::Write, sync::Arc};
use stream::{Compressed, Here, Means, at_once};

pub const NAME: &str = "compression";

/// Bodies that are here already are compressed in one go up to this size; longer ones piece by piece.
const SHORT: usize = 64 * 1024;

/// What a route says about compression; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Those that are offered, and how hard each tries; the first is liked best.
    pub encodings: Vec<(Coding, u8)>,
    /// Shorter answers stay as they are.
    pub least: u64,
    pub kinds: Kinds,
}

/// Compresses answers.
#[derive(Debug)]
pub struct Compression {
    settings: Settings,
    preference: Box<[Coding]>,
    memory: Memory,
    metrics: Arc<CompressionMetrics>,
}

impl Compression {
    pub fn new(settings: &Settings, memory: Memory, metrics: &Arc<CompressionMetrics>) -> Compression {
        let preference = settings.encodings.iter().map(|(coding, _)| *coding).collect();
        Compression { settings: settings.clone(), preference, memory, metrics: metrics.clone() }
    }

    /// How it is compressed, if it is.
    fn means(&self, x: &Exchange, length: Option<u64>) -> Option<Means> {
        let Accepted { best, only_coded, .. } = x.accepted;
        let coding = best.filter(|_| only_coded || length.is_none_or(|n| n >= self.settings.least))?;
        let (_, level) = self.settings.encodings.iter().find(|(known, _)| *known == coding)?;
        Some(Means { coding, level: *level, metrics: self.metrics.clone(), worker: x.worker })
    }

    fn answer(&self, x: &mut Exchange, answer: &mut Answer) {
        let Some(length) = length(x, answer) else { return };
        if answer.switch.is_some() || !fields::may(&answer.head, &self.settings.kinds) {
            return;
        }
        fields::vary(&mut answer.head);
        let means = self.means(x, length);
        let mut out = std::mem::take(&mut x.scratch);
        out.clear();
        match means {
            Some(_) if answer.head.status == 304 => fields::unchanged(&mut answer.head, &x.req, &mut out),
            Some(means) if x.accepted.bodiless => fields::coded(&mut answer.head, means.coding, &mut out),
            Some(means) => self.code(answer, means, x.accepted.only_coded, &mut out),
            None => {}
        }
        x.scratch = out;
    }

    /// Compresses the body and writes into the head what was done; unless there is no memory for it, or it would not become
    /// shorter and `must` is not said.
    fn code(&self, answer: &mut Answer, means: Means, must: bool, out: &mut Vec<u8>) {
        let (coding, worker) = (means.coding, means.worker);
        let (body, length) = match std::mem::take(&mut answer.body) {
            Body::Bytes(bytes) if bytes.len() <= SHORT => match at_once(&bytes, &means, must) {
                Some(coded) => (Ok(Body::Bytes(coded.clone())), Some(coded.len() as u64)),
                None => (Err(Body::Bytes(bytes)), None),
            },
            Body::Bytes(bytes) => (self.stream(Box::new(Here(bytes)), means), None),
            Body::Stream(inner) => (self.stream(inner, means), None),
            Body::Empty => (Err(Body::Empty), None),
        };
        answer.body = match body {
            Ok(body) => body,
            Err(body) => return answer.body = body,
        };
        self.metrics.answer(worker, coding);
        fields::coded(&mut answer.head, coding, out);
        if let Some(length) = length {
            answer.head.append_number(b"Content-Length", length);
        }
    }

    /// Compresses a body piece by piece, or gives it back where there is no memory for that.
    fn stream(&self, inner: Box<dyn BodyRead>, means: Means) -> Result<Body, Body> {
        match self.memory.share(means.coding, means.level) {
            Some(share) => Ok(Body::Stream(Box::new(Compressed::new(inner, means, share)))),
            None => {
                self.metrics.skip(means.worker);
                Err(Body::Stream(inner))
            }
        }
    }
}

/// How long the body is or would be, where that is known; none at all where there is no body.
fn length(x: &Exchange, answer: &Answer) -> Option<Option<u64>> {
    match answer.body.length() {
        _ if answer.head.status == 304 => Some(None),
        // To HEAD the length is said that a GET would bring.
        Some(0) if x.accepted.bodiless => {
            let said = answer.head.known(Known::ContentLength).and_then(decimal);
            (said != Some(0)).then_some(said)
        }
        Some(0) => None,
        length => Some(length),
    }
}

impl Stage for Compression {
    fn name(&self) -> &'static str {
        NAME
    }

    /// What the client takes is noticed before header transforms change what the service hears of it.
    fn request(&self, x: &mut Exchange) -> Step {
        x.accepted = accept::accepted(x.req.all(b"accept-encoding"), &self.preference);
        x.accepted.bodiless = x.req.method() == b"HEAD";
        if fields::has(&x.req, b"cache-control", b"no-transform") {
            x.accepted.best = None;
        }
        Step::Next
    }

    fn outcome(&self, x: &mut Exchange, outcome: &mut Outcome) {
        if let Ok(answer) = outcome {
            self.answer(x, answer);
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (at, (coding, level)) in self.settings.encodings.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{} {level}", coding.name());
        }
        format!("{text}; from {}", SizeText(self.settings.least))
    }
}

#[cfg(test)]
mod tests;
