//! Answers that are asked for anew while nobody waits (RFC 5861 3).

use super::{
    Cache, asked::Asked, conditions::Conditions, entry::Entry, flights::Joined, key::Found, landing::Ticket,
    status::Forward,
};
use crate::pipeline::{
    answer::Outcome,
    body::{Body, BodyRead, Chunk},
    exchange::Exchange,
};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

/// How long a service may be silent within an answer that nobody waits for.
const SILENCE: Duration = Duration::from_secs(60);

impl Cache {
    /// Asks for the same in the background, unless somebody does already.
    pub(super) fn refresh(self: &Arc<Self>, x: &Exchange, asked: &Asked, found: Found, entry: &Arc<Entry>) {
        let Some(services) = x.services.clone().filter(|_| !x.dry) else { return };
        let Joined::Lead(lead) = self.common.flights.join(found.key) else { return };
        let mut fork = x.fork(x.now);
        fork.req.set_method(b"GET");
        Conditions::take(&mut fork.req);
        fork.req.remove(b"cache-control");
        let asked = Asked { authorized: asked.authorized, ..Asked::default() };
        self.go_on(&mut fork, &asked, Some(found), Some(entry.clone()), Forward::Stale, Some(lead));
        let ticket = fork.ticket.take().and_then(|ticket| ticket.downcast::<Ticket>().ok());
        let Some(ticket) = ticket else { return };
        let (cache, request, worker) = (self.clone(), fork.req.clone(), x.worker);
        let inner = services.clone().inner(fork);
        services.spawn(Box::pin(async move {
            let mut outcome: Outcome = inner.await;
            cache.land(worker, &request, *ticket, &mut outcome);
            if let Ok(answer) = outcome
                && let Body::Stream(body) = answer.body
            {
                read_away(body).await;
            }
        }));
    }
}

/// Takes a body in to its end.
async fn read_away(mut body: Box<dyn BodyRead>) {
    loop {
        let step = poll_fn(|cx| {
            body.poll_fill(cx).map(|filled| match filled {
                Ok(Chunk::Data(data)) => Ok(Some(data.len())),
                Ok(Chunk::End) => Ok(None),
                Err(cause) => Err(cause),
            })
        });
        match tokio::time::timeout(SILENCE, step).await {
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
