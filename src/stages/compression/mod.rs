//! `CompressionOptions`: compression of responses for clients that accept it (RFC 9110, 8.4 and 12.5.3).
//!
//! - Elsewhere: nginx's `gzip` and `brotli`, Envoy's `compressor` filter, ASP.NET response compression under YARP.
//! - Entry point: [`Compression`], the stage. It is outside the cache, which stores what the backend sent, and
//!   outside the header transforms, which may change `Accept-Encoding` and the response's fields.
//! - Callers: the table of stages builds it; `compile` checks the options.
//! - Owns: idle encoders per worker, and the memory limit of streaming encoders.
//! - Outlives a reload: the memory count of the encoders.

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

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "compression";

/// Buffered bodies up to this size are compressed at once; larger ones are streamed.
const MAX_BUFFERED_BODY_BYTES: usize = 64 * 1024;

/// The compression of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// Codings with their levels, in order of preference.
    pub encodings: Vec<(ContentCoding, u8)>,
    /// Shorter responses are not compressed.
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
    /// Compresses within `memory`; responses beyond it are sent uncompressed.
    pub fn new(
        settings: &CompressionConfig,
        memory: MemoryLimit,
        metrics: &Arc<CompressionMetrics>,
    ) -> Compression {
        let preference = settings.encodings.iter().map(|(coding, _)| *coding).collect();
        Compression { settings: settings.clone(), preference, memory, metrics: metrics.clone() }
    }

    /// Coding and level for a response, if it is to be compressed.
    fn plan_encoding(&self, exchange: &Exchange, length: Option<u64>) -> Option<EncodingPlan> {
        let AcceptedCoding { best, identity_forbidden, .. } = exchange.response.accepted_coding;
        let coding =
            best.filter(|_| identity_forbidden || length.is_none_or(|n| n >= self.settings.min_size))?;
        let (_, level) = self.settings.encodings.iter().find(|(known, _)| *known == coding)?;
        Some(EncodingPlan { coding, level: *level, metrics: self.metrics.clone(), worker: exchange.worker })
    }

    fn compress_response(&self, exchange: &mut Exchange, response: &mut Response) {
        let Some(length) = body_length(exchange, response) else { return };
        if response.upgrade.is_some() || !headers::is_compressible(&response.head, &self.settings.media_types)
        {
            return;
        }
        headers::add_vary(&mut response.head);
        let plan = self.plan_encoding(exchange, length);
        let mut scratch = std::mem::take(&mut exchange.scratch);
        scratch.clear();
        match plan {
            Some(_) if response.head.status == 304 => {
                headers::rewrite_not_modified(&mut response.head, &exchange.request, &mut scratch);
            }
            Some(plan) if exchange.response.accepted_coding.head_only => {
                headers::rewrite_headers(&mut response.head, plan.coding, &mut scratch);
            }
            Some(plan) => self.compress(
                response,
                plan,
                exchange.response.accepted_coding.identity_forbidden,
                &mut scratch,
            ),
            None => {}
        }
        exchange.scratch = scratch;
    }

    /// Compresses the body and updates the head, unless the memory limit is reached, or the result is not shorter and
    /// `force` is false.
    fn compress(&self, response: &mut Response, plan: EncodingPlan, force: bool, buffer: &mut Vec<u8>) {
        let (coding, worker) = (plan.coding, plan.worker);
        let (body, length) = match std::mem::take(&mut response.body) {
            Body::Bytes(bytes) if bytes.len() <= MAX_BUFFERED_BODY_BYTES => {
                match compress_buffered(&bytes, &plan, force) {
                    Some(coded) => (Ok(Body::Bytes(coded.clone())), Some(coded.len() as u64)),
                    None => (Err(Body::Bytes(bytes)), None),
                }
            }
            Body::Bytes(bytes) => (self.compress_stream(Box::new(BufferedBody(bytes)), plan), None),
            Body::Stream(inner) => (self.compress_stream(inner, plan), None),
            Body::Empty => (Err(Body::Empty), None),
        };
        response.body = match body {
            Ok(body) => body,
            Err(body) => return response.body = body,
        };
        self.metrics.record_response(worker, coding);
        headers::rewrite_headers(&mut response.head, coding, buffer);
        if let Some(length) = length {
            response.head.append_number(b"Content-Length", length);
        }
    }

    /// Wraps a body in an encoder; returns it unchanged if the memory limit is reached.
    fn compress_stream(&self, inner: Box<dyn BodyRead>, plan: EncodingPlan) -> Result<Body, Body> {
        match self.memory.try_reserve(plan.coding, plan.level) {
            Some(reservation) => Ok(Body::Stream(Box::new(CompressedBody::new(inner, plan, reservation)))),
            None => {
                self.metrics.record_skipped(plan.worker);
                Err(Body::Stream(inner))
            }
        }
    }
}

/// The length of the body, if known; the outer `None`: there is no body.
fn body_length(exchange: &Exchange, response: &Response) -> Option<Option<u64>> {
    match response.body.length() {
        _ if response.head.status == 304 => Some(None),
        // The response to HEAD has the length of the response to GET.
        Some(0) if exchange.response.accepted_coding.head_only => {
            let content_length = response.head.get_known(KnownHeader::ContentLength).and_then(decimal);
            (content_length != Some(0)).then_some(content_length)
        }
        Some(0) => None,
        length => Some(length),
    }
}

impl Stage for Compression {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Negotiates the coding before header transforms may change `Accept-Encoding`.
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
        if let Ok(response) = outcome {
            self.compress_response(exchange, response);
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
