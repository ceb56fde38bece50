//! Connections of HTTP/2 to backends, kept by the worker that opened them: many requests share one, and one is opened for
//! all that wait for it.

use super::{
    backend::BackendStream,
    driver,
    places::{Line, Place, Uses},
};
use crate::{
    pipeline::cause::{Cause, Why},
    wire::{
        alarm::Alarm,
        buffer::WriteBuffer,
        call::Call,
        dial::{self, Dial, Goal, Offer},
        gate::{Entered, Gate, Permit, Refused},
        h1::backend::BackendConn,
        names::Origin,
        pool::Key,
        proxy_protocol::Announced,
    },
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
const TURN: Duration = Duration::from_millis(100);

/// The most connections to one endpoint of which something was said.
const KEPT: usize = 512;

/// The connections to one endpoint.
#[derive(Default)]
struct Shelf {
    generation: u64,
    shared: Vec<Shared>,
    /// Somebody is opening one.
    opening: Option<watch::Receiver<Option<Cause>>>,
    /// The last that was opened turned out to be one of HTTP/1.1.
    http1: bool,
    /// Those who wait for room, under a limit.
    line: Arc<Line>,
}

/// One connection.
struct Shared {
    requests: SendRequest<WriteBuffer>,
    uses: Arc<Uses>,
    origin: Option<Origin>,
    /// Whose connection it was said to be.
    said: Option<Announced>,
    secure: bool,
    since: Instant,
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
    /// Open a connection, and tell the others, if there is something to tell: of HTTP/1.1, and of those that are one
    /// client's, each gets its own.
    Open(Option<watch::Sender<Option<Cause>>>),
    /// Somebody else does.
    Wait(watch::Receiver<Option<Cause>>),
    /// Others wait already.
    Queue,
}

/// What a connection is opened for.
pub struct Opening<'a> {
    pub goal: &'a Goal<'a>,
    pub key: Key,
    pub offer: Offer,
    /// How long it is used for new requests.
    pub lifetime: Option<Duration>,
    /// The limit of connections.
    pub gate: Option<&'a Arc<Gate>>,
    /// The time to connect, and the end of the request's own.
    pub connect: Duration,
    pub end: Instant,
}

impl Opening<'_> {
    fn within(&self) -> Duration {
        self.connect.min(self.end.saturating_duration_since(Instant::now()))
    }
}

/// Why there is no way to the backend.
#[derive(Debug)]
pub enum Unopened {
    Failed(Cause),
    /// As many connections as are allowed are in use.
    Refused(Refused),
}

impl From<Cause> for Unopened {
    fn from(cause: Cause) -> Unopened {
        Unopened::Failed(cause)
    }
}

impl From<Refused> for Unopened {
    fn from(refused: Refused) -> Unopened {
        Unopened::Refused(refused)
    }
}

/// A stream to the endpoint, on a connection that is there or on a new one; where TLS says so, one of HTTP/1.1.
pub async fn open(
    opening: &Opening<'_>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<Call, Unopened> {
    loop {
        let tell = match poll_fn(|cx| Poll::Ready(turn(opening, cx))).await {
            Turn::Stream(stream) => return Ok(Call::H2(stream)),
            Turn::Wait(told) => match outcome(opening, told).await? {
                Some(cause) => return Err(cause.into()),
                None => continue,
            },
            Turn::Open(tell) => Some(tell),
            Turn::Queue => None,
        };
        let Some(gate) = opening.gate else { return Ok(tried(opening, tell.flatten(), None).await?) };
        if let Some(tell) = tell
            && let Some(permit) = gate.try_enter()
        {
            return Ok(tried(opening, tell, Some(permit)).await?);
        }
        return queue(opening, gate, gone).await;
    }
}

/// Waits for room on a connection of this worker, or for the right to open one.
async fn queue(
    opening: &Opening<'_>,
    gate: &Arc<Gate>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<Call, Unopened> {
    let line = shelf(opening.key, |shelf| shelf.line.clone());
    let (dial, said) = (opening.goal.dial, opening.goal.said.as_ref());
    // What was said to be another client's is of no use here: it had better be closed.
    let stand = said.is_none().then(|| line.stand());
    let _places = (gate.join().ok_or(Refused::Full)?, stand);
    let key = (opening.offer == Offer::Either && is_http1(opening.key)).then_some(opening.key);
    let (mut alarm, mut look) = (Alarm::default(), Instant::now() + TURN);
    let mut freed = pin!(line.freed.notified());
    let room = |cx: &mut Context| loop {
        if let Some(stream) = shelf(opening.key, |shelf| shelf.stream(dial, said, cx)) {
            return Poll::Ready(stream);
        }
        if freed.as_mut().poll(cx).is_ready() {
            freed.set(line.freed.notified());
            continue;
        }
        ready!(alarm.poll(cx, look));
        look = Instant::now() + TURN;
    };
    match gate.wait(key, opening.end, gone, room).await? {
        Entered::Room(stream) => Ok(Call::H2(stream)),
        Entered::Take(conn) => Ok(Call::H1(conn)),
        Entered::Dial(permit) => Ok(tried(opening, None, Some(permit)).await?),
    }
}

/// What became of the connection that somebody else opens: an error, or one looks again.
async fn outcome(
    opening: &Opening<'_>,
    mut told: watch::Receiver<Option<Cause>>,
) -> Result<Option<Cause>, Cause> {
    let within = opening.within();
    match tokio::time::timeout(within, told.changed()).await {
        Ok(Ok(())) => Ok(told.borrow().clone()),
        // It is there, or whoever opened it gave up.
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(dial::late(opening.goal, "did not accept a connection", within)),
    }
}

/// Opens a connection and tells those who wait for it when it failed.
async fn tried(
    opening: &Opening<'_>,
    tell: Option<watch::Sender<Option<Cause>>>,
    permit: Option<Permit>,
) -> Result<Call, Cause> {
    let opened = fresh(opening, permit, true).await;
    if let (Some(tell), Err(cause)) = (tell, &opened) {
        tell.send_replace(Some(cause.clone()));
    }
    opened
}

/// A stream on a connection that nobody else uses.
pub async fn alone(
    opening: &Opening<'_>,
    gone: impl FnMut(&mut Context) -> Poll<()>,
) -> Result<Call, Unopened> {
    let permit = match opening.gate {
        None => None,
        Some(gate) => match gate.enter(opening.key, opening.end, gone).await? {
            Entered::Dial(permit) => Some(permit),
            // Connections without a port of their own are not kept, and so not handed on.
            Entered::Take(conn) => return Ok(Call::H1(conn)),
            Entered::Room(never) => match never {},
        },
    };
    Ok(fresh(opening, permit, false).await?)
}

async fn fresh(opening: &Opening<'_>, permit: Option<Permit>, keep: bool) -> Result<Call, Cause> {
    let Opening { goal, key, offer, lifetime, .. } = *opening;
    let (io, origin) = dial::stream(goal, offer, opening.within()).await?;
    let secure = goal.tls.is_some();
    if secure && io.protocol() != Some(b"h2") {
        if offer == Offer::Http2 {
            return Err(none(goal, "it does not offer HTTP/2"));
        }
        shelf(key, |shelf| shelf.http1 = true);
        let mut conn = BackendConn::new(io, key, origin, goal.said);
        conn.admit(permit, lifetime);
        conn.once |= !keep;
        return Ok(Call::H1(conn));
    }
    let limit = permit.as_ref().map(|permit| (permit.gate().clone(), shelf(key, |shelf| shelf.line.clone())));
    let uses = Uses::new(limit);
    let requests = driver::begin(io, &uses, permit).await.map_err(|error| none(goal, &error.to_string()))?;
    let place = Place::take(&uses);
    if keep {
        let since = Instant::now();
        let until = lifetime.map(|lifetime| since + lifetime);
        let (requests, said) = (requests.clone(), goal.said);
        let shared = Shared { requests, uses, origin, said, secure, since, used: since, until };
        shelf(key, |shelf| {
            shelf.http1 = false;
            if shared.said.is_some() && shelf.shared.len() >= KEPT {
                shelf.shared.remove(0);
            }
            shelf.shared.push(shared);
            // It has room for more than the one who opened it.
            shelf.line.freed.notify_waiters();
        });
    }
    Ok(Call::H2(BackendStream::new(requests, secure, false, place)))
}

fn none(goal: &Goal, why: &str) -> Cause {
    Cause::new(Why::BackendReset, format!("no HTTP/2 with the backend {}: {why}", goal.label()))
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

fn turn(opening: &Opening, cx: &mut Context) -> Turn {
    shelf(opening.key, |shelf| {
        if opening.gate.is_some() && shelf.line.waiting() > 0 {
            return Turn::Queue;
        }
        let said = opening.goal.said.as_ref();
        if let Some(stream) = shelf.stream(opening.goal.dial, said, cx) {
            return Turn::Stream(stream);
        }
        // One that is said to be this client's is of no use to others, and theirs are of none to it.
        if shelf.http1 && opening.offer == Offer::Either || said.is_some() {
            return Turn::Open(None);
        }
        match &shelf.opening {
            Some(told) if told.has_changed().is_ok() => Turn::Wait(told.clone()),
            _ => {
                let (tell, told) = watch::channel(None);
                shelf.opening = Some(told);
                Turn::Open(Some(tell))
            }
        }
    })
}

impl Shelf {
    /// A place on the first connection that has room; those that are over are let go of.
    fn stream(
        &mut self,
        dial: &Dial,
        said: Option<&Announced>,
        cx: &mut Context,
    ) -> Option<Box<BackendStream>> {
        let mut found = None;
        self.shared.retain_mut(|shared| {
            if found.is_some() || shared.said.as_ref() != said {
                return true;
            }
            let now = Instant::now();
            if !dial.still_leads_to(&mut shared.origin) || shared.until.is_some_and(|until| until <= now) {
                return false;
            }
            if shared.is_resting(now) {
                return true;
            }
            let mut requests = shared.requests.clone();
            match requests.poll_ready(cx) {
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) if shared.has_room() => {
                    shared.used = now;
                    let place = Place::take(&shared.uses);
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
        (self.uses.number() as usize) < self.requests.current_max_send_streams()
    }

    fn is_resting(&self, now: Instant) -> bool {
        let turns = now.saturating_duration_since(self.since).as_millis() / TURN.as_millis();
        turns % 2 == 1 && self.uses.is_wanted_elsewhere()
    }
}

/// Closes what was unused for too long, and lets go of what is over.
pub fn sweep(now: Instant, longest: Duration) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    POOL.with_borrow_mut(|pool| {
        for shelf in pool.iter_mut() {
            shelf.shared.retain_mut(|shared| {
                if shared.uses.number() > 0 {
                    shared.used = now;
                }
                let young = now.saturating_duration_since(shared.used) < longest;
                young && !matches!(shared.requests.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
            });
        }
    });
}

/// How many connections this worker has, and how many requests use them.
pub fn count() -> (u64, u64) {
    POOL.with_borrow(|pool| {
        let all = || pool.iter().flat_map(|shelf| &shelf.shared);
        (all().count() as u64, all().map(|shared| u64::from(shared.uses.number())).sum())
    })
}

/// Closes unused connections under limits where somebody waits who cannot use them: their permits go to those.
pub fn give_up() {
    POOL.with_borrow_mut(|pool| {
        for shelf in pool.iter_mut() {
            shelf.shared.retain(|shared| shared.uses.number() > 0 || !shared.uses.is_wanted_elsewhere());
        }
    });
}
