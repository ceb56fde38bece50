//! Responses that a stage inspects: the head and the beginning of the body are held back until the inspector has decided.

use super::{
    body::{Body, BodyRead, Chunk, ClientBody, Framing},
    collect::CollectedBody,
    error::GatewayError,
    exchange::Exchange,
    head::Head,
    response::{Response, RouteResult},
};
use crate::base::budget::BufferCharge;
use bytes::Bytes;
use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// After this time without a byte the beginning that has arrived is inspected: a slow stream reaches its client.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Passes a response to the inspector of its exchange.
///
/// # Errors
///
/// The decision of the inspector, and those of the body.
pub async fn inspect_response(
    exchange: &mut Exchange,
    client: &mut dyn ClientBody,
    outcome: RouteResult,
) -> RouteResult {
    let Some(mut inspector) = exchange.response.inspector.take() else { return outcome };
    let mut response = match outcome {
        Ok(response) if response.upgrade.is_none() => response,
        outcome => {
            inspector.skip();
            return outcome;
        }
    };
    let limit = inspector.body_limit(&response.head);
    let beginning = hold_beginning(&mut response, client, limit, exchange.buffer_charge()).await?;
    inspector.decide(&response.head, &beginning).await?;
    Ok(response)
}

/// The first bytes of the body, which stay a part of the response.
async fn hold_beginning(
    response: &mut Response,
    client: &mut dyn ClientBody,
    limit: usize,
    charge: Option<BufferCharge>,
) -> Result<Bytes, GatewayError> {
    match std::mem::take(&mut response.body) {
        Body::Bytes(bytes) => {
            response.body = Body::Bytes(bytes.clone());
            Ok(bytes.slice(..bytes.len().min(limit)))
        }
        Body::Stream(mut stream) if limit > 0 => {
            let (held, is_ended) = read_beginning(&mut *stream, client, limit, charge).await?;
            let held = held.into_bytes();
            let body = HeldBody::new(held.clone(), stream, is_ended);
            response.body = Body::Stream(Box::new(body));
            Ok(held.slice(..held.len().min(limit)))
        }
        body => {
            response.body = body;
            Ok(Bytes::new())
        }
    }
}

/// Reads until `limit` bytes have arrived, the body ends or the backend pauses; whether the body has ended.
async fn read_beginning(
    stream: &mut dyn BodyRead,
    client: &mut dyn ClientBody,
    limit: usize,
    charge: Option<BufferCharge>,
) -> Result<(CollectedBody, bool), GatewayError> {
    let mut held = CollectedBody::new(Vec::new(), charge)?;
    let mut deadline = Instant::now() + STALL_TIMEOUT;
    let is_ended = poll_fn(|cx| {
        // A backend that stops reading the request may still respond completely.
        let _ = stream.poll_upload(cx, client.as_body());
        while held.as_slice().len() < limit {
            let count = match stream.poll_fill(cx) {
                Poll::Pending => return client.poll_deadline(cx, deadline).map(|()| Ok(false)),
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(Chunk::Data(data))) => {
                    held.push(data)?;
                    data.len()
                }
            };
            stream.consume(count);
            deadline = Instant::now() + STALL_TIMEOUT;
        }
        Poll::Ready(Ok(false))
    })
    .await?;
    Ok((held, is_ended))
}

/// The beginning of a body that was read before, followed by the rest.
pub struct HeldBody {
    held: Bytes,
    at: usize,
    rest: Box<dyn BodyRead>,
    is_ended: bool,
}

impl HeldBody {
    /// `held` was read from `rest`, of which nothing is left if it is ended.
    pub fn new(held: Bytes, rest: Box<dyn BodyRead>, is_ended: bool) -> HeldBody {
        HeldBody { held, at: 0, rest, is_ended }
    }
}

impl BodyRead for HeldBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        match self.at < self.held.len() {
            true => Poll::Ready(Ok(Chunk::Data(&self.held[self.at..]))),
            false if self.is_ended => Poll::Ready(Ok(Chunk::End)),
            false => self.rest.poll_fill(cx),
        }
    }

    fn consume(&mut self, n: usize) {
        if self.at == self.held.len() {
            return self.rest.consume(n);
        }
        self.at += n;
        if self.at == self.held.len() {
            (self.held, self.at) = (Bytes::new(), 0);
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.rest.trailers()
    }

    fn framing(&self) -> Framing {
        self.rest.framing()
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.rest.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.rest.finish();
    }
}
