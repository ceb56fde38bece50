//! A forwarded TCP connection, from its first byte to its end.

use super::{
    dial::{ClientEnds, DialError, Dialed, dial},
    hello::{Opening, read_hello},
    relay::{PendingReport, Relay},
    session::Forwarding,
};
use crate::{
    net::{
        client_hello::ClientHello,
        forward_stream::ForwardStream,
        socket_stream::{ReplayedStream, SocketStream},
        tls::server::HandshakeError,
    },
    pipeline::error::ErrorCode,
    plan::{
        ListenerPlan,
        transport::{TransportListener, TransportRoute},
    },
    server::worker::Worker,
    telemetry::Handshake,
};
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;

/// The alert `unrecognized_name` of TLS (RFC 6066 3) in one record.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
/// The port for all internal endpoints always reads a ClientHello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that reaches no service is reset this long after the attempts: right behind the handshake, the reset would make
/// connect(2) of the client fail, as if nothing listened here.
const RESET_DELAY: Duration = Duration::from_millis(20);

/// An accepted connection within the limits.
#[derive(Debug)]
pub struct Incoming {
    pub socket: SocketStream,
    pub ends: ClientEnds,
    /// Bytes that were read already.
    pub prefix: Vec<u8>,
    pub listener: Arc<ListenerPlan>,
    pub worker: Arc<Worker>,
}

/// The route of a connection.
#[derive(Debug)]
struct ChosenRoute {
    route: Arc<TransportRoute>,
    /// The host and port of the only acceptable instance.
    instance: Option<(String, u16)>,
    server_name: Option<Box<str>>,
}

impl ChosenRoute {
    fn new(route: &Arc<TransportRoute>, server_name: Option<Box<str>>) -> ChosenRoute {
        ChosenRoute { route: route.clone(), instance: None, server_name }
    }
}

/// What becomes of a connection.
#[derive(Debug)]
enum Choice {
    Route(ChosenRoute),
    /// HTTP serves it.
    Http,
    /// The client is gone.
    Gone,
    Refused(ErrorCode),
}

/// Serves a connection to its end, or returns it with the bytes that were read: HTTP serves it.
pub async fn serve(mut incoming: Incoming, handler: &TransportListener) -> Option<Incoming> {
    match Box::pin(incoming.choose(handler)).await {
        Choice::Http => return Some(incoming),
        Choice::Gone => {}
        Choice::Refused(code) => {
            log::debug!("{} {} on {}", code.name(), incoming.ends.peer, incoming.listener.name);
            incoming.worker.gateway.metrics().record_error(code.name());
            incoming.socket.reset();
        }
        Choice::Route(chosen) => incoming.forward(chosen).await,
    }
    None
}

impl Incoming {
    /// Finds the route; reads the ClientHello if that depends on it.
    async fn choose(&mut self, handler: &TransportListener) -> Choice {
        if let Some(internal) = &handler.internal {
            let timeout = handler.hello_timeout.unwrap_or(HELLO_TIMEOUT);
            return match read_hello(&mut self.socket, &mut self.prefix, timeout).await {
                Opening::Hello(hello) => {
                    match hello.server_name.as_deref().and_then(|name| internal.find(name)) {
                        Some(found) => Choice::Route(ChosenRoute {
                            route: found.route,
                            instance: found.instance,
                            server_name: hello.server_name,
                        }),
                        None => self.reject_name().await,
                    }
                }
                opening => without_hello(&opening),
            };
        }
        let is_http = self.listener.protocol == crate::plan::blueprint::ListenerProtocol::Http;
        let Some(timeout) = handler.hello_timeout else {
            return unconditional(handler).map_or(Choice::Refused(ErrorCode::RouteNotFound), Choice::Route);
        };
        match read_hello(&mut self.socket, &mut self.prefix, timeout).await {
            Opening::Closed => Choice::Gone,
            Opening::Hello(hello) => match by_hello(handler, hello) {
                Some(chosen) => Choice::Route(chosen),
                None if is_http => Choice::Http,
                None => Choice::Refused(ErrorCode::RouteNotFound),
            },
            _ if is_http => Choice::Http,
            Opening::NoHello => {
                unconditional(handler).map_or(Choice::Refused(ErrorCode::HelloMalformed), Choice::Route)
            }
            opening => without_hello(&opening),
        }
    }

    /// Sends the alert for a server name that leads to no endpoint.
    async fn reject_name(&mut self) -> Choice {
        self.worker.gateway.metrics().record_error(ErrorCode::RoleUnknown.name());
        let _ = self.socket.write_all(&UNRECOGNIZED_NAME).await;
        let _ = self.socket.shutdown().await;
        Choice::Gone
    }

    /// Forwards the connection on its route, to its end.
    async fn forward(self, chosen: ChosenRoute) {
        let ChosenRoute { route, instance, server_name } = chosen;
        let listener = ("TCP", self.listener.name.clone());
        let (mut forwarding, has_room) =
            Forwarding::begin(&route, listener, self.ends.peer, &self.worker, server_name);
        let (worker, ends) = (self.worker.index, self.ends);
        let (client, prefix) = match Box::pin(self.accept(&route, &forwarding, has_room)).await {
            Ok(accepted) => accepted,
            Err(Some(code)) => return forwarding.refuse(code),
            Err(None) => return forwarding.end("client.reset"),
        };
        let dialed =
            Box::pin(dial_for(&client, &forwarding, dial(&route, ends, instance.as_ref(), worker))).await;
        match dialed {
            DialOutcome::Connected(dialed) => {
                let Dialed { stream, endpoint, in_flight, attempts, duration, unreported } = *dialed;
                (forwarding.attempts, forwarding.connect_duration) = (attempts, Some(duration));
                let _ = forwarding.open().endpoint.set(endpoint.label.clone());
                let report = unreported.map(|started| PendingReport { endpoint, started });
                let relay = Relay::new((client, prefix), stream, forwarding.open(), worker, report);
                let end = relay.run().await;
                drop(in_flight);
                forwarding.end(end);
            }
            DialOutcome::Failed(DialError { code, attempts }) => {
                forwarding.attempts = attempts;
                tokio::time::sleep(RESET_DELAY).await;
                client.reset();
                forwarding.refuse(code);
            }
            DialOutcome::Ended(end) => {
                client.reset();
                forwarding.end(end);
            }
        }
    }

    /// Decides whether the client may connect, and completes the handshake if TLS ends here. The error is the code of a
    /// refusal; `None`: the client is gone.
    async fn accept(
        self,
        route: &TransportRoute,
        forwarding: &Forwarding,
        has_room: bool,
    ) -> Result<(ForwardStream, Vec<u8>), Option<ErrorCode>> {
        let terminates = self.listener.tls.as_ref().filter(|_| route.terminates);
        let refused = match has_room {
            _ if !route.admits(self.ends.peer.ip()) => Some(ErrorCode::AccessIpDenied),
            false => Some(ErrorCode::RouteConnectionLimit),
            true if terminates.is_none() && !passes_guard(route, forwarding) => Some(ErrorCode::RoleDenied),
            true => None,
        };
        if let Some(code) = refused {
            self.socket.reset();
            return Err(Some(code));
        }
        self.socket.prepare();
        let Some(tls) = terminates else { return Ok((ForwardStream::new(self.socket), self.prefix)) };
        match tls.tls_acceptor.accept_forwarded(ReplayedStream::new(self.socket, self.prefix)).await {
            Ok((stream, session)) => {
                tls.metrics.count(if session.resumed { Handshake::Resumed } else { Handshake::Full });
                if let Some(certificate) = session.certificate {
                    forwarding.open().set_certificate(certificate);
                }
                if passes_guard(route, forwarding) {
                    return Ok((stream, Vec::new()));
                }
                stream.reset();
                Err(Some(ErrorCode::RoleDenied))
            }
            Err(error) => {
                let is_late = matches!(error, HandshakeError::Timeout);
                tls.metrics.count(if is_late { Handshake::TimedOut } else { Handshake::Failed });
                log::debug!("TLS handshake with {} failed: {error:?}", self.ends.peer);
                Err(None)
            }
        }
    }
}

/// The rules of the current plan decide, also if the listener is of an earlier one.
fn passes_guard(route: &TransportRoute, forwarding: &Forwarding) -> bool {
    let Some(guard) = &route.guard else { return true };
    forwarding.worker().plan().roles.admits(&guard.name, &forwarding.open().source())
}

fn unconditional(handler: &TransportListener) -> Option<ChosenRoute> {
    let route = handler.routes.get(handler.router.find_unconditional()?)?;
    Some(ChosenRoute::new(route, None))
}

fn by_hello(handler: &TransportListener, hello: ClientHello) -> Option<ChosenRoute> {
    let (route, _) = handler.router.find(&hello)?;
    Some(ChosenRoute::new(handler.routes.get(route)?, hello.server_name))
}

/// A connection that needs a ClientHello.
fn without_hello(opening: &Opening) -> Choice {
    match opening {
        Opening::TooLarge => Choice::Refused(ErrorCode::HelloSize),
        Opening::TimedOut => Choice::Refused(ErrorCode::HelloTimeout),
        Opening::Closed => Choice::Gone,
        Opening::NoHello | Opening::Hello(_) => Choice::Refused(ErrorCode::HelloMalformed),
    }
}

enum DialOutcome {
    Connected(Box<Dialed>),
    Failed(DialError),
    /// The client is gone, or the gateway ends the connection.
    Ended(&'static str),
}

/// Dials until the client is gone.
async fn dial_for(
    client: &ForwardStream,
    forwarding: &Forwarding,
    dialing: impl Future<Output = Result<Dialed, DialError>>,
) -> DialOutcome {
    tokio::select! {
        biased;
        dialed = dialing => match dialed {
            Ok(dialed) => DialOutcome::Connected(Box::new(dialed)),
            Err(error) => DialOutcome::Failed(error),
        },
        () = poll_fn(|cx| client.socket().poll_broken(cx)) => DialOutcome::Ended("client.reset"),
        why = poll_fn(|cx| forwarding.open().poll_terminated(cx)) => DialOutcome::Ended(why.name()),
    }
}
