//! A client connection over HTTP/2: every stream is an exchange of its own, served beside the others on the same worker.

use super::{
    connection::ConnectionContext,
    serve::{handle_exchange, reject_request},
    worker::Worker,
};
use crate::net::{
    buffer::ReadBuffer,
    h2::{ClientStream, Connection},
    io::Stream,
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
pub async fn serve(io: Stream, input: ReadBuffer, guest: ConnectionContext, worker: Arc<Worker>) {
    let (client, limits) = {
        let plan = worker.plan();
        (plan.limits.client, plan.limits.http2)
    };
    let Some(mut conn) = Connection::open(io, input, &client, limits).await else { return };
    let guest = Arc::new(guest);
    let told = worker.gateway.drain.notified();
    let mut told = pin!(told.notified());
    let drain = &worker.gateway.drain;
    let mut stop = |cx: &mut Context| {
        if drain.is_on() { Poll::Ready(()) } else { told.as_mut().poll(cx) }
    };
    let counted = worker.gateway.metrics().http2();
    counted.opened(worker.index);
    loop {
        let stream = conn.next(&mut stop).await;
        counted.streams_refused(worker.index, conn.refused());
        let Some(stream) = stream else { break };
        counted.streams_started(worker.index);
        tokio::spawn(serve_stream(stream, guest.clone(), worker.clone()));
    }
    counted.closed(worker.index);
    if let Some(cause) = conn.error() {
        worker.gateway.metrics().record_error(cause.why.name());
        log::debug!("{} from {}: {}", cause.why.name(), guest.peer.address, cause.detail);
    }
}

/// One request and its answer.
async fn serve_stream(mut stream: ClientStream, guest: Arc<ConnectionContext>, worker: Arc<Worker>) {
    let mut x = guest.new_exchange(&worker, Instant::now());
    let plan = worker.plan();
    match stream.head(&mut x.req, &plan.limits.client) {
        Ok(()) => handle_exchange(&mut stream, &guest, &mut x, &plan, &worker).await,
        Err(cause) => reject_request(&mut stream, &mut x, &plan, &worker, cause).await,
    };
    if !stream.is_response_sent() {
        stream.reset();
    }
    worker.gateway.metrics().http2().streams_ended(worker.index, stream.is_reset_by_client());
    worker.release_exchange(x);
}
