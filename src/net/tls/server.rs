//! TLS on listeners: certificate selection by SNI, client certificates (mTLS), the handshake.

use super::{
    super::io::Stream,
    certificate::{CertifiedKeyPem, KeyPairError, client_certificate},
    crypto::provider,
    sni::SniTable,
    trust::parse_authorities,
};
use crate::pipeline::client_certificate::ClientCertificate;
use std::{fmt, io, sync::Arc, time::Duration};
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
    handshake_timeout: Duration,
    forward_certificate: bool,
    _tickets: Arc<TicketKeys>,
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
        let versions: &[_] = if self.tls13_only { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(self.verifier()?)
            .with_cert_resolver(resolver.clone());
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(ticketer) = &tickets.0 {
            config.ticketer = ticketer.clone();
        }
        let acceptor = RustlsAcceptor::from(Arc::new(config));
        let forward = self.client_auth.as_ref().is_some_and(|client_auth| client_auth.forward_certificate);
        Ok(TlsAcceptor {
            acceptor,
            resolver,
            handshake_timeout: self.handshake,
            forward_certificate: forward,
            _tickets: tickets,
        })
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

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(client_auth) = &self.client_auth else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let roots = Arc::new(parse_authorities(&client_auth.authorities)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if client_auth.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| error.to_string())
    }
}

impl TlsAcceptor {
    /// Completes the handshake on an accepted connection, within the timeout.
    pub async fn accept(&self, io: Stream) -> Result<(Stream, TlsSession), HandshakeError> {
        let Some(stream) = io.into_plain() else {
            return Err(HandshakeError::Failed(io::ErrorKind::InvalidInput.into()));
        };
        let stream = match tokio::time::timeout(self.handshake_timeout, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HandshakeError::Failed(error)),
            Err(_) => return Err(HandshakeError::Timeout),
        };
        let tls = stream.get_ref().1;
        let leaf = tls.peer_certificates().and_then(<[_]>::first);
        let session = TlsSession {
            server_name: tls.server_name().map(Into::into),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: leaf.map(|der| Arc::new(client_certificate(der, self.forward_certificate))),
        };
        Ok((Stream::tls(stream.into()), session))
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
