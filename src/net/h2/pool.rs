//! Pool of HTTP/2 connections to backends, one per worker: requests share a connection, and wait for one that is being
//! opened.

use super::{
    backend::BackendStream,
    connection_task,
    shared_connections::{SharedConnection, YIELD_INTERVAL, connections},
    stream_slots::{StreamCount, StreamGuard},
};
use crate::{
    net::{
        backend_request::BackendRequest,
        connect::{self, ConnectTarget},
        connection_limit::{AcquireError, Acquired, ConnectionLimiter, ConnectionPermit},
        deadline::DeadlineTimer,
        h1::backend::BackendConn,
        pool::ReleasedConnection,
        pool_key::PoolKey,
        tls::alpn::AlpnOffer,
    },
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::sync::watch;

pub use super::shared_connections::{connection_counts, evict_expired, release_contended};

/// How a request continues.
enum Action {
    Stream(Box<BackendStream>),
    /// Open a connection, and notify the requests that wait for it, if any: HTTP/1.1 connections and those with a PROXY
    /// header are not shared.
    Open(Option<watch::Sender<Option<GatewayError>>>),
    /// Another request is opening one.
    WaitForConnect(watch::Receiver<Option<GatewayError>>),
    /// Other requests are queued already.
    WaitForStream,
}

/// Parameters for opening a connection.
pub struct OpenRequest<'a> {
    pub target: &'a ConnectTarget<'a>,
    pub key: PoolKey,
    pub offer: AlpnOffer,
    /// Maximum age of the connection for new requests.
    pub max_lifetime: Option<Duration>,
    /// The connection limit.
    pub limiter: Option<&'a Arc<ConnectionLimiter>>,
    /// The connect timeout, and the deadline of the request.
    pub connect_timeout: Duration,
    pub deadline: Instant,
}

impl OpenRequest<'_> {
    fn remaining_time(&self) -> Duration {
        self.connect_timeout.min(self.deadline.saturating_duration_since(Instant::now()))
    }
}

/// Why no connection is available.
#[derive(Debug)]
pub enum OpenError {
    Failed(GatewayError),
    /// The connection limit is reached.
    Refused(AcquireError),
}

impl From<GatewayError> for OpenError {
    fn from(cause: GatewayError) -> OpenError {
        OpenError::Failed(cause)
    }
}

impl From<AcquireError> for OpenError {
    fn from(refused: AcquireError) -> OpenError {
        OpenError::Refused(refused)
    }
}

/// Opens a stream to the endpoint, on a pooled or a new connection; an HTTP/1.1 connection if TLS negotiated that.
pub async fn open(
    opening: &OpenRequest<'_>,
    closed: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    loop {
        let notify = match poll_fn(|cx| Poll::Ready(next_action(opening, cx))).await {
            Action::Stream(stream) => return Ok(BackendRequest::H2(stream)),
            Action::WaitForConnect(result) => match outcome(opening, result).await? {
                Some(cause) => return Err(cause.into()),
                None => continue,
            },
            Action::Open(notify) => Some(notify),
            Action::WaitForStream => None,
        };
        let Some(limiter) = opening.limiter else {
            return Ok(open_shared(opening, notify.flatten(), None).await?);
        };
        if let Some(notify) = notify
            && let Some(permit) = limiter.try_acquire()
        {
            return Ok(open_shared(opening, notify, Some(permit)).await?);
        }
        return queue(opening, limiter, closed).await;
    }
}

/// Waits in the queue for a stream on a connection of this worker, or for a permit to open one.
async fn queue(
    opening: &OpenRequest<'_>,
    limiter: &Arc<ConnectionLimiter>,
    closed: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    let wait_queue = connections(opening.key, |connections| connections.wait_queue.clone());
    let (addr, header) = (opening.target.addr, opening.target.proxy_header.as_ref());
    // Connections with another client's PROXY header cannot be used here: they should be closed.
    let _waiter = header.is_none().then(|| wait_queue.enqueue());
    let accepts_released = opening.offer == AlpnOffer::Both && is_http1(opening.key);
    let (mut timer, mut next_check) = (DeadlineTimer::default(), Instant::now() + YIELD_INTERVAL);
    let mut notified = pin!(wait_queue.notify.notified());
    let room = |cx: &mut Context| loop {
        if let Some(stream) = connections(opening.key, |connections| connections.stream(addr, header, cx)) {
            return Poll::Ready(stream);
        }
        if notified.as_mut().poll(cx).is_ready() {
            notified.set(wait_queue.notify.notified());
            continue;
        }
        ready!(timer.poll(cx, next_check));
        next_check = Instant::now() + YIELD_INTERVAL;
    };
    match limiter.wait(ReleasedConnection::new(accepts_released), opening.deadline, closed, room).await? {
        Acquired::StreamSlot(stream) => Ok(BackendRequest::H2(stream)),
        Acquired::Reuse(conn) => Ok(BackendRequest::H1(conn)),
        Acquired::Connect(permit) => Ok(open_shared(opening, None, Some(permit)).await?),
    }
}

/// Waits for the connection that another request opens: its error, or `None` to look again.
async fn outcome(
    opening: &OpenRequest<'_>,
    mut result: watch::Receiver<Option<GatewayError>>,
) -> Result<Option<GatewayError>, GatewayError> {
    let timeout = opening.remaining_time();
    match tokio::time::timeout(timeout, result.changed()).await {
        Ok(Ok(())) => Ok(result.borrow().clone()),
        // It was opened, or the request that opened it was canceled.
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(connect::timeout_error(opening.target, "did not accept a connection", timeout)),
    }
}

/// Opens a connection; if that fails, notifies the requests that wait for it.
async fn open_shared(
    opening: &OpenRequest<'_>,
    notify: Option<watch::Sender<Option<GatewayError>>>,
    permit: Option<ConnectionPermit>,
) -> Result<BackendRequest, GatewayError> {
    let opened = open_connection(opening, permit, true).await;
    if let (Some(notify), Err(cause)) = (notify, &opened) {
        notify.send_replace(Some(cause.clone()));
    }
    opened
}

/// Opens a connection that is not shared.
pub async fn open_exclusive(
    opening: &OpenRequest<'_>,
    closed: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    let permit = match opening.limiter {
        None => None,
        Some(limiter) => {
            match limiter.acquire(ReleasedConnection::new(true), opening.deadline, closed).await? {
                Acquired::Connect(permit) => Some(permit),
                // Connections outside of the pool are never handed over.
                Acquired::Reuse(conn) => return Ok(BackendRequest::H1(conn)),
                Acquired::StreamSlot(never) => match never {},
            }
        }
    };
    Ok(open_connection(opening, permit, false).await?)
}

/// Opens a connection and a stream on it; `keep`: the connection is shared with other requests.
async fn open_connection(
    opening: &OpenRequest<'_>,
    permit: Option<ConnectionPermit>,
    keep: bool,
) -> Result<BackendRequest, GatewayError> {
    let OpenRequest { target, key, offer, max_lifetime, .. } = *opening;
    let (io, peer) = connect::open_stream(target, offer, opening.remaining_time()).await?;
    let is_tls = target.tls.is_some();
    if is_tls && io.alpn_protocol() != Some(b"h2") {
        if offer == AlpnOffer::Http2 {
            return Err(no_connection(target, "HTTP/2 was not negotiated (ALPN)"));
        }
        connections(key, |connections| connections.http1 = true);
        let mut conn = BackendConn::new(io, key, peer, target.proxy_header);
        conn.attach_permit(permit, max_lifetime);
        conn.single_use |= !keep;
        return Ok(BackendRequest::H1(conn));
    }
    let limit = permit.as_ref().map(|permit| {
        (permit.limiter().clone(), connections(key, |connections| connections.wait_queue.clone()))
    });
    let streams = StreamCount::new(limit);
    let requests = connection_task::handshake(io, &streams, permit)
        .await
        .map_err(|error| no_connection(target, &error.to_string()))?;
    let guard = StreamGuard::acquire(&streams);
    if keep {
        let shared = SharedConnection::new(requests.clone(), streams, peer, target, max_lifetime);
        connections(key, |connections| connections.add(shared));
    }
    Ok(BackendRequest::H2(BackendStream::new(requests, is_tls, false, guard)))
}

fn no_connection(target: &ConnectTarget, why: &str) -> GatewayError {
    GatewayError::new(
        ErrorCode::BackendReset,
        format!("no HTTP/2 connection to the backend {}: {why}", target.label()),
    )
}

/// Whether the last connection to the endpoint that was offered HTTP/2 negotiated HTTP/1.1.
pub fn is_http1(key: PoolKey) -> bool {
    connections(key, |connections| connections.http1)
}

fn next_action(opening: &OpenRequest, cx: &mut Context) -> Action {
    connections(opening.key, |connections| {
        if opening.limiter.is_some() && connections.wait_queue.waiting() > 0 {
            return Action::WaitForStream;
        }
        let header = opening.target.proxy_header.as_ref();
        if let Some(stream) = connections.stream(opening.target.addr, header, cx) {
            return Action::Stream(stream);
        }
        // Connections with a PROXY header are not shared between clients.
        if connections.http1 && opening.offer == AlpnOffer::Both || header.is_some() {
            return Action::Open(None);
        }
        match &connections.opening {
            Some(result) if result.has_changed().is_ok() => Action::WaitForConnect(result.clone()),
            _ => {
                let (notify, result) = watch::channel(None);
                connections.opening = Some(result);
                Action::Open(Some(notify))
            }
        }
    })
}
