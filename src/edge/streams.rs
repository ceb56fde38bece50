//! A client connection over HTTP/2: every stream is an exchange of its own, served beside the others on the same worker.

use super::{
    door::Guest,
    serve::{exchange, refuse},
    worker::Worker,
};
use crate::wire::{
    buffer::ReadBuffer,
    h2::{ClientStream, Connection},
    io::Io,
};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// Serves a connection of which it is known that it speaks HTTP/2; `input` is what was read of it already. No stream
/// outlives its connection by more than it takes to notice.
pub async fn serve(io: Io, input: ReadBuffer, guest: Guest, w: Arc<Worker>) {
    let (client, limits) = {
        let plan = w.plan();
        (plan.limits.client, plan.limits.http2)
    };
    let Some(mut conn) = Connection::open(io, input, &client, limits).await else { return };
    let guest = Arc::new(guest);
    let told = w.gateway.drain.told();
    let mut told = pin!(told.notified());
    let drain = &w.gateway.drain;
    let mut stop = |cx: &mut Context| {
        if drain.is_on() { Poll::Ready(()) } else { told.as_mut().poll(cx) }
    };
    let counted = w.gateway.metrics().http2();
    counted.opened(w.index);
    loop {
        let stream = conn.next(&mut stop).await;
        counted.refused(w.index, conn.refused());
        let Some(stream) = stream else { break };
        counted.begun(w.index);
        tokio::spawn(one(stream, guest.clone(), w.clone()));
    }
    counted.closed(w.index);
    if let Some(cause) = conn.cause() {
        w.gateway.metrics().refused(cause.why.name());
        log::debug!("{} from {}: {}", cause.why.name(), guest.peer.address, cause.detail);
    }
}

/// One request and its answer.
async fn one(mut stream: ClientStream, guest: Arc<Guest>, w: Arc<Worker>) {
    let mut x = guest.lend(&w, Instant::now());
    let plan = w.plan();
    match stream.head(&mut x.req, &plan.limits.client) {
        Ok(()) => exchange(&mut stream, &guest, &mut x, &plan, &w).await,
        Err(cause) => refuse(&mut stream, &mut x, &plan, &w, cause).await,
    };
    if !stream.is_answered() {
        stream.break_off();
    }
    w.gateway.metrics().http2().ended(w.index, stream.is_given_up());
    w.take_back(x);
}
