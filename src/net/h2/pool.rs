//! Connections of HTTP/2 to backends, kept by the worker that opened them: many requests share one, and one is opened for
//! all that wait for it.

use super::{
    backend::BackendStream,
    connection_task,
    stream_slots::{StreamCount, StreamGuard, WaitQueue},
};
use crate::{
    net::{
        backend_request::BackendRequest,
        buffer::WriteBuffer,
        connect::{self, AlpnOffer, ConnectAddr, ConnectTarget},
        connection_limit::{AcquireError, Acquired, ConnectionLimiter, ConnectionPermit},
        deadline::DeadlineTimer,
        h1::backend::BackendConn,
        pool::PoolKey,
        proxy_protocol::ProxyHeader,
        resolver::ResolvedPeer,
    },
    pipeline::error::{ErrorCode, GatewayError},
};
use h2::client::SendRequest;
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// While others wait who cannot use a connection it takes new requests for so long, and then none for as long, so that it
/// is unused for once and its permit goes round.
const YIELD_INTERVAL: Duration = Duration::from_millis(100);

/// The most connections to one endpoint of which something was said.
const MAX_IDLE_TIME: usize = 512;

/// The connections to one endpoint.
#[derive(Default)]
struct EndpointConnections {
    generation: u64,
    shared: Vec<SharedConnection>,
    /// Somebody is opening one.
    opening: Option<watch::Receiver<Option<GatewayError>>>,
    /// The last that was opened turned out to be one of HTTP/1.1.
    http1: bool,
    /// Those who wait for room, under a limit.
    line: Arc<WaitQueue>,
}

/// One connection.
struct SharedConnection {
    requests: SendRequest<WriteBuffer>,
    streams: Arc<StreamCount>,
    origin: Option<ResolvedPeer>,
    /// Whose connection it was said to be.
    proxy_header: Option<ProxyHeader>,
    is_tls: bool,
    opened_at: Instant,
    /// When it was last seen in use.
    used: Instant,
    /// When it takes no more requests.
    max_age_deadline: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<Vec<EndpointConnections>> = const { RefCell::new(Vec::new()) };
}

/// What is to be done for a request.
enum Action {
    Stream(Box<BackendStream>),
    /// Open a connection, and tell the others, if there is something to tell: of HTTP/1.1, and of those that are one
    /// client's, each gets its own.
    Open(Option<watch::Sender<Option<GatewayError>>>),
    /// Somebody else does.
    WaitForConnect(watch::Receiver<Option<GatewayError>>),
    /// Others wait already.
    WaitForStream,
}

/// What a connection is opened for.
pub struct OpenRequest<'a> {
    pub target: &'a ConnectTarget<'a>,
    pub key: PoolKey,
    pub offer: AlpnOffer,
    /// How long it is used for new requests.
    pub lifetime: Option<Duration>,
    /// The limit of connections.
    pub limiter: Option<&'a Arc<ConnectionLimiter>>,
    /// The time to connect, and the end of the request's own.
    pub connect: Duration,
    pub on_closed: Instant,
}

impl OpenRequest<'_> {
    fn with_deadline(&self) -> Duration {
        self.connect.min(self.on_closed.saturating_duration_since(Instant::now()))
    }
}

/// Why there is no way to the backend.
#[derive(Debug)]
pub enum OpenError {
    Failed(GatewayError),
    /// As many connections as are allowed are in use.
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

/// A stream to the endpoint, on a connection that is there or on a new one; where TLS says so, one of HTTP/1.1.
pub async fn open(
    opening: &OpenRequest<'_>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    loop {
        let tell = match poll_fn(|cx| Poll::Ready(next_action(opening, cx))).await {
            Action::Stream(stream) => return Ok(BackendRequest::H2(stream)),
            Action::WaitForConnect(told) => match outcome(opening, told).await? {
                Some(cause) => return Err(cause.into()),
                None => continue,
            },
            Action::Open(tell) => Some(tell),
            Action::WaitForStream => None,
        };
        let Some(gate) = opening.limiter else {
            return Ok(open_shared(opening, tell.flatten(), None).await?);
        };
        if let Some(tell) = tell
            && let Some(permit) = gate.try_acquire()
        {
            return Ok(open_shared(opening, tell, Some(permit)).await?);
        }
        return queue(opening, gate, gone).await;
    }
}

/// Waits for room on a connection of this worker, or for the right to open one.
async fn queue(
    opening: &OpenRequest<'_>,
    gate: &Arc<ConnectionLimiter>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    let line = shelf(opening.key, |shelf| shelf.line.clone());
    let (dial, said) = (opening.target.addr, opening.target.proxy_header.as_ref());
    // What was said to be another client's is of no use here: it had better be closed.
    let stand = said.is_none().then(|| line.enqueue());
    let _places = (gate.enqueue().ok_or(AcquireError::QueueFull)?, stand);
    let key = (opening.offer == AlpnOffer::Both && is_http1(opening.key)).then_some(opening.key);
    let (mut alarm, mut look) = (DeadlineTimer::default(), Instant::now() + YIELD_INTERVAL);
    let mut freed = pin!(line.notify.notified());
    let room = |cx: &mut Context| loop {
        if let Some(stream) = shelf(opening.key, |shelf| shelf.stream(dial, said, cx)) {
            return Poll::Ready(stream);
        }
        if freed.as_mut().poll(cx).is_ready() {
            freed.set(line.notify.notified());
            continue;
        }
        ready!(alarm.poll(cx, look));
        look = Instant::now() + YIELD_INTERVAL;
    };
    match gate.pending_timeout(key, opening.on_closed, gone, room).await? {
        Acquired::StreamSlot(stream) => Ok(BackendRequest::H2(stream)),
        Acquired::Reuse(conn) => Ok(BackendRequest::H1(conn)),
        Acquired::Connect(permit) => Ok(open_shared(opening, None, Some(permit)).await?),
    }
}

/// What became of the connection that somebody else opens: an error, or one looks again.
async fn outcome(
    opening: &OpenRequest<'_>,
    mut told: watch::Receiver<Option<GatewayError>>,
) -> Result<Option<GatewayError>, GatewayError> {
    let within = opening.with_deadline();
    match tokio::time::timeout(within, told.changed()).await {
        Ok(Ok(())) => Ok(told.borrow().clone()),
        // It is there, or whoever opened it gave up.
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(connect::timeout_error(opening.target, "did not accept a connection", within)),
    }
}

/// Opens a connection and tells those who wait for it when it failed.
async fn open_shared(
    opening: &OpenRequest<'_>,
    tell: Option<watch::Sender<Option<GatewayError>>>,
    permit: Option<ConnectionPermit>,
) -> Result<BackendRequest, GatewayError> {
    let opened = open_connection(opening, permit, true).await;
    if let (Some(tell), Err(cause)) = (tell, &opened) {
        tell.send_replace(Some(cause.clone()));
    }
    opened
}

/// A stream on a connection that nobody else uses.
pub async fn open_exclusive(
    opening: &OpenRequest<'_>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<BackendRequest, OpenError> {
    let permit = match opening.limiter {
        None => None,
        Some(gate) => match gate.acquire(opening.key, opening.on_closed, gone).await? {
            Acquired::Connect(permit) => Some(permit),
            // Connections without a port of their own are not kept, and so not handed on.
            Acquired::Reuse(conn) => return Ok(BackendRequest::H1(conn)),
            Acquired::StreamSlot(never) => match never {},
        },
    };
    Ok(open_connection(opening, permit, false).await?)
}

async fn open_connection(
    opening: &OpenRequest<'_>,
    permit: Option<ConnectionPermit>,
    keep: bool,
) -> Result<BackendRequest, GatewayError> {
    let OpenRequest { target: goal, key, offer, lifetime, .. } = *opening;
    let (io, origin) = connect::open_stream(goal, offer, opening.with_deadline()).await?;
    let secure = goal.tls.is_some();
    if secure && io.alpn_protocol() != Some(b"h2") {
        if offer == AlpnOffer::Http2 {
            return Err(no_connection(goal, "it does not offer HTTP/2"));
        }
        shelf(key, |shelf| shelf.http1 = true);
        let mut conn = BackendConn::new(io, key, origin, goal.proxy_header);
        conn.attach_permit(permit, lifetime);
        conn.single_use |= !keep;
        return Ok(BackendRequest::H1(conn));
    }
    let limit = permit.as_ref().map(|permit| (permit.gate().clone(), shelf(key, |shelf| shelf.line.clone())));
    let uses = StreamCount::new(limit);
    let requests = connection_task::handshake(io, &uses, permit)
        .await
        .map_err(|error| no_connection(goal, &error.to_string()))?;
    let place = StreamGuard::acquire(&uses);
    if keep {
        let since = Instant::now();
        let until = lifetime.map(|lifetime| since + lifetime);
        let (requests, said) = (requests.clone(), goal.proxy_header);
        let shared = SharedConnection {
            requests,
            streams: uses,
            origin,
            proxy_header: said,
            is_tls: secure,
            opened_at: since,
            used: since,
            max_age_deadline: until,
        };
        shelf(key, |shelf| {
            shelf.http1 = false;
            if shared.proxy_header.is_some() && shelf.shared.len() >= MAX_IDLE_TIME {
                shelf.shared.remove(0);
            }
            shelf.shared.push(shared);
            // It has room for more than the one who opened it.
            shelf.line.notify.notify_waiters();
        });
    }
    Ok(BackendRequest::H2(BackendStream::new(requests, secure, false, place)))
}

fn no_connection(goal: &ConnectTarget, why: &str) -> GatewayError {
    GatewayError::new(ErrorCode::BackendReset, format!("no HTTP/2 with the backend {}: {why}", goal.label()))
}

/// Whether the last connection of this endpoint to which HTTP/2 was offered turned out to be one of HTTP/1.1.
pub fn is_http1(key: PoolKey) -> bool {
    shelf(key, |shelf| shelf.http1)
}

/// The shelf of the endpoint as it is now: what was another one's is let go of.
fn shelf<T>(key: PoolKey, with: impl FnOnce(&mut EndpointConnections) -> T) -> T {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= key.index() {
            pool.resize_with(key.index() + 1, EndpointConnections::default);
        }
        let shelf = &mut pool[key.index()];
        if shelf.generation != key.generation() {
            *shelf = EndpointConnections { generation: key.generation(), ..EndpointConnections::default() };
        }
        with(shelf)
    })
}

fn next_action(opening: &OpenRequest, cx: &mut Context) -> Action {
    shelf(opening.key, |shelf| {
        if opening.limiter.is_some() && shelf.line.waiting() > 0 {
            return Action::WaitForStream;
        }
        let said = opening.target.proxy_header.as_ref();
        if let Some(stream) = shelf.stream(opening.target.addr, said, cx) {
            return Action::Stream(stream);
        }
        // One that is said to be this client's is of no use to others, and theirs are of none to it.
        if shelf.http1 && opening.offer == AlpnOffer::Both || said.is_some() {
            return Action::Open(None);
        }
        match &shelf.opening {
            Some(told) if told.has_changed().is_ok() => Action::WaitForConnect(told.clone()),
            _ => {
                let (tell, told) = watch::channel(None);
                shelf.opening = Some(told);
                Action::Open(Some(tell))
            }
        }
    })
}

impl EndpointConnections {
    /// A place on the first connection that has room; those that are over are let go of.
    fn stream(
        &mut self,
        dial: &ConnectAddr,
        said: Option<&ProxyHeader>,
        cx: &mut Context,
    ) -> Option<Box<BackendStream>> {
        let mut found = None;
        self.shared.retain_mut(|shared| {
            if found.is_some() || shared.proxy_header.as_ref() != said {
                return true;
            }
            let now = Instant::now();
            if !dial.is_current(&mut shared.origin)
                || shared.max_age_deadline.is_some_and(|until| until <= now)
            {
                return false;
            }
            if shared.is_yielding(now) {
                return true;
            }
            let mut requests = shared.requests.clone();
            match requests.poll_ready(cx) {
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) if shared.has_room() => {
                    shared.used = now;
                    let place = StreamGuard::acquire(&shared.streams);
                    found = Some(BackendStream::new(requests, shared.is_tls, true, place));
                }
                _ => {}
            }
            true
        });
        found
    }
}

impl SharedConnection {
    fn has_room(&self) -> bool {
        (self.streams.current() as usize) < self.requests.current_max_send_streams()
    }

    fn is_yielding(&self, now: Instant) -> bool {
        let turns = now.saturating_duration_since(self.opened_at).as_millis() / YIELD_INTERVAL.as_millis();
        turns % 2 == 1 && self.streams.has_other_waiters()
    }
}

/// Closes what was unused for too long, and lets go of what is over.
pub fn evict_expired(now: Instant, longest: Duration) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    POOL.with_borrow_mut(|pool| {
        for shelf in pool.iter_mut() {
            shelf.shared.retain_mut(|shared| {
                if shared.streams.current() > 0 {
                    shared.used = now;
                }
                let young = now.saturating_duration_since(shared.used) < longest;
                young && !matches!(shared.requests.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
            });
        }
    });
}

/// How many connections this worker has, and how many requests use them.
pub fn connection_counts() -> (u64, u64) {
    POOL.with_borrow(|pool| {
        let all = || pool.iter().flat_map(|shelf| &shelf.shared);
        (all().count() as u64, all().map(|shared| u64::from(shared.streams.current())).sum())
    })
}

/// Closes unused connections under limits where somebody waits who cannot use them: their permits go to those.
pub fn release_contended() {
    POOL.with_borrow_mut(|pool| {
        for shelf in pool.iter_mut() {
            shelf.shared.retain(|shared| shared.streams.current() > 0 || !shared.streams.has_other_waiters());
        }
    });
}
