//! What a listener knows of a client before there is a request, and what it says before there is a route.

use super::worker::Worker;
use crate::{
    pipeline::{
        answer::{Answer, Outcome},
        cause::{Cause, Why},
        exchange::{Exchange, Peer},
        head::Known,
    },
    plan::ListenerPlan,
    telemetry::Handshake,
    wire::{
        h1::host,
        io::Io,
        tls::server::{NoSession, Session},
    },
};
use std::{sync::Arc, time::Instant};

/// A client that came through a listener.
#[derive(Debug)]
pub struct Guest {
    pub peer: Peer,
    /// The listener as it was when the client came.
    door: Arc<ListenerPlan>,
    session: Option<Session>,
}

impl Guest {
    /// Welcomes a connection: after a handshake, where the listener speaks TLS.
    pub async fn welcome(io: Io, peer: Peer, door: Arc<ListenerPlan>) -> Option<(Io, Guest)> {
        let Some(tls) = &door.tls else { return Some((io, Guest { peer, door, session: None })) };
        // Much larger than what serves a connection, and over before that begins.
        match Box::pin(tls.handshakes.accept(io)).await {
            Ok((io, session)) => {
                tls.metrics.count(if session.resumed { Handshake::Resumed } else { Handshake::Full });
                Some((io, Guest { peer, door, session: Some(session) }))
            }
            Err(no) => {
                tls.metrics.count(if matches!(no, NoSession::Late) {
                    Handshake::Late
                } else {
                    Handshake::Failed
                });
                log::debug!("no TLS with {} on {}: {no:?}", peer.address, door.name);
                None
            }
        }
    }

    /// An exchange for a request, which knows what the connection proved.
    pub fn lend(&self, w: &Worker, since: Instant) -> Box<Exchange> {
        let mut x = w.lend(self.peer, since);
        if let Some(session) = &self.session {
            x.certificate.clone_from(&session.certificate);
        }
        x
    }

    /// The name of the listener it came by.
    pub fn listener(&self) -> Arc<str> {
        self.door.name.clone()
    }

    /// What is answered without looking for a route.
    pub fn at_the_door(&self, x: &Exchange) -> Option<Outcome> {
        if let Some(port) = self.door.redirect {
            return Some(redirect(x, port));
        }
        let (tls, session) = (self.door.tls.as_ref()?, self.session.as_ref()?);
        let (name, _) = host::split(x.req.known(Known::Host)?);
        match tls.handshakes.is_same(session.server_name.as_deref(), name) {
            true => None,
            false => Some(Err(misdirected(session, name))),
        }
    }

    /// Adds what every answer on this listener says.
    pub fn strict(&self, answer: &mut Answer) {
        const FIELD: &[u8] = b"Strict-Transport-Security";
        let strict = self.door.tls.as_ref().and_then(|tls| tls.strict.as_deref());
        if let Some(strict) = strict.filter(|_| answer.head.get(FIELD).is_none()) {
            answer.head.append(FIELD, strict.as_bytes());
        }
    }
}

/// RFC 9110 15.5.20: the certificate that was shown is not the one for this host, and with it perhaps not the rules.
fn misdirected(session: &Session, host: &[u8]) -> Cause {
    let detail = format!(
        "the connection was made for {}, and the request is for {}, which has another certificate",
        session.server_name.as_deref().unwrap_or("no name"),
        String::from_utf8_lossy(host),
    );
    Cause::new(Why::RequestMisdirected, detail)
}

/// The same over https; 308 keeps method and body (RFC 9110 15.4.9).
fn redirect(x: &Exchange, port: u16) -> Outcome {
    let Some(host) = x.req.known(Known::Host) else {
        return Err(Cause::malformed("a request without Host cannot be sent on to https"));
    };
    let mut location = [b"https://", host::split(host).0].concat();
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(if x.req.target() == b"*" { b"/" } else { x.req.target() });
    let mut answer = Answer::reply(308, "", "");
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
        x.req = Head::request(b"GET", target.as_bytes());
        x.req.append(b"Host", host.as_bytes());
        let door = ListenerPlan { redirect: Some(port), ..ListenerPlan::plain("d", nobody) };
        let guest = Guest { peer: x.peer, door: Arc::new(door), session: None };
        let answer = guest.at_the_door(&x).unwrap().unwrap();
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
