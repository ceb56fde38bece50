//! Answers that are asked for anew while nobody waits (RFC 5861 3).

use super::{
    Cache, coalescing::Role, conditions::Conditions, entry::Entry, key::ComputedKey, request::CacheRequest,
    status::Forward, store_response::CacheContext,
};
use crate::pipeline::{
    body::{Body, BodyRead, Chunk},
    exchange::Exchange,
    response::RouteResult,
};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

/// How long a service may be silent within an answer that nobody waits for.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl Cache {
    /// Asks for the same in the background, unless somebody does already.
    pub(super) fn refresh(
        self: &Arc<Self>,
        exchange: &Exchange,
        asked: &CacheRequest,
        found: ComputedKey,
        entry: &Arc<Entry>,
    ) {
        let Some(services) = exchange.runtime.clone().filter(|_| !exchange.is_dry_run) else { return };
        let Role::Leader(lead) = self.shared.coalescer.join(found.key) else { return };
        let mut fork = exchange.fork(exchange.now);
        fork.request.set_method(b"GET");
        Conditions::take_from_request(&mut fork.request);
        fork.request.remove(b"cache-control");
        let asked = CacheRequest { authorized: asked.authorized, ..CacheRequest::default() };
        self.forward(&mut fork, &asked, Some(found), Some(entry.clone()), Forward::Stale, Some(lead));
        let ticket =
            fork.response.cache_context.take().and_then(|ticket| ticket.downcast::<CacheContext>().ok());
        let Some(ticket) = ticket else { return };
        let (cache, request, worker) = (self.clone(), fork.request.clone(), exchange.worker);
        let inner = services.clone().run_remaining(fork);
        services.spawn(Box::pin(async move {
            let mut outcome: RouteResult = inner.await;
            cache.handle_response(worker, &request, *ticket, &mut outcome);
            if let Ok(answer) = outcome
                && let Body::Stream(body) = answer.body
            {
                drain_body(body).await;
            }
        }));
    }
}

/// Takes a body in to its end.
async fn drain_body(mut body: Box<dyn BodyRead>) {
    loop {
        let step = poll_fn(|cx| {
            body.poll_fill(cx).map(|filled| match filled {
                Ok(Chunk::Data(data)) => Ok(Some(data.len())),
                Ok(Chunk::End) => Ok(None),
                Err(cause) => Err(cause),
            })
        });
        match tokio::time::timeout(BODY_IDLE_TIMEOUT, step).await {
            Ok(Ok(Some(n))) => body.consume(n),
            Ok(Ok(None)) => return body.finish(),
            _ => return,
        }
        // Others on this worker want to go on too.
        poll_fn(yield_once()).await;
    }
}

/// Pending once.
fn yield_once() -> impl FnMut(&mut std::task::Context) -> Poll<()> {
    let mut asked = false;
    move |cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
