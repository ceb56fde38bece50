//! The backend over HTTP/2, by ALPN or prior knowledge.

use super::{ORDER, RESPONSE_TIMEOUT, Seen, Shared, decoded};
use crate::support::h2::{Respond, drain};
use crate::support::http1_reader::Head;
use crate::support::stub_backend::StubResponse;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, header::HeaderName};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::server::Acceptor;

/// The facts about the TLS peer.
#[derive(Clone, Default)]
struct Peer {
    server_name: Option<String>,
    certified: bool,
}

/// Whether this connection will use HTTP/2; nothing has been read from it.
pub(super) fn is_wanted(stream: &TcpStream, shared: &Shared) -> bool {
    match &shared.tls {
        None => shared.h2c,
        Some(tls) => tls.alpn_protocols.iter().any(|name| name == b"h2") && offers(stream).unwrap_or(false),
    }
}

/// Whether a ClientHello offers HTTP/2. It is peeked, not consumed.
fn offers(stream: &TcpStream) -> Option<bool> {
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT)).ok()?;
    let (mut bytes, start) = (vec![0; 16 * 1024], Instant::now());
    while start.elapsed() < RESPONSE_TIMEOUT {
        let n = stream.peek(&mut bytes).ok().filter(|n| *n > 0)?;
        let (mut acceptor, mut rest) = (Acceptor::default(), &bytes[..n]);
        while acceptor.read_tls(&mut rest).ok()? > 0 {}
        if let Some(accepted) = acceptor.accept().ok()? {
            return Some(accepted.client_hello().alpn()?.any(|name| name == b"h2"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Serves a connection to its end.
pub(super) fn serve(stream: TcpStream, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = stream.set_nonblocking(true);
    runtime.block_on(async {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
        let Some(tls) = &shared.tls else { return converse(stream, Peer::default(), shared).await };
        let Ok(stream) = TlsAcceptor::from(tls.clone()).accept(stream).await else { return };
        let tls = stream.get_ref().1;
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        shared.resumed.fetch_add(u64::from(resumed), Ordering::SeqCst);
        let server_name = tls.server_name().map(str::to_owned);
        let peer = Peer { server_name, certified: tls.peer_certificates().is_some() };
        converse(stream, peer, shared).await;
    });
    runtime.shutdown_background();
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, shared: &Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(one(request, respond, peer.clone(), shared.clone()));
    }
}

/// One request and its response.
async fn one(request: Request<RecvStream>, mut respond: Respond, peer: Peer, shared: Arc<Shared>) {
    let Ok(seen) = read(request, peer).await else { return };
    let head = seen.method == "HEAD";
    let answer = tokio::task::spawn_blocking(move || super::answer(&shared, seen)).await.expect("a response");
    tokio::time::sleep(answer.delay).await;
    if answer.echo {
        return respond.send_reset(Reason::HTTP_1_1_REQUIRED);
    }
    // The client may have disconnected.
    let _ = send(&answer, head, &mut respond);
}

fn send(answer: &StubResponse, head: bool, respond: &mut Respond) -> Result<(), h2::Error> {
    let bodiless = head || matches!(answer.status, 204 | 304);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        if !name.eq_ignore_ascii_case("connection") {
            response = response.header(name, value);
        }
    }
    if !matches!(answer.status, 204 | 304) && answer.chunked.is_none() && !answer.has("content-length") {
        response = response.header("content-length", answer.body.len());
    }
    let mut stream = respond.send_response(response.body(()).expect("a head"), bodiless)?;
    if bodiless {
        return Ok(());
    }
    let trailers = answer.chunked.iter().flatten().map(|(name, value)| {
        (HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"))
    });
    let trailers: HeaderMap = trailers.collect();
    stream.send_data(Bytes::from(answer.body.clone()), trailers.is_empty())?;
    if trailers.is_empty() { Ok(()) } else { stream.send_trailers(trailers) }
}

/// Reads a complete request.
async fn read(request: Request<RecvStream>, peer: Peer) -> Result<Seen, h2::Error> {
    let (parts, mut body) = request.into_parts();
    let (mut body, trailers) = drain(&mut body).await?;
    let length = body.len() as u64;
    body.truncate(8 << 20);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let mut headers = texts(&parts.headers);
    if let Some(authority) = parts.uri.authority() {
        headers.insert(0, ("host".to_owned(), authority.to_string()));
    }
    let (path, query) = super::split(&target);
    Ok(Seen {
        method: parts.method.to_string(),
        path: decoded(path),
        query,
        head: Head { start: format!("{} {target} HTTP/2.0", parts.method), headers, raw: Vec::new() },
        target,
        body,
        length,
        trailers: trailers.as_ref().map(texts).unwrap_or_default(),
        server_name: peer.server_name,
        certified: peer.certified,
        order: ORDER.fetch_add(1, Ordering::SeqCst),
    })
}

fn texts(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
