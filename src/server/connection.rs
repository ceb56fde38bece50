//! The context of a client connection: its listener and TLS session, responses that need no route, and HSTS.

use super::worker::Worker;
use crate::{
    base::escaped_separators::EscapedSeparators,
    net::{
        h1::host,
        io::Stream,
        tls::server::{HandshakeError, TlsSession},
    },
    pipeline::{
        client_certificate::ClientCertificate,
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Peer},
        head::KnownHeader,
        response::{Response, RouteResult},
    },
    plan::{ListenerPlan, blueprint::HttpsRedirect, transport::HttpAdmission},
    telemetry::Handshake,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

/// A client connection of a listener.
#[derive(Debug)]
pub struct ConnectionContext {
    pub peer: Peer,
    /// The listener's plan at the time of the connection.
    listener: Arc<ListenerPlan>,
    tls_session: Option<TlsSession>,
}

impl ConnectionContext {
    /// Prepares a new connection; on a TLS listener this performs the handshake.
    pub async fn handshake(
        io: Stream,
        peer: Peer,
        listener: Arc<ListenerPlan>,
    ) -> Option<(Stream, ConnectionContext)> {
        let Some(tls) = &listener.tls else {
            return Some((io, ConnectionContext::plain(peer, listener)));
        };
        // Boxed: the handshake needs far more memory than the connection after it.
        match Box::pin(tls.tls_acceptor.accept(io)).await {
            Ok((io, session)) => {
                tls.metrics.count(if session.resumed { Handshake::Resumed } else { Handshake::Full });
                Some((io, ConnectionContext { peer, listener, tls_session: Some(session) }))
            }
            Err(error) => {
                tls.metrics.count(if matches!(error, HandshakeError::Timeout) {
                    Handshake::TimedOut
                } else {
                    Handshake::Failed
                });
                log::debug!("TLS handshake with {} on {} failed: {error:?}", peer.address, listener.name);
                None
            }
        }
    }

    /// A connection without TLS.
    pub fn plain(peer: Peer, listener: impl Into<Arc<ListenerPlan>>) -> ConnectionContext {
        ConnectionContext { peer, listener: listener.into(), tls_session: None }
    }

    /// An exchange for a request, with the client certificate of the connection.
    pub fn new_exchange(&self, worker: &Worker, since: Instant) -> Box<Exchange> {
        let mut exchange = worker.acquire_exchange(self.peer, since);
        if let Some(session) = &self.tls_session {
            exchange.client.certificate.clone_from(&session.certificate);
        }
        exchange
    }

    /// What the listener does with escaped separators in paths.
    pub fn escaped_separators(&self) -> Option<EscapedSeparators> {
        self.listener.escaped_separators
    }

    /// The name of the listener.
    pub fn listener_name(&self) -> &str {
        &self.listener.name
    }

    /// The shared name of the listener.
    pub fn listener(&self) -> Arc<str> {
        self.listener.name.clone()
    }

    /// Who may send requests, if the listener belongs to an endpoint of a role.
    pub fn admission(&self) -> Option<&HttpAdmission> {
        self.listener.handler.as_ref()?.http.as_ref()
    }

    /// Whether requests are redirected to https: by their host, as a trusted proxy reports it.
    pub fn redirects(&self) -> bool {
        self.listener.redirect.is_some()
    }

    /// The response if it does not depend on a route.
    pub fn early_response(&self, exchange: &Exchange) -> Option<RouteResult> {
        if let Some(redirect) = self.listener.redirect.as_ref().filter(|_| !exchange.client.is_tls) {
            return Some(redirect_to_https(exchange, redirect));
        }
        let (tls, session) = (self.listener.tls.as_ref()?, self.tls_session.as_ref()?);
        if session.has_expired() {
            return Some(Err(certificate_expired()));
        }
        let (name, _) = host::split_host_port(exchange.request.get_known(KnownHeader::Host)?);
        match tls.tls_acceptor.same_certificate(session.server_name.as_deref(), name) {
            true => None,
            false => Some(Err(misdirected_request(session, name))),
        }
    }

    /// Whether the connection ends with its next response: the listener changed or is gone, or the client certificate has
    /// expired.
    pub fn is_outdated(&self) -> bool {
        self.listener.outdated.load(Ordering::Relaxed)
            || self.tls_session.as_ref().is_some_and(TlsSession::has_expired)
    }

    /// When the client certificate expires, unless open connections outlive it.
    pub fn certificate_expires_at(&self) -> Option<Instant> {
        self.tls_session.as_ref()?.certificate_expires_at
    }

    /// The client certificate of the connection.
    pub fn client_certificate(&self) -> Option<Arc<ClientCertificate>> {
        self.tls_session.as_ref()?.certificate.clone()
    }

    /// Adds the HSTS header of the listener.
    pub fn add_hsts(&self, response: &mut Response) {
        const HSTS: &[u8] = b"Strict-Transport-Security";
        if let Some(strict) = self.listener.hsts.as_deref().filter(|_| response.head.get(HSTS).is_none()) {
            response.head.append(HSTS, strict.as_bytes());
        }
    }
}

/// RFC 9110 15.5.20: the certificate of the connection differs from the one for this host, and so may client
/// authentication.
fn misdirected_request(session: &TlsSession, host: &[u8]) -> GatewayError {
    let detail = format!(
        "the TLS connection was established for {}, and the request is for {}, which has another certificate",
        session.server_name.as_deref().unwrap_or("no server name"),
        String::from_utf8_lossy(host),
    );
    GatewayError::new(ErrorCode::RequestMisdirected, detail)
}

/// A certificate that was valid when the connection began; the client may retry on another connection (RFC 9110 15.5.20).
fn certificate_expired() -> GatewayError {
    let detail = "the client certificate of the connection has expired";
    GatewayError::new(ErrorCode::ClientCertificateExpired, detail)
}

/// The redirect to https; 308 keeps method and body (RFC 9110 15.4.9).
fn redirect_to_https(exchange: &Exchange, redirect: &HttpsRedirect) -> RouteResult {
    let Some(host) = exchange.request.get_known(KnownHeader::Host) else {
        return Err(GatewayError::malformed_request("a request without Host cannot be redirected to https"));
    };
    let (host, _) = host::split_host_port(host);
    if !redirect.permits(host) {
        let detail = "the request is for a host that requests are not redirected to (RedirectHosts)";
        return Err(GatewayError::new(ErrorCode::RequestMisdirected, detail));
    }
    let mut location = [b"https://", host].concat();
    if redirect.port != 443 {
        location.extend_from_slice(format!(":{}", redirect.port).as_bytes());
    }
    location.extend_from_slice(if exchange.request.target() == b"*" {
        b"/"
    } else {
        exchange.request.target()
    });
    let mut response = Response::local(308, "", "");
    response.head.append(b"Location", &location);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::head::Head;

    fn redirect(host: &str, target: &str, redirect: HttpsRedirect) -> RouteResult {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.request = Head::request(b"GET", target.as_bytes());
        exchange.request.append(b"Host", host.as_bytes());
        let listener = ListenerPlan { redirect: Some(redirect), ..ListenerPlan::plain("d", address) };
        let connection =
            ConnectionContext { peer: exchange.client.peer, listener: Arc::new(listener), tls_session: None };
        connection.early_response(&exchange).unwrap()
    }

    fn location(host: &str, target: &str, port: u16) -> String {
        let response = redirect(host, target, HttpsRedirect { port, hosts: None }).unwrap();
        assert_eq!(response.status(), 308);
        String::from_utf8_lossy(response.head.get(b"Location").unwrap()).into_owned()
    }

    #[test]
    fn the_redirect_keeps_host_path_and_query() {
        assert_eq!(location("gw.test:8080", "/a?b=c", 443), "https://gw.test/a?b=c");
        assert_eq!(location("[::1]:80", "/", 8443), "https://[::1]:8443/");
        assert_eq!(location("gw.test", "*", 443), "https://gw.test/");
    }

    #[test]
    fn a_request_for_another_host_is_not_redirected() {
        let own = HttpsRedirect { port: 443, hosts: Some(["gw.test".to_owned()].into()) };
        assert!(redirect("gw.test:80", "/", own.clone()).is_ok());
        let refused = redirect("evil.test", "/", own).unwrap_err();
        assert_eq!(refused.code, ErrorCode::RequestMisdirected);
    }
}
