//! Listeners over TLS: which certificate is shown, what clients must show, and the handshake.

use super::{
    super::io::Io,
    certificate::{BadPair, Pair, of_client},
    names::Names,
    provider,
    trust::authorities,
};
use crate::pipeline::certificate::ClientCertificate;
use std::{fmt, io, sync::Arc, time::Duration};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        HandshakeKind, ServerConfig,
        crypto::ring,
        server::{
            ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
            danger::ClientCertVerifier,
        },
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

/// The TLS of a listener, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    pub certificates: Vec<Shown>,
    /// TLS 1.2 is refused.
    pub only_13: bool,
    pub clients: Option<ClientAuth>,
    /// Protocols offered, the dearest first.
    pub alpn: Vec<String>,
    /// The time for a handshake.
    pub handshake: Duration,
}

/// A certificate and the names it is shown for, in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// For people: the file it is in.
    pub label: String,
    pub pair: Pair,
    pub hosts: Vec<String>,
}

/// What clients show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAuth {
    /// PEM.
    pub authorities: Arc<[u8]>,
    /// Without a certificate there is no connection.
    pub required: bool,
    /// Services are told of the certificate.
    pub forward: bool,
}

/// What makes and reads session tickets: kept from plan to plan, so that sessions are resumed across reloads and, being
/// one for all workers, across them. Who changes what clients must show begins with a new one, because a resumed session
/// is not asked again.
pub struct Tickets(Option<Arc<dyn ProducesTickets>>);

impl Default for Tickets {
    fn default() -> Self {
        let made = ring::Ticketer::new();
        Tickets(made.inspect_err(|error| log::error!("no TLS sessions can be resumed: {error}")).ok())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// The TLS of a listener, at work.
pub struct Handshakes {
    acceptor: TlsAcceptor,
    shelf: Arc<Shelf>,
    limit: Duration,
    forward: bool,
    _tickets: Arc<Tickets>,
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Handshakes({} certificates)", self.shelf.keys.len())
    }
}

/// The certificates, and who asks for which.
#[derive(Debug)]
struct Shelf {
    keys: Box<[Arc<CertifiedKey>]>,
    names: Names,
}

impl ResolvesServerCert for Shelf {
    /// Of several certificates for a name the first whose kind of key the client can check.
    fn resolve(&self, hello: ClientHello) -> Option<Arc<CertifiedKey>> {
        let group = self.names.certificates(self.names.group(hello.server_name()));
        let mut keys = group.iter().filter_map(|at| self.keys.get(*at));
        let first = keys.clone().next();
        keys.find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some()).or(first).cloned()
    }
}

/// What a handshake came to.
#[derive(Debug)]
pub struct Session {
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    pub resumed: bool,
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Why there is no session.
#[derive(Debug)]
pub enum NoSession {
    Late,
    Failed(io::Error),
}

impl ServerTls {
    /// Puts it to work; says in one sentence what is wrong with it.
    pub fn compile(&self, tickets: Arc<Tickets>) -> Result<Handshakes, String> {
        let shelf = Arc::new(self.shelf()?);
        let versions: &[_] = if self.only_13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(self.verifier()?)
            .with_cert_resolver(shelf.clone());
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(ticketer) = &tickets.0 {
            config.ticketer = ticketer.clone();
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let forward = self.clients.as_ref().is_some_and(|clients| clients.forward);
        Ok(Handshakes { acceptor, shelf, limit: self.handshake, forward, _tickets: tickets })
    }

    fn shelf(&self) -> Result<Shelf, String> {
        let read = |shown: &Shown| match shown.pair.read() {
            Ok(key) => Ok(Arc::new(key)),
            Err(BadPair::Chain(why) | BadPair::Key(why)) => Err(format!("{}: {why}", shown.label)),
        };
        let keys = self.certificates.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Shelf { keys, names: Names::new(self.certificates.iter().map(|shown| shown.hosts.as_slice())) })
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(clients) = &self.clients else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let roots = Arc::new(authorities(&clients.authorities)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| error.to_string())
    }
}

impl Handshakes {
    /// The handshake on a connection just accepted, within its time.
    pub async fn accept(&self, io: Io) -> Result<(Io, Session), NoSession> {
        let Some(stream) = io.into_plain() else {
            return Err(NoSession::Failed(io::ErrorKind::InvalidInput.into()));
        };
        let stream = match tokio::time::timeout(self.limit, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(NoSession::Failed(error)),
            Err(_) => return Err(NoSession::Late),
        };
        let tls = stream.get_ref().1;
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        let session = Session {
            server_name: tls.server_name().map(Into::into),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: shown.map(|der| Arc::new(of_client(der, self.forward))),
        };
        Ok((Io::secure(stream.into()), session))
    }

    /// Whether a client that asked for this name would have been shown the same certificate if it had asked for that
    /// host (a `Host` field without its port).
    pub fn is_same(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        if server_name.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(host)) {
            return true;
        }
        let names = &self.shelf.names;
        names.group(server_name) == names.group(std::str::from_utf8(host).ok())
    }
}
