//! One call: an exchange of its own through the whole route of a part.

use super::gather::Asker;
use crate::{
    edge::{answer::through, part},
    pipeline::{
        answer::Answer,
        body::{Body, Caller, Chunk},
        cause::{Cause, Why},
        head::Head,
    },
    plan::{Part, aggregate::compose::failed},
    telemetry::RouteMetrics,
    wire::h1::hop::Hop,
};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::{Duration, Instant},
};

/// What a call brought back.
pub struct Reply {
    pub head: Head,
    pub body: Bytes,
}

/// Calls a part, for a value if there is one. `left` are the bytes that the answers of the part may still have.
pub fn call<'f>(
    asker: &'f Asker<'_>,
    part: &'f Part,
    value: Option<&'f [u8]>,
    left: &'f AtomicUsize,
) -> Pin<Box<dyn Future<Output = Result<Reply, Cause>> + Send + 'f>> {
    let ocelot = asker.aggregate.shape.ocelot;
    Box::pin(async move {
        let mut x = part.exchange(asker.x, value, ocelot);
        let mut counted = Counted::begin(&part.route.metrics, x.worker);
        let mut caller = part::Part::new(asker.body.bytes.clone(), asker.body.trailers.clone());
        let outcome = through(&part.route, &mut x, Hop::default(), &mut caller).await;
        asker.tried(x.record.attempts);
        let outcome = outcome.map_err(|cause| of_part(cause, part, ocelot));
        counted.status = outcome.as_ref().map_or_else(|cause| cause.status(ocelot), Answer::status);
        let Answer { head, body, .. } = outcome?;
        let body = whole(body, &mut caller, left, asker.aggregate.body_idle, part).await?;
        Ok(Reply { head, body })
    })
}

/// Says which part it was.
fn of_part(mut cause: Cause, part: &Part, ocelot: bool) -> Cause {
    if !ocelot {
        cause.detail = format!("the part \"{}\": {}", part.terms.key, cause.detail).into();
    }
    cause
}

/// The whole body of an answer, which may have come before the request was through.
async fn whole(
    body: Body,
    caller: &mut part::Part,
    left: &AtomicUsize,
    idle: Duration,
    part: &Part,
) -> Result<Bytes, Cause> {
    let mut stream = match body {
        Body::Empty => return Ok(Bytes::new()),
        Body::Bytes(bytes) => return take(left, bytes.len(), part).map(|()| bytes),
        Body::Stream(stream) => stream,
    };
    let (mut all, mut since) = (Vec::new(), Instant::now());
    poll_fn(|cx| {
        // That the service takes no more of the request does not spoil its answer.
        let _ = stream.poll_upload(cx, caller);
        while let Poll::Ready(chunk) = stream.poll_fill(cx) {
            let Chunk::Data(data) = chunk? else { return Poll::Ready(Ok(())) };
            let n = data.len();
            take(left, n, part)?;
            all.extend_from_slice(data);
            stream.consume(n);
            since = Instant::now();
        }
        let still = || Cause::new(Why::BackendBody, "the body stood still for too long");
        caller.poll_alarm(cx, since + idle).map(|()| Err(still()))
    })
    .await?;
    stream.finish();
    Ok(all.into())
}

/// Uses up some of the bytes that the answers of a part may have.
fn take(left: &AtomicUsize, n: usize, part: &Part) -> Result<(), Cause> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n));
    let most = part.terms.most;
    taken.map(drop).map_err(|_| failed(&part.terms.key, format!("answered with more than {most} bytes")))
}

/// Counts a call in the numbers of its route, also if nobody waits for its end.
pub struct Counted<'m> {
    metrics: &'m RouteMetrics,
    worker: usize,
    began: Instant,
    pub status: u16,
}

impl<'m> Counted<'m> {
    pub fn begin(metrics: &'m RouteMetrics, worker: usize) -> Counted<'m> {
        metrics.begin(worker);
        Counted { metrics, worker, began: Instant::now(), status: 499 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.end(self.worker, self.status, self.began.elapsed());
    }
}
