//! The bytes of bodies, for quotas of bandwidth.

use super::{
    context::{AfterResponse, Context},
    counters::{Counters, QuotaLimits},
};
use crate::pipeline::{
    body::{Body, BodyRead, Chunk, Framing},
    error::GatewayError,
    head::Head,
};
use std::{
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

/// Counts the bodies of this exchange under a key when its response has ended.
pub fn count_bytes(context: &mut Context<'_>, key: String, limits: QuotaLimits) {
    context.after_response.push(Arc::new(CountBytes { key, limits }));
}

#[derive(Debug)]
struct CountBytes {
    key: String,
    limits: QuotaLimits,
}

impl AfterResponse for CountBytes {
    fn finish(&self, context: &mut Context<'_>) {
        let received = context.client.bytes_received();
        let counter = ByteCounter {
            counters: context.shared.counters.clone(),
            key: self.key.clone(),
            limits: self.limits,
            bytes: received,
        };
        let Some(response) = &mut context.response else { return };
        response.body = match std::mem::take(&mut response.body) {
            Body::Stream(body) => Body::Stream(Box::new(CountedBody { body, counter })),
            body => {
                let mut counter = counter;
                counter.bytes += body.length().unwrap_or(0);
                body
            }
        };
    }
}

/// Adds its bytes to the quota when it is dropped.
struct ByteCounter {
    counters: Arc<Counters>,
    key: String,
    limits: QuotaLimits,
    bytes: u64,
}

impl Drop for ByteCounter {
    fn drop(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        self.counters.quota(&self.key, |count| {
            count.advance(&self.limits, now);
            count.bytes += self.bytes;
        });
        drop(self.counters.save_quota(&self.key));
    }
}

/// A body whose bytes are counted.
struct CountedBody {
    body: Box<dyn BodyRead>,
    counter: ByteCounter,
}

impl BodyRead for CountedBody {
    fn poll_fill(&mut self, cx: &mut TaskContext) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.body.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        self.counter.bytes += n as u64;
        self.body.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.body.trailers()
    }

    fn framing(&self) -> Framing {
        self.body.framing()
    }

    fn poll_upload(
        &mut self,
        cx: &mut TaskContext,
        from: &mut dyn BodyRead,
    ) -> Poll<Result<(), GatewayError>> {
        self.body.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}
