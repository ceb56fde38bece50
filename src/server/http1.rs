//! A client connection of HTTP/1.1: keep-alive, one exchange after the other, and a lingering close that does not cut
//! off the last response.

use super::{
    accounting::{RecordLabels, log_access, request_end},
    connection::ConnectionContext,
    context::{Context, NextAction},
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
    },
    pipeline::{error::GatewayError, exchange::Exchange, upgrade::Upgrade},
};
use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

/// An unread request body up to this size is drained; otherwise the connection is closed.
const MAX_LINGER_BYTES: u64 = 64 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves one client connection until it ends. TLS (ALPN) or the first bytes select HTTP/2.
pub async fn serve(io: Stream, connection: ConnectionContext, worker: Arc<Worker>) {
    if io.alpn_protocol() == Some(b"h2") {
        return Box::pin(http2::serve(io, ReadBuffer::default(), connection, worker)).await;
    }
    let (mut conn, mut idle_since) = (ClientConn::new(io, connection.peer), Instant::now());
    let notify = worker.gateway.drain.idle_notified();
    let mut notified = pin!(notify.notified());
    loop {
        let (idle_timeout, drain) = (worker.plan().limits.client.idle_timeout, &worker.gateway.drain);
        let stop = |cx: &mut std::task::Context| {
            drain.idle_deadline(Some(idle_since), &notify, notified.as_mut(), cx)
        };
        if !conn.wait_readable(idle_since, idle_timeout, stop).await {
            return;
        }
        let (mut exchange, plan) = (connection.new_exchange(&worker, idle_since), worker.plan());
        let next = conn.next_head(&mut exchange.request, &plan.limits.client).await;
        if let Next::Http2 = next {
            return switch_to_http2(conn, connection, worker, exchange).await;
        }
        let mut ctx =
            Context { connection: &connection, exchange: &mut exchange, plan: &plan, worker: &worker };
        let next = match next {
            Next::Request => handle_exchange(&mut conn, ctx).await,
            Next::Rejected(cause) => reject_request(&mut conn, ctx, cause).await,
            Next::NotHttp(cause) => reject_connection(&mut ctx, cause),
            Next::Closed | Next::Http2 => NextAction::Close,
        };
        if let NextAction::Tunnel(upgrade, route) = next {
            return Box::pin(tunnel(conn, exchange, (connection, plan, worker), *upgrade, route)).await;
        }
        worker.release_exchange(exchange);
        idle_since = match finish_request_body(&mut conn, next).await {
            NextAction::KeepAlive(now) => now,
            NextAction::Linger => return linger(conn).await,
            NextAction::Close | NextAction::Tunnel(..) => return,
        };
    }
}

/// Serves HTTP/2 on a connection that began with its preface. Boxed: HTTP/1.1 connections should not reserve memory for
/// it.
fn switch_to_http2(
    conn: ClientConn,
    connection: ConnectionContext,
    worker: Arc<Worker>,
    exchange: Box<Exchange>,
) -> Pin<Box<impl Future<Output = ()>>> {
    worker.release_exchange(exchange);
    let (io, input) = conn.into_parts();
    Box::pin(http2::serve(io, input, connection, worker))
}

/// Reports a connection whose first bytes are not HTTP.
fn reject_connection(ctx: &mut Context<'_>, cause: GatewayError) -> NextAction {
    error_response(ctx, cause).map_or(NextAction::Close, |_| NextAction::Linger)
}

/// Closes the connection so that the client can still read the response.
async fn linger(conn: ClientConn) {
    conn.close_lingering(16 * MAX_LINGER_BYTES, Instant::now() + LINGER_TIMEOUT).await;
}

/// Before the next request, the remaining bytes of the last request body are drained.
async fn finish_request_body(conn: &mut ClientConn, next: NextAction) -> NextAction {
    match next {
        NextAction::KeepAlive(now) if !conn.is_body_done() => {
            match conn.drain(MAX_LINGER_BYTES, now + LINGER_TIMEOUT).await {
                true => NextAction::KeepAlive(Instant::now()),
                false => NextAction::Linger,
            }
        }
        next => next,
    }
}

/// Serves the connection after an upgrade; it holds no plan, because it may outlive many.
async fn tunnel(
    mut conn: ClientConn,
    mut exchange: Box<Exchange>,
    (connection, plan, worker): (ConnectionContext, CachedPlan, Arc<Worker>),
    upgrade: Upgrade,
    route: Arc<str>,
) {
    let config = websocket::TunnelConfig {
        idle_timeout: plan.limits.tunnel_idle,
        certificate_expires_at: connection.certificate_expires_at(),
        metrics: worker.gateway.metrics().tunnels().clone(),
    };
    let logs = plan.telemetry.access_logs.clone();
    exchange.runtime = None;
    drop(plan);
    let reason = websocket::run(&mut conn, upgrade, config, &worker.gateway.drain).await;
    exchange.record.bytes_out = conn.sent();
    log::debug!("WebSocket connection closed: {reason:?}");
    let labels = RecordLabels { route: &route, ..RecordLabels::new(&connection, None) };
    let end = request_end(&conn, &exchange, Instant::now());
    log_access(&conn, &exchange, &worker, &logs, labels, &end);
    if exchange.trace.is_some() {
        trace::finish(&mut exchange, labels, None, &end, conn.version().as_str());
    }
    worker.release_exchange(exchange);
    linger(conn).await;
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
}
