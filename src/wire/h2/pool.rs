//! Connections of HTTP/2 to backends, kept by the worker that opened them: many requests share one, and one is opened for
//! all that wait for it.

use super::{
    backend::{BackendStream, Place},
    transport::{Transport, Watch},
};
use crate::{
    pipeline::cause::{Cause, Why},
    wire::{
        alarm::Alarm,
        buffer::{ReadBuffer, WriteBuffer},
        call::Call,
        dial::{self, Goal, Offer},
        h1::backend::BackendConn,
        io::Io,
        names::{Name, Origin},
        pool::Key,
    },
};
use h2::client::{self, SendRequest};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What a backend may send on one stream before it is taken from us: memory that a slow client can make us hold.
const WINDOW: u32 = 128 * 1024;
/// The same of all streams of a connection: no bound of its own.
const WHOLE_WINDOW: u32 = (1 << 31) - 1;
/// The most that lies ready to be sent on one stream.
const READY: usize = 64 * 1024;
/// Bytes of a response head.
const HEAD: u32 = 128 * 1024;
/// A backend that is silent for so long while it owes answers is asked whether it is there, and has so long to say so.
const SILENCE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// The connections to one endpoint.
#[derive(Default)]
struct Shelf {
    generation: u64,
    shared: Vec<Shared>,
    /// Somebody is opening one.
    opening: Option<watch::Receiver<Option<Cause>>>,
    /// The last that was opened turned out to be one of HTTP/1.1.
    http1: bool,
}

/// One connection.
struct Shared {
    requests: SendRequest<WriteBuffer>,
    /// Requests that use it.
    live: Arc<AtomicU32>,
    origin: Origin,
    secure: bool,
    /// When it was last seen in use.
    used: Instant,
    /// When it takes no more requests.
    until: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<Vec<Shelf>> = const { RefCell::new(Vec::new()) };
}

/// What is to be done for a request.
enum Turn {
    Stream(Box<BackendStream>),
    /// Open a connection, and tell the others.
    Open(watch::Sender<Option<Cause>>),
    /// Somebody else does.
    Wait(watch::Receiver<Option<Cause>>),
    /// Open one for this request alone: HTTP/1.1 it will be.
    Alone,
}

/// What a connection is opened for.
pub struct Opening<'a> {
    pub goal: &'a Goal<'a>,
    pub key: Key,
    pub offer: Offer,
    /// How long it is used for new requests.
    pub lifetime: Option<Duration>,
}

/// A stream to the endpoint, on a connection that is there or on a new one; where TLS says so, one of HTTP/1.1.
pub async fn open(opening: &Opening<'_>, within: Duration) -> Result<Call, Cause> {
    let Opening { goal, key, .. } = *opening;
    let until = Instant::now() + within;
    loop {
        match poll_fn(|cx| Poll::Ready(turn(goal.name, key, cx))).await {
            Turn::Stream(stream) => return Ok(Call::H2(stream)),
            Turn::Alone => return fresh(opening, within, true).await,
            Turn::Open(told) => {
                let opened = fresh(opening, until.saturating_duration_since(Instant::now()), true).await;
                if let Err(cause) = &opened {
                    told.send_replace(Some(cause.clone()));
                }
                return opened;
            }
            Turn::Wait(mut told) => match tokio::time::timeout_at(until.into(), told.changed()).await {
                Ok(Ok(())) => {
                    if let Some(cause) = told.borrow().clone() {
                        return Err(cause);
                    }
                }
                // It is there, or whoever opened it gave up: one looks again.
                Ok(Err(_)) => {}
                Err(_) => return Err(dial::late(goal, "did not accept a connection", within)),
            },
        }
    }
}

/// A stream on a connection that nobody else uses.
pub async fn alone(opening: &Opening<'_>, within: Duration) -> Result<Call, Cause> {
    fresh(opening, within, false).await
}

async fn fresh(opening: &Opening<'_>, within: Duration, keep: bool) -> Result<Call, Cause> {
    let Opening { goal, key, offer, lifetime } = *opening;
    let (io, origin) = dial::stream(goal, offer, within).await?;
    let secure = goal.tls.is_some();
    if secure && io.protocol() != Some(b"h2") {
        if offer == Offer::Http2 {
            return Err(none(goal, "it does not offer HTTP/2"));
        }
        shelf(key, |shelf| shelf.http1 = true);
        return Ok(Call::H1(BackendConn::new(io, key, origin)));
    }
    let (requests, live) = begin(io).await.map_err(|error| none(goal, &error.to_string()))?;
    let place = Place::take(&live);
    if keep {
        let used = Instant::now();
        let until = lifetime.map(|lifetime| used + lifetime);
        let shared = Shared { requests: requests.clone(), live, origin, secure, used, until };
        shelf(key, |shelf| {
            shelf.http1 = false;
            shelf.shared.push(shared);
        });
    }
    Ok(Call::H2(BackendStream::new(requests, secure, false, place)))
}

fn none(goal: &Goal, why: &str) -> Cause {
    Cause::new(Why::BackendReset, format!("no HTTP/2 with the backend {}: {why}", goal.label()))
}

/// Begins to speak HTTP/2; the connection is driven by a task of this worker.
async fn begin(io: Io) -> Result<(SendRequest<WriteBuffer>, Arc<AtomicU32>), h2::Error> {
    let (transport, watch) = Transport::new(io, ReadBuffer::default(), None);
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WHOLE_WINDOW)
        .max_header_list_size(HEAD)
        .max_send_buffer_size(READY);
    let (requests, connection) = builder.handshake(transport).await?;
    let live = Arc::new(AtomicU32::new(0));
    drop(tokio::spawn(drive(connection, watch, live.clone())));
    Ok((requests, live))
}

/// Whether the last connection of this endpoint to which HTTP/2 was offered turned out to be one of HTTP/1.1.
pub fn is_http1(key: Key) -> bool {
    shelf(key, |shelf| shelf.http1)
}

/// The shelf of the endpoint as it is now: what was another one's is let go of.
fn shelf<T>(key: Key, with: impl FnOnce(&mut Shelf) -> T) -> T {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= key.index() {
            pool.resize_with(key.index() + 1, Shelf::default);
        }
        let shelf = &mut pool[key.index()];
        if shelf.generation != key.generation() {
            *shelf = Shelf { generation: key.generation(), ..Shelf::default() };
        }
        with(shelf)
    })
}

fn turn(name: &Name, key: Key, cx: &mut Context) -> Turn {
    shelf(key, |shelf| {
        if let Some(stream) = shelf.stream(name, cx) {
            return Turn::Stream(stream);
        }
        if shelf.http1 {
            return Turn::Alone;
        }
        match &shelf.opening {
            Some(told) if told.has_changed().is_ok() => Turn::Wait(told.clone()),
            _ => {
                let (tell, told) = watch::channel(None);
                shelf.opening = Some(told);
                Turn::Open(tell)
            }
        }
    })
}

impl Shelf {
    /// A place on the first connection that has room; those that are over are let go of.
    fn stream(&mut self, name: &Name, cx: &mut Context) -> Option<Box<BackendStream>> {
        let mut found = None;
        self.shared.retain_mut(|shared| {
            if found.is_some() {
                return true;
            }
            let now = Instant::now();
            if !name.still_leads_to(&mut shared.origin) || shared.until.is_some_and(|until| until <= now) {
                return false;
            }
            let mut requests = shared.requests.clone();
            match requests.poll_ready(cx) {
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) if shared.has_room() => {
                    shared.used = now;
                    let place = Place::take(&shared.live);
                    found = Some(BackendStream::new(requests, shared.secure, true, place));
                }
                _ => {}
            }
            true
        });
        found
    }
}

impl Shared {
    fn has_room(&self) -> bool {
        (self.live.load(Relaxed) as usize) < self.requests.current_max_send_streams()
    }
}

/// Closes what was unused for too long, and lets go of what is over.
pub fn sweep(now: Instant, longest: Duration) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    POOL.with_borrow_mut(|pool| {
        for shelf in pool.iter_mut() {
            shelf.shared.retain_mut(|shared| {
                if shared.live.load(Relaxed) > 0 {
                    shared.used = now;
                }
                let young = now.saturating_duration_since(shared.used) < longest;
                young && !matches!(shared.requests.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
            });
        }
    });
}

/// Drives a connection until it ends: when the backend ends it, when nobody holds it any more, or when the backend is
/// silent and does not even answer a PING.
async fn drive(
    mut connection: client::Connection<Transport, WriteBuffer>,
    watch: Arc<Watch>,
    live: Arc<AtomicU32>,
) {
    let mut ping = connection.ping_pong();
    let mut alarm = Alarm::default();
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
            let at = heard + if asked { SILENCE + PATIENCE } else { SILENCE };
            if alarm.poll(cx, at).is_pending() {
                return Poll::Pending;
            }
            let now = watch.received();
            let silent = now == std::mem::replace(&mut received, now) && live.load(Relaxed) > 0;
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
