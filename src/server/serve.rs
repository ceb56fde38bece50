//! The straight line from a request head to the last byte of the answer: spelled once, for the requests of an HTTP/1.1
//! connection, one after the other, and for the streams of an HTTP/2 one, many at a time.

use super::{
    connection::ConnectionContext,
    dispatch::dispatch,
    http2,
    relay::{framing, relay},
    websocket,
    worker::{CachedPlan, Worker},
};
use crate::{
    net::{
        buffer::ReadBuffer,
        client_io::ClientIo,
        h1::{
            client::{ClientConn, Next},
            hop_by_hop::{self, HopByHop},
        },
        io::Stream,
    },
    pipeline::{
        body::{Body, Framing},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        grpc,
        head::{KnownHeader, Version},
        response::{Response, rescue},
        upgrade::Upgrade,
    },
    plan::Plan,
};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

/// What is drained of a request body that nobody reads, before the connection is closed instead.
const MAX_LINGER_BYTES: u64 = 64 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves one client connection until it ends; what TLS agreed upon, or the first bytes tell what the client speaks.
pub async fn serve(io: Stream, guest: ConnectionContext, worker: Arc<Worker>) {
    if io.alpn_protocol() == Some(b"h2") {
        return Box::pin(http2::serve(io, ReadBuffer::default(), guest, worker)).await;
    }
    let mut conn = ClientConn::new(io, guest.peer);
    let told = worker.gateway.drain.notified();
    let mut told = pin!(told.notified());
    let mut since = Instant::now();
    loop {
        let (idle, drain) = (worker.plan().limits.client.idle_timeout, &worker.gateway.drain);
        let stop = |cx: &mut std::task::Context| {
            if drain.is_on() { Poll::Ready(()) } else { told.as_mut().poll(cx) }
        };
        if !conn.wait_readable(since, idle, stop).await {
            return;
        }
        let (mut x, plan) = (guest.new_exchange(&worker, since), worker.plan());
        let after = match conn.next_head(&mut x.request, &plan.limits.client).await {
            Next::Request => handle_exchange(&mut conn, &guest, &mut x, &plan, &worker).await,
            Next::Rejected(cause) => reject_request(&mut conn, &mut x, &plan, &worker, cause).await,
            Next::Closed => NextAction::Close,
            Next::NotHttp(cause) => error_response(&mut x, &plan, &worker, cause)
                .map_or(NextAction::Close, |_| NextAction::Linger),
            Next::Http2 => {
                worker.release_exchange(x);
                let (io, input) = conn.into_parts();
                // Boxed: connections of HTTP/1.1 need not carry its room around.
                return Box::pin(http2::serve(io, input, guest, worker)).await;
            }
        };
        if let NextAction::Tunnel(switch, route) = after {
            return Box::pin(tunnel(conn, x, plan, worker, *switch, route)).await;
        }
        worker.release_exchange(x);
        since = match finish_request_body(&mut conn, after).await {
            NextAction::KeepAlive(now) => now,
            NextAction::Linger => return linger(conn).await,
            NextAction::Close | NextAction::Tunnel(..) => return,
        };
    }
}

/// Closes so that the client can still read the answer.
async fn linger(conn: ClientConn) {
    conn.close_lingering(16 * MAX_LINGER_BYTES, Instant::now() + LINGER_TIMEOUT).await;
}

/// Before the next request the rest of the last one is passed over, if it is little.
async fn finish_request_body(conn: &mut ClientConn, after: NextAction) -> NextAction {
    match after {
        NextAction::KeepAlive(now) if !conn.is_body_done() => {
            match conn.drain(MAX_LINGER_BYTES, now + LINGER_TIMEOUT).await {
                true => NextAction::KeepAlive(Instant::now()),
                false => NextAction::Linger,
            }
        }
        after => after,
    }
}

/// The rest of a connection that changed its protocol; it holds no plan, so that it may outlive many.
async fn tunnel(
    mut conn: ClientConn,
    mut exchange: Box<Exchange>,
    plan: CachedPlan,
    worker: Arc<Worker>,
    switch: Upgrade,
    route: Arc<str>,
) {
    let terms = websocket::TunnelConfig {
        idle: plan.limits.tunnel_idle,
        metrics: worker.gateway.metrics().tunnels().clone(),
    };
    exchange.runtime = None;
    drop(plan);
    let end = websocket::run(&mut conn, switch, terms, &worker.gateway.drain).await;
    exchange.record.bytes_out = conn.sent();
    log::debug!("a WebSocket connection ended: {end:?}");
    log(&conn, &exchange, &worker, &route, Instant::now());
    worker.release_exchange(exchange);
    linger(conn).await;
}

/// What becomes of the connection after an exchange.
pub enum NextAction {
    /// It is idle since then.
    KeepAlive(Instant),
    /// It is closed so that the client can still read the answer.
    Linger,
    /// It is closed at once: the client left, or must see that the answer is broken.
    Close,
    /// It changed its protocol; the name of the route goes along.
    Tunnel(Box<Upgrade>, Arc<str>),
}

/// One request and its answer.
pub async fn handle_exchange<C: ClientIo>(
    conn: &mut C,
    guest: &ConnectionContext,
    exchange: &mut Exchange,
    plan: &CachedPlan,
    worker: &Worker,
) -> NextAction {
    exchange.now = Instant::now();
    capture_access_fields(exchange, plan, guest);
    let for_head = exchange.request.method() == b"HEAD";
    let hop = hop_by_hop::strip(&mut exchange.request);
    exchange.is_websocket = hop.websocket;
    exchange.runtime = Some(plan.clone());
    let (route, outcome) = match guest.early_response(exchange) {
        Some(outcome) => (None, outcome),
        None => dispatch(exchange, plan, hop, conn).await,
    };
    let metrics = route.as_ref().map_or(worker.gateway.metrics().unrouted(), |route| &route.metrics);
    let outcome = outcome.or_else(|cause| error_response(exchange, plan, worker, cause));
    let after = match outcome {
        Ok(Response { head, upgrade: Some(switch), .. }) if head.status == 101 => {
            exchange.record.status = 101;
            conn.send_upgrade(&head);
            NextAction::Tunnel(
                Box::new(switch),
                route.as_ref().map_or_else(|| "".into(), |r| r.label.clone()),
            )
        }
        Ok(mut answer) => {
            guest.add_hsts(&mut answer);
            let keep = can_keep_alive(conn, hop, plan, worker) && !answer.close_connection;
            send_response(conn, exchange, plan, answer, for_head, keep).await
        }
        Err(()) => NextAction::Close,
    };
    let now = Instant::now();
    metrics.end(worker.index, exchange.record.status, now - exchange.now);
    if let NextAction::Tunnel(..) = after {
        return after;
    }
    log(conn, exchange, worker, route.as_ref().map_or("", |r| &r.label), now);
    if let NextAction::KeepAlive(_) = after { NextAction::KeepAlive(now) } else { after }
}

/// A cause becomes the gateway's own answer; there is none for a client that left.
fn error_response(
    exchange: &mut Exchange,
    plan: &Plan,
    worker: &Worker,
    cause: GatewayError,
) -> Result<Response, ()> {
    exchange.record.error_code = Some(cause.why.name());
    exchange.record.status = cause.status(plan.ocelot);
    worker.gateway.metrics().record_error(cause.why.name());
    log::debug!("{}: {}", cause.why.name(), cause.detail);
    if cause.why == ErrorCode::ClientClosed {
        return Err(());
    }
    let mut answer = match grpc::is_grpc(&exchange.request) {
        true => grpc::error_response(&cause),
        false => rescue(&cause, exchange.request.original_path(), &exchange.record.id, plan.ocelot),
    };
    answer.close_connection = cause.why.breaks_connection();
    answer.head.append(b"Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    Ok(answer)
}

/// Whether another request may follow on this connection.
fn can_keep_alive(conn: &impl ClientIo, hop: HopByHop, plan: &Plan, worker: &Worker) -> bool {
    let asked = !hop.close && (conn.version() >= Version::Http11 || hop.keep_alive);
    asked && conn.requests_served() < plan.limits.requests_per_connection && !worker.gateway.drain.is_on()
}

/// Head and body of the answer.
async fn send_response<C: ClientIo>(
    conn: &mut C,
    exchange: &mut Exchange,
    plan: &Plan,
    mut answer: Response,
    for_head: bool,
    keep: bool,
) -> NextAction {
    exchange.record.status = answer.status();
    let framing = framing(&answer, for_head, conn.version());
    let keep = keep && framing != Framing::UntilClose;
    conn.send_head(&answer.head, framing, keep);
    if framing == Framing::None && !matches!(answer.body, Body::Stream(_)) {
        answer.body = Body::Empty;
    }
    let relayed = relay(conn, &mut answer.body, plan.limits.body_idle).await;
    exchange.record.bytes_out = conn.sent();
    if let Err(cause) = relayed {
        exchange.record.error_code = Some(cause.why.name());
        if cause.why == ErrorCode::ClientClosed {
            exchange.record.status = 499;
        }
        // What was received is sent, and then the end comes too early. Where only the end of the connection ends a
        // body, it must not look like one.
        let visible = cause.why != ErrorCode::ClientClosed && framing != Framing::UntilClose;
        return if visible { NextAction::Linger } else { NextAction::Close };
    }
    if let Body::Stream(stream) = answer.body {
        stream.finish();
    }
    if keep { NextAction::KeepAlive(exchange.now) } else { NextAction::Linger }
}

/// A head that is no acceptable request: the answer says why, and the connection ends, for who knows where the next one begins.
pub async fn reject_request<C: ClientIo>(
    conn: &mut C,
    exchange: &mut Exchange,
    plan: &CachedPlan,
    worker: &Worker,
    cause: GatewayError,
) -> NextAction {
    exchange.now = Instant::now();
    let unrouted = worker.gateway.metrics().unrouted();
    unrouted.begin(worker.index);
    exchange.record.enabled = plan.access_log;
    let after = match error_response(exchange, plan, worker, cause) {
        Ok(answer) => {
            let after = send_final_response(conn, exchange, plan, answer).await;
            if matches!(after, NextAction::Close) { NextAction::Close } else { NextAction::Linger }
        }
        Err(()) => NextAction::Close,
    };
    let now = Instant::now();
    unrouted.end(worker.index, exchange.record.status, now - exchange.now);
    log(conn, exchange, worker, "", now);
    after
}

/// The last answer on a connection: nothing of the request is read any more.
async fn send_final_response<C: ClientIo>(
    conn: &mut C,
    exchange: &mut Exchange,
    plan: &Plan,
    mut answer: Response,
) -> NextAction {
    exchange.record.status = answer.status();
    conn.send_head(&answer.head, framing(&answer, false, Version::Http11), false);
    let relayed = relay(conn, &mut answer.body, plan.limits.body_idle).await;
    exchange.record.bytes_out = conn.sent();
    if relayed.is_ok() { NextAction::Linger } else { NextAction::Close }
}

/// Keeps what routes ask beside the request, and what the access log wants to know of it before it is changed.
fn capture_access_fields(exchange: &mut Exchange, plan: &Plan, guest: &ConnectionContext) {
    if plan.matches_by_listener {
        exchange.client.listener = Some(guest.listener());
    }
    exchange.record.enabled = plan.access_log;
    if plan.access_log {
        let Exchange { request, record, .. } = exchange;
        record.path.extend_from_slice(request.original_path());
        record.method.extend_from_slice(request.method());
        record.host.extend_from_slice(request.get_known(KnownHeader::Host).unwrap_or_default());
    }
}

/// One access record, always.
fn log(conn: &impl ClientIo, exchange: &Exchange, worker: &Worker, route: &str, now: Instant) {
    if !exchange.record.enabled {
        return;
    }
    let total = now - exchange.now;
    worker.gateway.log.log(
        worker.index,
        &crate::telemetry::Record {
            time: SystemTime::now() - total,
            id: &exchange.record.id,
            client: exchange.client.ip,
            method: &exchange.record.method,
            host: &exchange.record.host,
            path: &exchange.record.path,
            route,
            status: exchange.record.status,
            error_code: exchange.record.error_code.unwrap_or(""),
            endpoint: exchange.record.endpoint.as_deref().unwrap_or(""),
            attempts: exchange.record.attempts,
            bytes_in: conn.bytes_received(),
            bytes_out: exchange.record.bytes_out,
            duration: total,
            backend_duration: exchange.record.backend,
            protocol: conn.version().as_str(),
        },
    );
}
