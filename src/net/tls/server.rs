//! TLS on listeners: certificate selection by SNI, client certificates (mTLS), the handshake.

use super::{
    super::{forward_stream::ForwardStream, io::Stream, socket_stream::ReplayedStream},
    certificate::{CertifiedKeyPem, KeyPairError, client_certificate},
    client_session::ClientSession,
    crypto::provider,
    sni::SniTable,
    trust::parse_authorities,
};
use crate::pipeline::client_certificate::ClientCertificate;
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor as RustlsAcceptor,
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
    server::TlsStream,
};

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    pub certificates: Vec<ListenerCertificate>,
    /// Reject TLS 1.2.
    pub tls13_only: bool,
    pub client_auth: Option<ClientAuth>,
    /// ALPN protocols, in order of preference.
    pub alpn: Vec<String>,
    /// Handshake timeout.
    pub handshake: Duration,
}

/// A certificate and the host names it is presented for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerCertificate {
    /// The file, for error messages.
    pub label: String,
    pub certified_key: CertifiedKeyPem,
    pub server_names: Vec<String>,
}

/// Verification of client certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAuth {
    /// The certificate authorities, as PEM.
    pub authorities: Arc<[u8]>,
    /// Reject connections without a client certificate.
    pub required: bool,
    /// Send the client certificate to backends.
    pub forward_certificate: bool,
    /// Reject requests of open connections once the certificate has expired.
    pub checks_open_connections: bool,
}

/// The keys of session tickets. Kept across reloads and shared by all workers, so that sessions can be resumed there. A
/// listener whose client certificate settings change gets new keys, because a resumed session is not verified again.
pub struct TicketKeys(Option<Arc<dyn ProducesTickets>>);

impl Default for TicketKeys {
    fn default() -> Self {
        let ticketer = ring::Ticketer::new();
        TicketKeys(
            ticketer.inspect_err(|error| log::error!("TLS session tickets are disabled: {error}")).ok(),
        )
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

/// Accepts TLS connections of a listener.
pub struct TlsAcceptor {
    acceptor: RustlsAcceptor,
    resolver: Arc<CertificateResolver>,
    settings: ServerTls,
    /// Verifies client certificates, if they are requested.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    tickets: Arc<TicketKeys>,
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TlsAcceptor({} certificates)", self.resolver.keys.len())
    }
}

/// Selects the certificate by SNI.
#[derive(Debug)]
struct CertificateResolver {
    keys: Box<[Arc<CertifiedKey>]>,
    names: SniTable,
}

impl ResolvesServerCert for CertificateResolver {
    /// Of several certificates for a name the first whose key type the client supports.
    fn resolve(&self, hello: ClientHello) -> Option<Arc<CertifiedKey>> {
        let group = self.names.certificates(self.names.resolve(hello.server_name()));
        let mut keys = group.iter().filter_map(|at| self.keys.get(*at));
        let first = keys.clone().next();
        keys.find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some()).or(first).cloned()
    }
}

/// The result of a handshake.
#[derive(Debug)]
pub struct TlsSession {
    /// The SNI sent by the client.
    pub server_name: Option<Box<str>>,
    pub resumed: bool,
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The time from which requests are rejected, because the certificate has expired.
    pub certificate_expires_at: Option<Instant>,
}

impl TlsSession {
    /// Whether requests are rejected now, because the client certificate has expired.
    pub fn has_expired(&self) -> bool {
        self.certificate_expires_at.is_some_and(|expires_at| Instant::now() >= expires_at)
    }
}

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    Timeout,
    Failed(io::Error),
}

impl ServerTls {
    /// Builds the acceptor; an error names what is invalid.
    pub fn compile(&self, tickets: Arc<TicketKeys>) -> Result<TlsAcceptor, String> {
        let resolver = Arc::new(self.resolver()?);
        let (verifier, tickets_of_all) = (self.verifier()?, tickets.0.clone());
        let no_client_auth = WebPkiClientVerifier::no_client_auth;
        let config = self.server_config(
            verifier.clone().unwrap_or_else(no_client_auth),
            resolver.clone(),
            tickets_of_all,
        )?;
        let acceptor = RustlsAcceptor::from(Arc::new(config));
        Ok(TlsAcceptor { acceptor, resolver, settings: self.clone(), verifier, tickets })
    }

    fn server_config(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
        resolver: Arc<CertificateResolver>,
        ticketer: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<ServerConfig, String> {
        let versions: &[_] = if self.tls13_only { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(ticketer) = ticketer {
            config.ticketer = ticketer;
        }
        Ok(config)
    }

    fn resolver(&self) -> Result<CertificateResolver, String> {
        let read = |certificate: &ListenerCertificate| match certificate.certified_key.read() {
            Ok(key) => Ok(Arc::new(key)),
            Err(KeyPairError::Chain(why) | KeyPairError::Key(why)) => {
                Err(format!("{}: {why}", certificate.label))
            }
        };
        let keys = self.certificates.iter().map(read).collect::<Result<_, _>>()?;
        Ok(CertificateResolver {
            keys,
            names: SniTable::new(
                self.certificates.iter().map(|certificate| certificate.server_names.as_slice()),
            ),
        })
    }

    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let Some(client_auth) = &self.client_auth else { return Ok(None) };
        let roots = Arc::new(parse_authorities(&client_auth.authorities)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if client_auth.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map(Some).map_err(|error| error.to_string())
    }

    /// Whether a connection under these settings is as good under the other ones: everything but the certificates
    /// themselves.
    fn has_same_policy(&self, other: &ServerTls) -> bool {
        let names = |tls: &ServerTls| {
            tls.certificates.iter().map(|shown| shown.server_names.clone()).collect::<Vec<_>>()
        };
        (self.tls13_only, &self.client_auth) == (other.tls13_only, &other.client_auth)
            && names(self) == names(other)
    }
}

impl TlsAcceptor {
    /// Completes the handshake on an accepted connection, within the timeout.
    pub async fn accept(&self, io: Stream) -> Result<(Stream, TlsSession), HandshakeError> {
        let Some(stream) = io.into_plain() else {
            return Err(HandshakeError::Failed(io::ErrorKind::InvalidInput.into()));
        };
        let (stream, session) = self.complete(stream).await?;
        Ok((Stream::tls(stream.into()), session))
    }

    /// The same for a connection whose bytes are forwarded.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`].
    pub async fn accept_forwarded(
        &self,
        stream: ReplayedStream,
    ) -> Result<(ForwardStream, TlsSession), HandshakeError> {
        let (stream, session) = self.complete(stream).await?;
        Ok((ForwardStream::tls(stream.into()), session))
    }

    async fn complete<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<(TlsStream<S>, TlsSession), HandshakeError> {
        let client = self.client_session();
        let acceptor = match &client {
            Some(client) => self.acceptor_for(client.clone()).map_err(HandshakeError::Failed)?,
            None => self.acceptor.clone(),
        };
        let stream = match tokio::time::timeout(self.settings.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HandshakeError::Failed(error)),
            Err(_) => return Err(HandshakeError::Timeout),
        };
        let tls = stream.get_ref().1;
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        let auth = self.settings.client_auth.as_ref();
        let (forwards, checks) =
            auth.map_or((false, false), |auth| (auth.forward_certificate, auth.checks_open_connections));
        let remaining = client.filter(|_| shown.is_some() && checks).and_then(|c| c.remaining_seconds());
        let session = TlsSession {
            server_name: tls.server_name().map(Into::into),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: shown.map(|der| Arc::new(client_certificate(der, forwards))),
            certificate_expires_at: remaining
                .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds))),
        };
        Ok((stream, session))
    }

    fn client_session(&self) -> Option<Arc<ClientSession>> {
        let verifier = self.verifier.clone()?;
        Some(Arc::new(ClientSession::new(verifier, self.tickets.0.clone())))
    }

    /// An acceptor for one connection: its tickets depend on its certificate.
    fn acceptor_for(&self, client: Arc<ClientSession>) -> io::Result<RustlsAcceptor> {
        let config = self.settings.server_config(client.clone(), self.resolver.clone(), Some(client));
        Ok(RustlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)))
    }

    /// Whether a connection of the other acceptor may go on under this one.
    pub fn has_same_policy(&self, other: &TlsAcceptor) -> bool {
        self.settings.has_same_policy(&other.settings)
    }

    /// Whether a client that sent this SNI would have received the same certificate for `host` (a `Host` field without its
    /// port).
    pub fn same_certificate(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        if server_name.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(host)) {
            return true;
        }
        let names = &self.resolver.names;
        names.resolve(server_name) == names.resolve(std::str::from_utf8(host).ok())
    }
}
