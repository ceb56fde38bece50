//! A client connection of HTTP/1.1: keep-alive, one exchange after the other, and a lingering close that does not cut
//! off the last response.

use super::{
    accounting::{RecordLabels, log_access, request_end},
    connection::ConnectionContext,
    context::{Context, NextAction},
    coroutines::{CoroutinePool, receive_call},
    exchange::{handle_exchange, reject_request},
    http2,
    respond::error_response,
    trace, websocket,
    worker::{CachedPlan, Worker},
};
use crate::{
    net::{
        buffer::ReadBuffer,
        client_io::ClientIo,
        h1::client::{ClientConn, Next},
        io::Stream,
        upgraded::UpgradedConnection,
    },
    pipeline::{
        error::GatewayError,
        exchange::Exchange,
        guard::ResponseGuard,
        upgrade::{ConnectionOwner, Upgrade, UpgradePeer},
    },
    telemetry::AccessLog,
};
use smallvec::SmallVec;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

/// An unread request body up to this size is drained; otherwise the connection is closed.
const MAX_LINGER_BYTES: u64 = 64 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub type ServeFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and what it belongs to; boxed, because it is passed to a coroutine and back.
struct Session {
    conn: ClientConn,
    connection: ConnectionContext,
    worker: Arc<Worker>,
    idle_since: Instant,
}

/// What follows an exchange.
enum Continuation {
    /// Wait for the next request; the connection has been idle since this time.
    KeepAlive(Instant),
    /// A lingering close.
    Linger,
    /// The connection has ended.
    Closed,
    /// The connection continues as HTTP/2.
    Http2,
    /// The connection continues as a tunnel.
    Tunnel(Box<Tunnel>),
}

thread_local! {
    /// The coroutines that serve the exchanges of this worker.
    static EXCHANGES: CoroutinePool<Box<Session>, (Box<Session>, Continuation)> = const { CoroutinePool::empty() };
}

/// A tunnel, and what is logged at its end.
struct Tunnel {
    upgrade: Upgrade,
    config: websocket::TunnelConfig,
    route: Arc<str>,
    /// `None`: it is not logged.
    exchange: Option<Box<Exchange>>,
    logs: Box<[Arc<AccessLog>]>,
}

/// Serves one client connection until it ends. TLS (ALPN) or the first bytes select HTTP/2. While the connection is idle,
/// this future holds the connection and a timer; everything else is in the coroutine that serves its exchanges.
pub fn serve(io: Stream, connection: ConnectionContext, worker: Arc<Worker>) -> ServeFuture {
    if io.alpn_protocol() == Some(b"h2") {
        return Box::pin(http2::serve(io, ReadBuffer::default(), connection, worker));
    }
    let conn = ClientConn::new(io, connection.peer.tls);
    Box::pin(serve_session(Box::new(Session { conn, connection, worker, idle_since: Instant::now() })))
}

async fn serve_session(mut session: Box<Session>) {
    let gateway = session.worker.gateway.clone();
    let drain = &gateway.drain;
    let notify = drain.idle_notified();
    let mut notified = pin!(notify.notified());
    loop {
        let idle_timeout = session.worker.read_plan(|plan| plan.limits.client.idle_timeout);
        let idle_since = session.idle_since;
        let stop = |cx: &mut std::task::Context| {
            drain.idle_deadline(Some(idle_since), &notify, notified.as_mut(), cx)
        };
        if !session.conn.wait_readable(idle_since, idle_timeout, stop).await {
            return;
        }
        let (mut rest, continuation) =
            EXCHANGES.with(|pool| pool.call(&EXCHANGES, session, serve_exchanges)).await;
        session = match continuation {
            Continuation::KeepAlive(now) => {
                rest.idle_since = now;
                rest
            }
            Continuation::Linger => return Box::pin(linger(&mut rest.conn)).await,
            Continuation::Closed => return,
            Continuation::Http2 => return continue_as_http2(rest).await,
            Continuation::Tunnel(upgrade) => return Box::pin(serve_upgrade(rest, upgrade)).await,
        };
    }
}

/// Not an `async fn`, which would hold the memory of the session.
fn continue_as_http2(session: Box<Session>) -> ServeFuture {
    let Session { conn, connection, worker, .. } = *session;
    let (io, input) = conn.into_parts();
    Box::pin(http2::serve(io, input, connection, worker))
}

/// A coroutine that serves one exchange after the other, of different connections.
async fn serve_exchanges() -> Infallible {
    loop {
        let mut session = receive_call(&EXCHANGES).await;
        let Session { conn, connection, worker, idle_since } = &mut *session;
        let (mut exchange, plan) = (connection.new_exchange(worker, *idle_since), worker.plan());
        let next = conn.next_head(&mut exchange.request, &plan.limits.client).await;
        let mut ctx = Context { connection, exchange: &mut exchange, plan: &plan, worker };
        let mut closed = Continuation::Closed;
        let next = match next {
            Next::Request => handle_exchange(conn, ctx).await,
            Next::Rejected(cause) => reject_request(conn, ctx, cause).await,
            Next::NotHttp(cause) => reject_connection(&mut ctx, cause),
            Next::Closed => NextAction::Close,
            Next::Http2 => {
                closed = Continuation::Http2;
                NextAction::Close
            }
        };
        let next = match next {
            NextAction::KeepAlive(_) if !conn.is_body_done() => drain_request_body(conn).await,
            next => next,
        };
        let continuation = match next {
            NextAction::Tunnel(upgrade, route) => {
                let tunnel = Tunnel::open(*upgrade, route, exchange, &plan, (connection, worker));
                EXCHANGES.with(|pool| pool.respond((session, Continuation::Tunnel(tunnel))));
                continue;
            }
            NextAction::KeepAlive(now) => Continuation::KeepAlive(now),
            NextAction::Linger => Continuation::Linger,
            NextAction::Close => closed,
        };
        worker.release_exchange(exchange);
        drop(plan);
        EXCHANGES.with(|pool| pool.respond((session, continuation)));
    }
}

/// Reports a connection whose first bytes are not HTTP.
fn reject_connection(ctx: &mut Context<'_>, cause: GatewayError) -> NextAction {
    error_response(ctx, cause).map_or(NextAction::Close, |_| NextAction::Linger)
}

/// Closes the connection so that the client can still read the response.
async fn linger(conn: &mut ClientConn) {
    conn.close_lingering(16 * MAX_LINGER_BYTES, Instant::now() + LINGER_TIMEOUT).await;
}

/// Before the next request, the remaining bytes of the last request body are drained.
async fn drain_request_body(conn: &mut ClientConn) -> NextAction {
    match conn.drain(MAX_LINGER_BYTES, Instant::now() + LINGER_TIMEOUT).await {
        true => NextAction::KeepAlive(Instant::now()),
        false => NextAction::Linger,
    }
}

impl Tunnel {
    /// Prepares a tunnel. It holds no plan, because it may outlive many.
    fn open(
        upgrade: Upgrade,
        route: Arc<str>,
        mut exchange: Box<Exchange>,
        plan: &CachedPlan,
        session: (&ConnectionContext, &Worker),
    ) -> Box<Tunnel> {
        let (connection, worker) = session;
        let config = websocket::TunnelConfig {
            idle_timeout: plan.limits.tunnel_idle,
            certificate_expires_at: connection.certificate_expires_at(),
            metrics: worker.gateway.metrics().tunnels().clone(),
        };
        exchange.runtime = None;
        let is_service = !matches!(upgrade.peer, UpgradePeer::Backend(_));
        let exchange = match exchange.record.enabled || !is_service {
            true => Some(exchange),
            // The connection may be idle for days: nothing is held that is not logged.
            false => {
                worker.release_exchange(exchange);
                None
            }
        };
        Box::new(Tunnel { upgrade, config, route, exchange, logs: plan.telemetry.access_logs.clone() })
    }
}

/// Serves the connection after an upgrade.
async fn serve_upgrade(mut session: Box<Session>, tunnel: Box<Tunnel>) {
    let Session { conn, worker, .. } = &mut *session;
    let Tunnel { upgrade, config, route, exchange, logs } = *tunnel;
    let Upgrade { peer, guards } = upgrade;
    let reason = match peer {
        UpgradePeer::Backend(backend) => {
            Box::pin(websocket::run(conn, backend, config, &worker.gateway.drain)).await
        }
        UpgradePeer::Service(service) => websocket::serve_peer(conn, service, &config).await,
        UpgradePeer::Owner(owner) => {
            // The connection may last for days: its request is logged now.
            log_upgrade(&session, (&route, &logs), exchange);
            return hand_over(session, owner, guards).await;
        }
    };
    drop(guards);
    log::debug!("WebSocket connection closed: {reason:?}");
    log_upgrade(&session, (&route, &logs), exchange);
    // Boxed: a hub connection may be idle for days, and needs this only at its end.
    Box::pin(linger(&mut session.conn)).await;
}

/// Logs the exchange of an upgrade, if it has a record.
fn log_upgrade(session: &Session, (route, logs): (&str, &[Arc<AccessLog>]), exchange: Option<Box<Exchange>>) {
    let Session { conn, connection, worker, .. } = session;
    let Some(mut exchange) = exchange else { return };
    exchange.record.bytes_out = conn.sent();
    if exchange.record.enabled {
        let labels = RecordLabels { route, ..RecordLabels::new(connection, None) };
        let end = request_end(conn, &exchange, Instant::now());
        log_access(conn, &exchange, worker, logs, labels, &end);
        if exchange.trace.is_some() {
            trace::finish(&mut exchange, labels, None, &end, conn.version().as_str());
        }
    }
    worker.release_exchange(exchange);
}

/// Sends the response, and hands the connection over. Not an `async fn`, which would hold the memory of the session.
fn hand_over(
    mut session: Box<Session>,
    owner: ConnectionOwner,
    guards: SmallVec<[ResponseGuard; 1]>,
) -> ServeFuture {
    Box::pin(async move {
        if poll_fn(|cx| session.conn.poll_flush_response(cx)).await.is_err() {
            return;
        }
        let (io, input) = session.conn.into_parts();
        owner.serve(Box::new(UpgradedConnection::new(io, input))).await;
        drop(guards);
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        internal_gateway::internal_gateway, listeners::update, run::serve_listeners, worker::Worker,
    };
    use super::*;
    use crate::{
        net::listener::Address,
        pipeline::internal::{InternalService, Request, ServiceRegistry},
        plan::ListenerPlan,
    };
    use axum::{Router, routing::any};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::watch,
    };

    /// A connection to a gateway that responds with the path; the sender keeps the gateway running.
    async fn connect() -> (TcpStream, watch::Sender<super::super::listeners::Listeners>, Arc<Worker>) {
        let path = |request: Request| async move { request.uri().path().to_owned() };
        let mut services = ServiceRegistry::default();
        services.add(InternalService::new("pages", Router::new().fallback(any(path))));
        let gateway = internal_gateway(services, 8).unwrap();
        let port_of_kernel: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = update(&[], &[ListenerPlan::plain("pages", port_of_kernel)]).unwrap();
        let Address::Tcp(address) = listeners[0].address() else { panic!("a TCP address") };
        let (sender, worker) = (watch::Sender::new(listeners), Arc::new(Worker { index: 0, gateway }));
        tokio::spawn(serve_listeners(worker.clone(), sender.subscribe()));
        (TcpStream::connect(address).await.unwrap(), sender, worker)
    }

    /// Sends these bytes and reads until the gateway closes.
    async fn exchange(bytes: &[u8]) -> String {
        let (mut stream, _listeners, _worker) = connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut responses = String::new();
        stream.read_to_string(&mut responses).await.unwrap();
        responses
    }

    #[tokio::test]
    async fn requests_are_served_in_order_and_unread_bodies_are_drained() {
        let responses = exchange(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(responses.contains("\r\n\r\n/aHTTP/1.1 200 OK"), "{responses}");
        assert!(responses.ends_with("\r\n\r\n/b"), "{responses}");
    }

    #[tokio::test]
    async fn a_long_unread_body_closes_the_connection_after_the_response() {
        let mut bytes = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + 100_000, b'x');
        bytes.extend_from_slice(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        let responses = exchange(&bytes).await;
        assert!(responses.ends_with("\r\n\r\n/a"), "{responses}");
    }

    #[tokio::test]
    async fn head_receives_a_head_and_a_malformed_request_400() {
        let responses = exchange(b"HEAD /abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let responses = responses.to_ascii_lowercase();
        assert!(
            responses.contains("content-length: 4\r\n") && responses.ends_with("\r\n\r\n"),
            "{responses}"
        );
        let responses = exchange(b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n").await;
        assert!(responses.starts_with("HTTP/1.1 400 "), "{responses}");
    }

    #[tokio::test]
    async fn a_connection_without_http_receives_nothing() {
        assert_eq!(exchange(b"INVALID CONNECTION PREFACE\r\n\r\n").await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_when_the_gateway_drains() {
        let (mut stream, _listeners, worker) = connect().await;
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut responses = Vec::new();
        while !responses.ends_with(b"/a") {
            assert!(stream.read_buf(&mut responses).await.unwrap() > 0);
        }
        worker.gateway.drain.begin();
        assert_eq!(stream.read_buf(&mut responses).await.unwrap(), 0);
    }

    /// The sizes of what an idle connection holds, without the timer and the registration of the socket. Bounds are in
    /// docs/limits.md; `tests/chaos/costs.py` measures the whole.
    #[tokio::test]
    async fn an_idle_connection_holds_no_future_of_an_exchange() {
        let (_client, _listeners, worker) = connect().await;
        let address: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let socket = crate::net::listener::bind(&address.into(), None).unwrap();
        let Address::Tcp(bound) = socket.address().unwrap() else { panic!("a TCP address") };
        let _client = TcpStream::connect(bound).await.unwrap();
        let accepted = crate::net::listener::Acceptor::new(&socket).unwrap().accept().await.unwrap();
        let peer = crate::pipeline::exchange::Peer::new(accepted.peer, accepted.local, false);
        let connection = ConnectionContext::plain(peer, ListenerPlan::plain("a", address));
        let conn = ClientConn::new(accepted.socket.into_stream(&[]), false);
        let session = Box::new(Session { conn, connection, worker, idle_since: Instant::now() });
        let sizes = (size_of::<Session>(), size_of_val(&serve_session(session)));
        assert!(sizes.0 <= 672 && sizes.1 <= 384, "{sizes:?}");
    }
}
