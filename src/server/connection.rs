//! What a listener knows of a client before there is a request, and what it says before there is a route.

use super::worker::Worker;
use crate::{
    net::{
        h1::host,
        io::Stream,
        tls::server::{HandshakeError, TlsSession},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Peer},
        head::KnownHeader,
        response::{Response, RouteResult},
    },
    plan::ListenerPlan,
    telemetry::Handshake,
};
use std::{sync::Arc, time::Instant};

/// A client that came through a listener.
#[derive(Debug)]
pub struct ConnectionContext {
    pub peer: Peer,
    /// The listener as it was when the client came.
    listener: Arc<ListenerPlan>,
    tls_session: Option<TlsSession>,
}

impl ConnectionContext {
    /// Welcomes a connection: after a handshake, where the listener speaks TLS.
    pub async fn handshake(
        io: Stream,
        peer: Peer,
        door: Arc<ListenerPlan>,
    ) -> Option<(Stream, ConnectionContext)> {
        let Some(tls) = &door.tls else {
            return Some((io, ConnectionContext { peer, listener: door, tls_session: None }));
        };
        // Much larger than what serves a connection, and over before that begins.
        match Box::pin(tls.tls_acceptor.accept(io)).await {
            Ok((io, session)) => {
                tls.metrics.count(if session.resumed { Handshake::Resumed } else { Handshake::Full });
                Some((io, ConnectionContext { peer, listener: door, tls_session: Some(session) }))
            }
            Err(no) => {
                tls.metrics.count(if matches!(no, HandshakeError::Timeout) {
                    Handshake::TimedOut
                } else {
                    Handshake::Failed
                });
                log::debug!("no TLS with {} on {}: {no:?}", peer.address, door.name);
                None
            }
        }
    }

    /// A connection without TLS, for tests.
    #[cfg(test)]
    pub fn plain(peer: Peer, listener: ListenerPlan) -> ConnectionContext {
        ConnectionContext { peer, listener: Arc::new(listener), tls_session: None }
    }

    /// An exchange for a request, which knows what the connection proved.
    pub fn new_exchange(&self, worker: &Worker, since: Instant) -> Box<Exchange> {
        let mut x = worker.acquire_exchange(self.peer, since);
        if let Some(session) = &self.tls_session {
            x.client.certificate.clone_from(&session.certificate);
        }
        x
    }

    /// The name of the listener it came by.
    pub fn listener(&self) -> Arc<str> {
        self.listener.name.clone()
    }

    /// What is answered without looking for a route.
    pub fn early_response(&self, exchange: &Exchange) -> Option<RouteResult> {
        if let Some(port) = self.listener.redirect {
            return Some(https_redirect(exchange, port));
        }
        let (tls, session) = (self.listener.tls.as_ref()?, self.tls_session.as_ref()?);
        let (name, _) = host::split_host_port(exchange.request.get_known(KnownHeader::Host)?);
        match tls.tls_acceptor.same_certificate(session.server_name.as_deref(), name) {
            true => None,
            false => Some(Err(misdirected_request(session, name))),
        }
    }

    /// Adds what every answer on this listener says.
    pub fn add_hsts(&self, answer: &mut Response) {
        const HSTS: &[u8] = b"Strict-Transport-Security";
        let strict = self.listener.tls.as_ref().and_then(|tls| tls.hsts.as_deref());
        if let Some(strict) = strict.filter(|_| answer.head.get(HSTS).is_none()) {
            answer.head.append(HSTS, strict.as_bytes());
        }
    }
}

/// RFC 9110 15.5.20: the certificate that was shown is not the one for this host, and with it perhaps not the rules.
fn misdirected_request(session: &TlsSession, host: &[u8]) -> GatewayError {
    let detail = format!(
        "the connection was made for {}, and the request is for {}, which has another certificate",
        session.server_name.as_deref().unwrap_or("no name"),
        String::from_utf8_lossy(host),
    );
    GatewayError::new(ErrorCode::RequestMisdirected, detail)
}

/// The same over https; 308 keeps method and body (RFC 9110 15.4.9).
fn https_redirect(exchange: &Exchange, port: u16) -> RouteResult {
    let Some(host) = exchange.request.get_known(KnownHeader::Host) else {
        return Err(GatewayError::malformed_request("a request without Host cannot be sent on to https"));
    };
    let mut location = [b"https://", host::split_host_port(host).0].concat();
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(if exchange.request.target() == b"*" {
        b"/"
    } else {
        exchange.request.target()
    });
    let mut answer = Response::local(308, "", "");
    answer.head.append(b"Location", &location);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::head::Head;

    fn location(host: &str, target: &str, port: u16) -> String {
        let nobody = "127.0.0.1:0".parse().unwrap();
        let mut x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
        x.request = Head::request(b"GET", target.as_bytes());
        x.request.append(b"Host", host.as_bytes());
        let door = ListenerPlan { redirect: Some(port), ..ListenerPlan::plain("d", nobody) };
        let guest = ConnectionContext { peer: x.client.peer, listener: Arc::new(door), tls_session: None };
        let answer = guest.early_response(&x).unwrap().unwrap();
        assert_eq!(answer.status(), 308);
        String::from_utf8_lossy(answer.head.get(b"Location").unwrap()).into_owned()
    }

    #[test]
    fn the_same_is_asked_for_over_https() {
        assert_eq!(location("gw.test:8080", "/a?b=c", 443), "https://gw.test/a?b=c");
        assert_eq!(location("[::1]:80", "/", 8443), "https://[::1]:8443/");
        assert_eq!(location("gw.test", "*", 443), "https://gw.test/");
    }
}
