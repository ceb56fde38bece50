//! The task that drives an HTTP/2 connection to a backend, on the worker that opened it.

use super::{
    stream_slots::StreamCount,
    transport::{FrameObserver, Transport},
};
use crate::net::{
    buffer::{ReadBuffer, WriteBuffer},
    connection_limit::ConnectionPermit,
    deadline::DeadlineTimer,
    io::Stream,
};
use h2::client::{self, SendRequest};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// Flow-control window of a stream: memory that a slow client can occupy.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// Flow-control window of a connection: not limited itself.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Maximum number of bytes buffered for one stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Maximum size of a response head.
const MAX_HEADER_LIST: u32 = 128 * 1024;
/// Keep-alive: a backend that is silent this long with requests in flight gets a PING, with `KEEPALIVE_TIMEOUT` to respond.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Completes the HTTP/2 handshake and spawns the task. The permit is released when the connection is closed.
pub async fn handshake(
    io: Stream,
    streams: &Arc<StreamCount>,
    permit: Option<ConnectionPermit>,
) -> Result<SendRequest<WriteBuffer>, h2::Error> {
    let (transport, observer) = Transport::new(io, ReadBuffer::default(), None);
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    let (requests, connection) = builder.handshake(transport).await?;
    let task = run(connection, observer, streams.clone());
    drop(tokio::spawn(async move {
        task.await;
        // The connection is closed: another may be opened.
        drop(permit);
    }));
    Ok(requests)
}

/// Drives a connection until the backend closes it, it is no longer referenced, or the backend does not respond to a PING.
async fn run(
    mut connection: client::Connection<Transport, WriteBuffer>,
    observer: Arc<FrameObserver>,
    streams: Arc<StreamCount>,
) {
    let mut ping = connection.ping_pong();
    let mut timer = DeadlineTimer::default();
    let mut last_received = Instant::now();
    let (mut received, mut ping_sent) = (0, false);
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
            let _ = result.inspect_err(|error| log::debug!("HTTP/2 backend connection ended: {error}"));
            return Poll::Ready(());
        }
        loop {
            let deadline = last_received
                + if ping_sent { KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT } else { KEEPALIVE_INTERVAL };
            if timer.poll(cx, deadline).is_pending() {
                return Poll::Pending;
            }
            let total = observer.received();
            let silent = total == std::mem::replace(&mut received, total) && streams.current() > 0;
            match &mut ping {
                Some(ping) if silent && !ping_sent => {
                    let _ = ping.poll_pong(cx);
                    ping_sent = ping.send_ping(h2::Ping::opaque()).is_ok();
                    // Wake the task so that the PING is written.
                    cx.waker().wake_by_ref();
                    if !ping_sent {
                        last_received = Instant::now();
                    }
                }
                _ if silent && ping_sent => return Poll::Ready(()),
                _ => (last_received, ping_sent) = (Instant::now(), false),
            }
        }
    })
    .await;
}
