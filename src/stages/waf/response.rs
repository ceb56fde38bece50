//! Responses: the rules for their heads and for the beginnings of their bodies.

use super::config::ResponseConfig;
use super::evaluate::{PoolResult, evaluate_response, run_on_pool};
use super::record::{ResponseSlot, WafRecord};
use super::state::WafShared;
use crate::base::content_coding::ContentCoding;
use crate::pipeline::head::Head;
use crate::pipeline::inspection::{ResponseDecision, ResponseInspector};
use std::fmt;
use std::io::{self, Read};

/// A longer body is evaluated by the pool.
const MAX_INLINE_BYTES: usize = 4 << 10;

/// The largest window of compressed bodies, as a power of two (RFC 8878, 3.1.1.1.2 recommends to support 8 MB).
const MAX_WINDOW_LOG: u32 = 23;

/// Inspects the response to one request.
pub struct WafResponseInspector {
    slot: ResponseSlot,
    shared: WafShared,
    record: Option<Box<WafRecord>>,
    limit: usize,
}

impl WafResponseInspector {
    /// An inspector for the request whose record will be in `slot`.
    pub fn new(slot: ResponseSlot, shared: WafShared) -> Self {
        Self { slot, shared, record: None, limit: 0 }
    }
}

impl fmt::Debug for WafResponseInspector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WafResponseInspector").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl ResponseConfig {
    /// Whether the body of a response is inspected: by its media type, and without one.
    fn has_type(&self, head: &Head) -> bool {
        let Some(content_type) = head.get(b"content-type") else { return true };
        let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        self.content_types.iter().any(|known| media.eq_ignore_ascii_case(known.as_bytes()))
    }
}

impl ResponseInspector for WafResponseInspector {
    fn body_limit(&mut self, head: &Head) -> usize {
        self.record = self.slot.take();
        let config = self.record.as_ref().and_then(|record| record.policy.response.as_ref());
        self.limit = config.filter(|config| config.has_type(head)).map_or(0, |config| config.inspect_limit);
        self.limit
    }

    fn decide(self: Box<Self>, head: &Head, beginning: &[u8]) -> ResponseDecision {
        let Self { record, shared, limit, .. } = *self;
        let Some(mut record) = record else { return Box::pin(std::future::ready(Ok(()))) };
        // The rules see the decoded body.
        let fields = head.fields().filter(|(_, name, _)| !name.eq_ignore_ascii_case(b"content-encoding"));
        let fields: Vec<(&[u8], &[u8])> = fields.map(|(_, name, value)| (name, value)).collect();
        let protocol = head.version.as_str().as_bytes();
        record.transaction.request_mut().add_response(head.status, protocol, &fields);
        let coding = head.get(b"content-encoding").map(<[u8]>::to_vec);
        if beginning.is_empty() || (coding.is_none() && beginning.len() <= MAX_INLINE_BYTES) {
            let decision = evaluate_response(&mut record, beginning);
            record.report(&shared, decision.as_ref().err().map(|error| error.status(false)));
            return Box::pin(std::future::ready(decision));
        }
        let beginning = beginning.to_vec();
        let evaluation = run_on_pool(record, &shared, beginning.len(), move |record| {
            let body = coding.map_or(Ok(beginning.clone()), |coding| decode(&coding, &beginning, limit));
            evaluate_response(record, &body.unwrap_or_default())
        });
        Box::pin(async move {
            let PoolResult { record, decision } = evaluation.await;
            if let Some(record) = record {
                record.report(&shared, decision.as_ref().err().map(|error| error.status(false)));
            }
            decision
        })
    }

    fn skip(self: Box<Self>) {
        if let Some(record) = self.slot.take() {
            record.report(&self.shared, None);
        }
    }
}

/// The beginning of a compressed body, at most `limit` bytes of it. Data that ends early or is invalid ends the text.
fn decode(coding: &[u8], data: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let Some(coding) = ContentCoding::from_name(coding.trim_ascii()) else { return Ok(Vec::new()) };
    let mut reader: Box<dyn Read + '_> = match coding {
        ContentCoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(data)),
        ContentCoding::Brotli => Box::new(brotli::Decompressor::new(data, 4096)),
        ContentCoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(data)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    let (mut text, mut buffer) = (Vec::new(), [0; 8192]);
    while text.len() < limit {
        match reader.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count.min(limit - text.len())]),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn compressed_beginnings_are_read_as_far_as_they_arrived() {
        let text = b"ORA-00933: SQL command not properly ended ".repeat(500);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(decode(b"gzip", &gzip, 100).unwrap(), text[..100]);
        assert_eq!(decode(b"zstd", &zstd, text.len()).unwrap(), text);
        assert!(text.starts_with(&decode(b"gzip", &gzip[..gzip.len() / 2], text.len()).unwrap()));
        assert_eq!(decode(b"br", b"\xff\xff", 100).unwrap(), b"");
        assert_eq!(decode(b"unknown", &text, 100).unwrap(), b"");
    }
}
