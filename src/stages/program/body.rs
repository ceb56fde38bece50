//! Bodies that statements read: collected up to a limit, and decoded.

use super::{context::Context, failure::Failure, section::Section};
use crate::pipeline::{
    body::Body,
    collect::{BodyPace, collect_body, collect_response},
    error::{ErrorCode, GatewayError},
    head::Head,
};
use bytes::Bytes;
use std::{io::Read, time::Duration};

const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The codings that are decoded.
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "br", "zstd"];

/// Collects the body of the request.
pub async fn collect_request(context: &mut Context<'_>) -> Result<(), Failure> {
    if context.exchange.body.collected.is_none() {
        let max = context
            .shared
            .max_body_bytes
            .min(usize::try_from(context.exchange.body.limit).unwrap_or(usize::MAX));
        let pace = BodyPace::new(BODY_IDLE_TIMEOUT, context.exchange.body.min_rate);
        let charge = context.exchange.buffer_charge();
        let body = collect_body(context.client, max, pace, charge).await.map_err(Failure::from_gateway)?;
        context.exchange.body.collected = Some(body);
    }
    let Some(coding) = coding(&context.exchange.request) else { return Ok(()) };
    let body = context.exchange.body.collected.clone().unwrap_or_default();
    let decoded = decode(&coding, &body, context.shared.max_body_bytes).map_err(|error| match error {
        DecodeError::TooLarge => Failure::from_gateway(GatewayError::new(
            ErrorCode::RequestBody,
            "the decoded request body is larger than ApiManagement.MaxBodySize",
        )),
        DecodeError::Malformed => {
            Failure::content(Section::Inbound, format!("the request body is not encoded with {coding}"))
        }
    })?;
    context.set_request_body(decoded);
    Ok(())
}

/// Collects the body of the response.
pub async fn collect_backend_response(context: &mut Context<'_>) -> Result<(), Failure> {
    let max = context.shared.max_body_bytes;
    let Some(response) = &mut context.response else { return Ok(()) };
    if matches!(response.body, Body::Stream(_))
        && let Body::Stream(body) = std::mem::take(&mut response.body)
    {
        let mut held = 0;
        let charge = context.exchange.buffer_charge();
        let collected = collect_response(body, context.client, BODY_IDLE_TIMEOUT, charge, |n| {
            held += n;
            if held > max {
                return Err(GatewayError::new(
                    ErrorCode::BackendTooLarge,
                    "the response is larger than ApiManagement.MaxBodySize",
                ));
            }
            Ok(())
        });
        let body = collected.await.map_err(Failure::from_gateway)?;
        response.body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
    }
    decode_response(context)
}

fn decode_response(context: &mut Context<'_>) -> Result<(), Failure> {
    let max = context.shared.max_body_bytes;
    let Some(response) = &mut context.response else { return Ok(()) };
    let (Some(coding), Body::Bytes(body)) = (coding(&response.head), &response.body) else { return Ok(()) };
    let decoded = decode(&coding, body, max).map_err(|error| match error {
        DecodeError::TooLarge => Failure::from_gateway(GatewayError::new(
            ErrorCode::BackendTooLarge,
            "the decoded response is larger than ApiManagement.MaxBodySize",
        )),
        DecodeError::Malformed => {
            Failure::content(Section::Outbound, format!("the response body is not encoded with {coding}"))
        }
    })?;
    set_response_body(context, decoded);
    Ok(())
}

/// Replaces the body of the response, and what follows from it.
pub fn set_response_body(context: &mut Context<'_>, body: Bytes) {
    let Some(response) = &mut context.response else { return };
    let head = &mut response.head;
    for name in
        ["Content-Encoding", "Content-MD5", "Digest", "Content-Digest", "Content-Length", "Accept-Ranges"]
    {
        head.remove(name.as_bytes());
    }
    if let Some(tag) = head.get(b"ETag").filter(|tag| !tag.starts_with(b"W/")).map(<[u8]>::to_vec) {
        head.set(b"ETag", &[b"W/", tag.as_slice()].concat());
    }
    response.body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
}

/// The one coding of a body that can be decoded.
fn coding(head: &Head) -> Option<String> {
    let coding = String::from_utf8_lossy(head.get(b"Content-Encoding")?).trim().to_ascii_lowercase();
    CODINGS.contains(&coding.as_str()).then_some(coding)
}

enum DecodeError {
    Malformed,
    TooLarge,
}

/// Decodes a body; at most `max` bytes.
fn decode(coding: &str, body: &[u8], max: usize) -> Result<Bytes, DecodeError> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let mut reader: Box<dyn Read> = match coding {
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(body).map_err(|_| DecodeError::Malformed)?),
        "deflate" if body.first().is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(body))
        }
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(body)),
        _ => Box::new(flate2::read::MultiGzDecoder::new(body)),
    };
    let mut decoded = Vec::new();
    let limited = reader.by_ref().take(max as u64 + 1).read_to_end(&mut decoded);
    limited.map_err(|_| DecodeError::Malformed)?;
    if decoded.len() > max {
        return Err(DecodeError::TooLarge);
    }
    Ok(decoded.into())
}
