//! `CompressionOptions`: compression of responses for clients that accept it (RFC 9110, 8.4 and 12.5.3; nginx's `gzip`,
//! Envoy's `compressor` filter).
//!
//! The stage is outside the cache, which stores what the backend sent, and outside the header transforms, which may
//! change `Accept-Encoding` and the response's fields. The memory count of the encoders outlives a reload.

pub mod accept_encoding;
mod compile;
mod encoder;
mod headers;
pub mod media_types;
mod memory_limit;
mod options;
mod encoder_pool;
mod stream;

use crate::{
    base::{
        bytes::decimal,
        content_coding::{AcceptedCoding, ContentCoding},
        units::SizeText,
    },
    pipeline::{
        body::{Body, BodyRead},
        exchange::Exchange,
        head::KnownHeader,
        response::{Response, RouteResult},
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, RouteRole, StageConfig},
    telemetry::CompressionMetrics,
};
pub use memory_limit::MemoryLimit;
pub use options::{CompressionOptions, GlobalCompressionOptions};

use media_types::MediaTypes;
use std::{
    fmt::Write,
    sync::{Arc, atomic::AtomicU64},
};
use stream::{BufferedBody, CompressedBody, EncodingPlan, compress_buffered};

pub const NAME: &str = "compression";

/// Bodies that are here already are compressed in one go up to this size; longer ones piece by piece.
const BUFFERED_BODY_MAX: usize = 64 * 1024;

/// The compression of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// Those that are offered, and how hard each tries; the first is liked best.
    pub encodings: Vec<(ContentCoding, u8)>,
    /// Shorter answers stay as they are.
    pub min_size: u64,
    pub media_types: MediaTypes,
}

impl StageConfig for CompressionConfig {
    /// Bytes of memory that encoders of streams use.
    type State = Arc<AtomicU64>;

    /// The responses of an aggregate's parts are composed first.
    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        if context.role == RouteRole::AggregatePart {
            return Vec::new();
        }
        let memory = MemoryLimit::new(state, context.max_compression_memory);
        vec![Box::new(Compression::new(self, memory, context.metrics.compression()))]
    }
}

/// Compresses responses.
#[derive(Debug)]
pub struct Compression {
    settings: CompressionConfig,
    preference: Box<[ContentCoding]>,
    memory: MemoryLimit,
    metrics: Arc<CompressionMetrics>,
}

impl Compression {
    pub fn new(
        settings: &CompressionConfig,
        memory: MemoryLimit,
        metrics: &Arc<CompressionMetrics>,
    ) -> Compression {
        let preference = settings.encodings.iter().map(|(coding, _)| *coding).collect();
        Compression { settings: settings.clone(), preference, memory, metrics: metrics.clone() }
    }

    /// How it is compressed, if it is.
    fn plan_encoding(&self, exchange: &Exchange, length: Option<u64>) -> Option<EncodingPlan> {
        let AcceptedCoding { best, identity_forbidden: only_coded, .. } = exchange.response.accepted_coding;
        let coding = best.filter(|_| only_coded || length.is_none_or(|n| n >= self.settings.min_size))?;
        let (_, level) = self.settings.encodings.iter().find(|(known, _)| *known == coding)?;
        Some(EncodingPlan { coding, level: *level, metrics: self.metrics.clone(), worker: exchange.worker })
    }

    fn answer(&self, exchange: &mut Exchange, answer: &mut Response) {
        let Some(length) = length(exchange, answer) else { return };
        if answer.upgrade.is_some() || !headers::is_compressible(&answer.head, &self.settings.media_types) {
            return;
        }
        headers::add_vary(&mut answer.head);
        let means = self.plan_encoding(exchange, length);
        let mut out = std::mem::take(&mut exchange.scratch);
        out.clear();
        match means {
            Some(_) if answer.head.status == 304 => {
                headers::rewrite_not_modified(&mut answer.head, &exchange.request, &mut out)
            }
            Some(means) if exchange.response.accepted_coding.head_only => {
                headers::rewrite_headers(&mut answer.head, means.coding, &mut out)
            }
            Some(means) => {
                self.compress(answer, means, exchange.response.accepted_coding.identity_forbidden, &mut out)
            }
            None => {}
        }
        exchange.scratch = out;
    }

    /// Compresses the body and writes into the head what was done; unless there is no memory for it, or it would not become
    /// shorter and `must` is not said.
    fn compress(&self, answer: &mut Response, means: EncodingPlan, must: bool, buffer: &mut Vec<u8>) {
        let (coding, worker) = (means.coding, means.worker);
        let (body, length) = match std::mem::take(&mut answer.body) {
            Body::Bytes(bytes) if bytes.len() <= BUFFERED_BODY_MAX => {
                match compress_buffered(&bytes, &means, must) {
                    Some(coded) => (Ok(Body::Bytes(coded.clone())), Some(coded.len() as u64)),
                    None => (Err(Body::Bytes(bytes)), None),
                }
            }
            Body::Bytes(bytes) => (self.compress_stream(Box::new(BufferedBody(bytes)), means), None),
            Body::Stream(inner) => (self.compress_stream(inner, means), None),
            Body::Empty => (Err(Body::Empty), None),
        };
        answer.body = match body {
            Ok(body) => body,
            Err(body) => return answer.body = body,
        };
        self.metrics.record_response(worker, coding);
        headers::rewrite_headers(&mut answer.head, coding, buffer);
        if let Some(length) = length {
            answer.head.append_number(b"Content-Length", length);
        }
    }

    /// Compresses a body piece by piece, or gives it back where there is no memory for that.
    fn compress_stream(&self, inner: Box<dyn BodyRead>, means: EncodingPlan) -> Result<Body, Body> {
        match self.memory.try_reserve(means.coding, means.level) {
            Some(share) => Ok(Body::Stream(Box::new(CompressedBody::new(inner, means, share)))),
            None => {
                self.metrics.record_skipped(means.worker);
                Err(Body::Stream(inner))
            }
        }
    }
}

/// How long the body is or would be, where that is known; none at all where there is no body.
fn length(exchange: &Exchange, answer: &Response) -> Option<Option<u64>> {
    match answer.body.length() {
        _ if answer.head.status == 304 => Some(None),
        // To HEAD the length is said that a GET would bring.
        Some(0) if exchange.response.accepted_coding.head_only => {
            let said = answer.head.get_known(KnownHeader::ContentLength).and_then(decimal);
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
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        exchange.response.accepted_coding =
            accept_encoding::negotiate(exchange.request.get_all(b"accept-encoding"), &self.preference);
        exchange.response.accepted_coding.head_only = exchange.request.method() == b"HEAD";
        if headers::list_contains(&exchange.request, b"cache-control", b"no-transform") {
            exchange.response.accepted_coding.best = None;
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        if let Ok(answer) = outcome {
            self.answer(exchange, answer);
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (at, (coding, level)) in self.settings.encodings.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{} {level}", coding.name());
        }
        format!("{text}; from {}", SizeText(self.settings.min_size))
    }
}

#[cfg(test)]
mod tests;
