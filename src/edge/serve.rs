//! The straight line from a request head to the last byte of the answer: spelled once, for the requests of an HTTP/1.1
//! connection, one after the other, and for the streams of an HTTP/2 one, many at a time.

use super::{
    answer::answer,
    door::Guest,
    relay::{framing, relay},
    streams, tunnel,
    worker::{Held, Worker},
};
use crate::{
    pipeline::{
        answer::{Answer, rescue},
        body::{Body, Framing},
        cause::{Cause, Why},
        exchange::Exchange,
        grpc,
        head::{Known, Version},
        switch::Switch,
    },
    plan::Plan,
    wire::{
        buffer::ReadBuffer,
        h1::{
            client::{ClientConn, Next},
            hop::{self, Hop},
        },
        io::Io,
        side::ClientSide,
    },
};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

/// What is drained of a request body that nobody reads, before the connection is closed instead.
const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Serves one client connection until it ends; what TLS agreed upon, or the first bytes tell what the client speaks.
pub async fn serve(io: Io, guest: Guest, w: Arc<Worker>) {
    if io.protocol() == Some(b"h2") {
        return Box::pin(streams::serve(io, ReadBuffer::default(), guest, w)).await;
    }
    let mut conn = ClientConn::new(io, guest.peer);
    let told = w.gateway.drain.told();
    let mut told = pin!(told.notified());
    let mut since = Instant::now();
    loop {
        let (idle, drain) = (w.plan().limits.client.idle_time, &w.gateway.drain);
        let stop = |cx: &mut std::task::Context| {
            if drain.is_on() { Poll::Ready(()) } else { told.as_mut().poll(cx) }
        };
        if !conn.readable(since, idle, stop).await {
            return;
        }
        let (mut x, plan) = (guest.lend(&w, since), w.plan());
        let after = match conn.next_head(&mut x.req, &plan.limits.client).await {
            Next::Request => exchange(&mut conn, &guest, &mut x, &plan, &w).await,
            Next::Bad(cause) => refuse(&mut conn, &mut x, &plan, &w, cause).await,
            Next::Closed => After::Drop,
            Next::Foreign(cause) => give_up(&mut x, &plan, &w, cause).map_or(After::Drop, |_| After::Linger),
            Next::Http2 => {
                w.take_back(x);
                let (io, input) = conn.into_parts();
                // Boxed: connections of HTTP/1.1 need not carry its room around.
                return Box::pin(streams::serve(io, input, guest, w)).await;
            }
        };
        if let After::Tunnel(switch, route) = after {
            return Box::pin(tunnel(conn, x, plan, w, *switch, route)).await;
        }
        w.take_back(x);
        since = match rest(&mut conn, after).await {
            After::Next(now) => now,
            After::Linger => return linger(conn).await,
            After::Drop | After::Tunnel(..) => return,
        };
    }
}

/// Closes so that the client can still read the answer.
async fn linger(conn: ClientConn) {
    conn.close_lingering(16 * DRAIN_BYTES, Instant::now() + DRAIN_TIME).await;
}

/// Before the next request the rest of the last one is passed over, if it is little.
async fn rest(conn: &mut ClientConn, after: After) -> After {
    match after {
        After::Next(now) if !conn.is_body_done() => match conn.drain(DRAIN_BYTES, now + DRAIN_TIME).await {
            true => After::Next(Instant::now()),
            false => After::Linger,
        },
        after => after,
    }
}

/// The rest of a connection that changed its protocol; it holds no plan, so that it may outlive many.
async fn tunnel(
    mut conn: ClientConn,
    mut x: Box<Exchange>,
    plan: Held,
    w: Arc<Worker>,
    switch: Switch,
    route: Arc<str>,
) {
    let terms =
        tunnel::Terms { idle: plan.limits.tunnel_idle, counted: w.gateway.metrics().tunnels().clone() };
    x.services = None;
    drop(plan);
    let end = tunnel::carry(&mut conn, switch, terms, &w.gateway.drain).await;
    x.record.bytes_out = conn.sent();
    log::debug!("a WebSocket connection ended: {end:?}");
    log(&conn, &x, &w, &route, Instant::now());
    w.take_back(x);
    linger(conn).await;
}

/// What becomes of the connection after an exchange.
pub enum After {
    /// It is idle since then.
    Next(Instant),
    /// It is closed so that the client can still read the answer.
    Linger,
    /// It is closed at once: the client left, or must see that the answer is broken.
    Drop,
    /// It changed its protocol; the name of the route goes along.
    Tunnel(Box<Switch>, Arc<str>),
}

/// One request and its answer.
pub async fn exchange<C: ClientSide>(
    conn: &mut C,
    guest: &Guest,
    x: &mut Exchange,
    plan: &Held,
    w: &Worker,
) -> After {
    x.now = Instant::now();
    note(x, plan, guest);
    let for_head = x.req.method() == b"HEAD";
    let hop = hop::strip(&mut x.req);
    x.websocket = hop.websocket;
    x.services = Some(plan.clone());
    let (route, outcome) = match guest.at_the_door(x) {
        Some(outcome) => (None, outcome),
        None => answer(x, plan, hop, conn).await,
    };
    let metrics = route.as_ref().map_or(w.gateway.metrics().unrouted(), |route| &route.metrics);
    let outcome = outcome.or_else(|cause| give_up(x, plan, w, cause));
    let after = match outcome {
        Ok(Answer { head, switch: Some(switch), .. }) if head.status == 101 => {
            x.record.status = 101;
            conn.begin_switch(&head);
            After::Tunnel(Box::new(switch), route.as_ref().map_or_else(|| "".into(), |r| r.label.clone()))
        }
        Ok(mut answer) => {
            guest.strict(&mut answer);
            let keep = keeps(conn, hop, plan, w) && !answer.close;
            deliver(conn, x, plan, answer, for_head, keep).await
        }
        Err(()) => After::Drop,
    };
    let now = Instant::now();
    metrics.end(w.index, x.record.status, now - x.now);
    if let After::Tunnel(..) = after {
        return after;
    }
    log(conn, x, w, route.as_ref().map_or("", |r| &r.label), now);
    if let After::Next(_) = after { After::Next(now) } else { after }
}

/// A cause becomes the gateway's own answer; there is none for a client that left.
fn give_up(x: &mut Exchange, plan: &Plan, w: &Worker, cause: Cause) -> Result<Answer, ()> {
    x.record.why = Some(cause.why.name());
    x.record.status = cause.status(plan.ocelot);
    w.gateway.metrics().refused(cause.why.name());
    log::debug!("{}: {}", cause.why.name(), cause.detail);
    if cause.why == Why::ClientGone {
        return Err(());
    }
    let mut answer = match grpc::is_call(&x.req) {
        true => grpc::rescue(&cause),
        false => rescue(&cause, x.req.asked_path(), &x.record.id, plan.ocelot),
    };
    answer.close = cause.why.breaks_connection();
    answer.head.append(b"Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    Ok(answer)
}

/// Whether another request may follow on this connection.
fn keeps(conn: &impl ClientSide, hop: Hop, plan: &Plan, w: &Worker) -> bool {
    let asked = !hop.close && (conn.version() >= Version::Http11 || hop.keep_alive);
    asked && conn.served() < plan.limits.requests_per_connection && !w.gateway.drain.is_on()
}

/// Head and body of the answer.
async fn deliver<C: ClientSide>(
    conn: &mut C,
    x: &mut Exchange,
    plan: &Plan,
    mut answer: Answer,
    for_head: bool,
    keep: bool,
) -> After {
    x.record.status = answer.status();
    let framing = framing(&answer, for_head, conn.version());
    let keep = keep && framing != Framing::UntilClose;
    conn.begin(&answer.head, framing, keep);
    if framing == Framing::None && !matches!(answer.body, Body::Stream(_)) {
        answer.body = Body::Empty;
    }
    let relayed = relay(conn, &mut answer.body, plan.limits.body_idle).await;
    x.record.bytes_out = conn.sent();
    if let Err(cause) = relayed {
        x.record.why = Some(cause.why.name());
        if cause.why == Why::ClientGone {
            x.record.status = 499;
        }
        // What was received is sent, and then the end comes too early. Where only the end of the connection ends a
        // body, it must not look like one.
        let visible = cause.why != Why::ClientGone && framing != Framing::UntilClose;
        return if visible { After::Linger } else { After::Drop };
    }
    if let Body::Stream(stream) = answer.body {
        stream.finish();
    }
    if keep { After::Next(x.now) } else { After::Linger }
}

/// A head that is no acceptable request: the answer says why, and the connection ends, for who knows where the next one begins.
pub async fn refuse<C: ClientSide>(
    conn: &mut C,
    x: &mut Exchange,
    plan: &Held,
    w: &Worker,
    cause: Cause,
) -> After {
    x.now = Instant::now();
    let unrouted = w.gateway.metrics().unrouted();
    unrouted.begin(w.index);
    x.record.wanted = plan.access_log;
    let after = match give_up(x, plan, w, cause) {
        Ok(answer) => {
            let after = deliver_last(conn, x, plan, answer).await;
            if matches!(after, After::Drop) { After::Drop } else { After::Linger }
        }
        Err(()) => After::Drop,
    };
    let now = Instant::now();
    unrouted.end(w.index, x.record.status, now - x.now);
    log(conn, x, w, "", now);
    after
}

/// The last answer on a connection: nothing of the request is read any more.
async fn deliver_last<C: ClientSide>(
    conn: &mut C,
    x: &mut Exchange,
    plan: &Plan,
    mut answer: Answer,
) -> After {
    x.record.status = answer.status();
    conn.begin(&answer.head, framing(&answer, false, Version::Http11), false);
    let relayed = relay(conn, &mut answer.body, plan.limits.body_idle).await;
    x.record.bytes_out = conn.sent();
    if relayed.is_ok() { After::Linger } else { After::Drop }
}

/// Keeps what routes ask beside the request, and what the access log wants to know of it before it is changed.
fn note(x: &mut Exchange, plan: &Plan, guest: &Guest) {
    if plan.by_listener {
        x.listener = Some(guest.listener());
    }
    x.record.wanted = plan.access_log;
    if plan.access_log {
        let Exchange { req, record, .. } = x;
        record.path.extend_from_slice(req.asked_path());
        record.method.extend_from_slice(req.method());
        record.host.extend_from_slice(req.known(Known::Host).unwrap_or_default());
    }
}

/// One access record, always.
fn log(conn: &impl ClientSide, x: &Exchange, w: &Worker, route: &str, now: Instant) {
    if !x.record.wanted {
        return;
    }
    let total = now - x.now;
    w.gateway.log.log(
        w.index,
        &crate::telemetry::Record {
            time: SystemTime::now() - total,
            id: &x.record.id,
            client: x.client,
            method: &x.record.method,
            host: &x.record.host,
            path: &x.record.path,
            route,
            status: x.record.status,
            why: x.record.why.unwrap_or(""),
            endpoint: x.record.endpoint.as_deref().unwrap_or(""),
            attempts: x.record.attempts,
            bytes_in: conn.received(),
            bytes_out: x.record.bytes_out,
            total,
            backend: x.record.backend,
            protocol: conn.version().as_str(),
        },
    );
}
