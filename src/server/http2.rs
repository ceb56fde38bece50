//! A client connection of HTTP/2: every stream is an exchange; all run concurrently on the same worker.

use super::{
    connection::ConnectionContext,
    context::Context,
    exchange::{handle_exchange, reject_request},
    worker::Worker,
};
use crate::{
    net::{
        buffer::ReadBuffer,
        h2::{ClientStream, Connection},
        io::Stream,
    },
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{pin::pin, sync::Arc, time::Instant};

/// Serves an HTTP/2 connection; `input` was already read from it. Streams end with their connection. The handshake is boxed,
/// because it needs more memory than the connection after it.
pub async fn serve(io: Stream, input: ReadBuffer, connection: ConnectionContext, worker: Arc<Worker>) {
    let (client, limits) = {
        let plan = worker.plan();
        (plan.limits.client, plan.limits.http2)
    };
    let Some(mut conn) = Box::pin(Connection::open(io, input, &client, limits)).await else { return };
    let connection = Arc::new(connection);
    let drain = &worker.gateway.drain;
    let notify = drain.idle_notified();
    let mut notified = pin!(notify.notified());
    let mut stop = |cx: &mut std::task::Context, idle_since: Option<Instant>| {
        let deadline = drain.idle_deadline(idle_since, &notify, notified.as_mut(), cx);
        deadline.is_some() || connection.is_outdated()
    };
    let streams = worker.gateway.streams.client(connection.peer.ip());
    let metrics = worker.gateway.metrics().http2();
    metrics.opened(worker.index);
    loop {
        let stream = conn.next(&mut stop).await;
        metrics.streams_refused(worker.index, conn.refused());
        let Some(mut stream) = stream else { break };
        let limits = worker.plan().limits.streams;
        let Some(guard) = streams.try_acquire(limits) else {
            stream.refuse();
            metrics.streams_refused(worker.index, 1);
            worker.gateway.metrics().record_error(ErrorCode::ClientStreamLimit.name());
            continue;
        };
        metrics.streams_started(worker.index);
        let (connection, worker) = (connection.clone(), worker.clone());
        tokio::spawn(async move {
            serve_stream(stream, connection, worker).await;
            drop(guard);
        });
    }
    metrics.closed(worker.index);
    if let Some(cause) = conn.error() {
        report(&cause, &connection, &worker);
    }
}

/// Counts and logs the error that ended a connection.
fn report(cause: &GatewayError, connection: &ConnectionContext, worker: &Worker) {
    worker.gateway.metrics().record_error(cause.code.name());
    log::debug!("{} from {}: {}", cause.code.name(), connection.peer.address, cause.detail);
}

/// One request and its response.
async fn serve_stream(mut stream: ClientStream, connection: Arc<ConnectionContext>, worker: Arc<Worker>) {
    let mut exchange = connection.new_exchange(&worker, Instant::now());
    let plan = worker.plan();
    let head = stream.head(&mut exchange.request, &plan.limits.client);
    let ctx = Context { connection: &connection, exchange: &mut exchange, plan: &plan, worker: &worker };
    match head {
        Ok(()) => handle_exchange(&mut stream, ctx).await,
        Err(cause) => reject_request(&mut stream, ctx, cause).await,
    };
    if !stream.is_response_sent() {
        stream.reset();
    }
    worker.gateway.metrics().http2().streams_ended(worker.index, stream.is_reset_by_client());
    worker.release_exchange(exchange);
}
