//! A connection of HTTP/2 to a backend from its beginning to its end, driven by a task of the worker that opened it.

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

/// What a backend may send on one stream before it is taken from us: memory that a slow client can make us hold.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same of all streams of a connection: no bound of its own.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The most that lies ready to be sent on one stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Bytes of a response head.
const MAX_HEADER_LIST: u32 = 128 * 1024;
/// A backend that is silent for so long while it owes answers is asked whether it is there, and has so long to say so.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Begins to speak HTTP/2. The permit is given back when the connection is closed.
pub async fn handshake(
    io: Stream,
    uses: &Arc<StreamCount>,
    permit: Option<ConnectionPermit>,
) -> Result<SendRequest<WriteBuffer>, h2::Error> {
    let (transport, watch) = Transport::new(io, ReadBuffer::default(), None);
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    let (requests, connection) = builder.handshake(transport).await?;
    let driven = run(connection, watch, uses.clone());
    drop(tokio::spawn(async move {
        driven.await;
        // It is closed: another may be opened.
        drop(permit);
    }));
    Ok(requests)
}

/// Drives a connection until it ends: when the backend ends it, when nobody holds it any more, or when the backend is
/// silent and does not even answer a PING.
async fn run(
    mut connection: client::Connection<Transport, WriteBuffer>,
    watch: Arc<FrameObserver>,
    uses: Arc<StreamCount>,
) {
    let mut ping = connection.ping_pong();
    let mut alarm = DeadlineTimer::default();
    let mut heard = Instant::now();
    let (mut received, mut asked) = (0, false);
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            if let Err(error) = ended {
                log::debug!("a connection of HTTP/2 to a backend ended: {error}");
            }
            return Poll::Ready(());
        }
        loop {
            let at = heard + if asked { KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT } else { KEEPALIVE_INTERVAL };
            if alarm.poll(cx, at).is_pending() {
                return Poll::Pending;
            }
            let now = watch.received();
            let silent = now == std::mem::replace(&mut received, now) && uses.current() > 0;
            match &mut ping {
                Some(ping) if silent && !asked => {
                    let _ = ping.poll_pong(cx);
                    asked = ping.send_ping(h2::Ping::opaque()).is_ok();
                    // The connection must be polled for it to go out.
                    cx.waker().wake_by_ref();
                    if !asked {
                        heard = Instant::now();
                    }
                }
                _ if silent && asked => return Poll::Ready(()),
                _ => (heard, asked) = (Instant::now(), false),
            }
        }
    })
    .await;
}
