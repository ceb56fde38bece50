//! TLS to backends: each configuration is compiled once and shared; sessions are resumed per endpoint.

use super::{
    super::{
        forward_stream::ForwardStream,
        io::Stream,
        socket::Socket,
        socket_stream::{ReplayedStream, SocketStream},
    },
    alpn::AlpnOffer,
    certificate::{CertifiedKeyPem, KeyPairError},
    trust::{TrustAnchors, client_config},
};
use crate::{
    base::weak_map::WeakMap,
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{fmt, io, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey},
};

/// Maximum number of cached sessions per endpoint; TLS 1.3 uses each once.
const SESSION_CACHE_SIZE: usize = 8;

/// TLS settings of a backend. Connections opened under different settings are never mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    pub trust: TrustAnchors,
    /// The client certificate presented to the backend.
    pub client_certificate: Option<CertifiedKeyPem>,
    /// The name sent as SNI and verified; `None`: the host of the endpoint.
    pub name: Option<String>,
}

/// Whether a certificate can be issued for the name.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Compiled settings, cached as long as an endpoint uses them.
#[derive(Debug, Default)]
pub struct TlsConfigCache(WeakMap<ClientTls, Result<ClientConfig, String>>);

impl TlsConfigCache {
    /// The TLS configuration of one host. Reads files: do not call on a worker.
    pub fn target(&self, setting: &ClientTls, host: &str) -> TlsTarget {
        let compiled = self.0.get_or_insert_with(setting.clone(), || setting.compile());
        let host = setting.name.as_deref().unwrap_or(host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let config = (*compiled).clone().and_then(|mut config| {
            let name = ServerName::try_from(bare.to_owned())
                .map_err(|_| format!("\"{bare}\" is not a valid server name"))?;
            config.resumption = Resumption::in_memory_sessions(SESSION_CACHE_SIZE);
            Ok((with_alpn(&config), name))
        });
        TlsTarget { config, _compiled: compiled }
    }
}

impl ClientTls {
    /// A connector for a client of the command line, without ALPN.
    pub fn connector(&self) -> Result<TlsConnector, String> {
        self.compile().map(|config| TlsConnector::from(Arc::new(config)))
    }

    /// Compiles the settings. Reads files: do not call on a worker.
    pub(in crate::net) fn compile(&self) -> Result<ClientConfig, String> {
        let builder = client_config(&self.trust)?;
        let config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = pair.read().map_err(|(KeyPairError::Chain(why) | KeyPairError::Key(why))| why)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        Ok(config)
    }
}

/// One connector for each [`AlpnOffer`], in its order, and one that offers nothing, for bytes that are forwarded.
type ConnectorByAlpn = [TlsConnector; 4];

/// The index of the connector that offers nothing.
const NO_ALPN: usize = 3;

fn with_alpn(config: &ClientConfig) -> ConnectorByAlpn {
    let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    [vec![http1.clone()], vec![http2.clone()], vec![http2, http1], Vec::new()].map(|protocols| {
        let mut config = config.clone();
        config.alpn_protocols = protocols;
        TlsConnector::from(Arc::new(config))
    })
}

/// The TLS configuration of one host.
pub struct TlsTarget {
    config: Result<(ConnectorByAlpn, ServerName<'static>), String>,
    /// Keeps the cache entry alive.
    _compiled: Arc<Result<ClientConfig, String>>,
}

impl fmt::Debug for TlsTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TlsTarget({:?})", self.config.as_ref().map(|(_, name)| name))
    }
}

impl TlsTarget {
    /// Completes the handshake on a new connection; `label` is the backend in error messages.
    pub(in crate::net) async fn connect(
        &self,
        stream: Socket,
        label: &str,
        offer: AlpnOffer,
    ) -> Result<Stream, GatewayError> {
        let (connectors, name) = self.config(label)?;
        match connectors[offer as usize].connect(name.clone(), stream).await {
            Ok(stream) => Ok(Stream::tls(stream.into())),
            Err(error) => Err(tls_error(&error, label)),
        }
    }

    /// The same for a connection whose bytes are forwarded; no protocol is offered.
    pub(in crate::net) async fn connect_forwarded(
        &self,
        socket: SocketStream,
        label: &str,
    ) -> Result<ForwardStream, GatewayError> {
        let (connectors, name) = self.config(label)?;
        let stream = ReplayedStream::new(socket, Vec::new());
        match connectors[NO_ALPN].connect(name.clone(), stream).await {
            Ok(stream) => Ok(ForwardStream::tls(stream.into())),
            Err(error) => Err(tls_error(&error, label)),
        }
    }

    fn config(&self, label: &str) -> Result<&(ConnectorByAlpn, ServerName<'static>), GatewayError> {
        self.config.as_ref().map_err(|why| {
            let detail = format!("no TLS connection to the backend {label}: {why}");
            GatewayError::new(ErrorCode::BackendTls, detail)
        })
    }
}

/// An untrusted certificate has its own error code.
fn tls_error(error: &io::Error, label: &str) -> GatewayError {
    let code = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => ErrorCode::BackendCertificate,
        _ => ErrorCode::BackendTls,
    };
    let what = match code {
        ErrorCode::BackendCertificate => "the certificate of the backend",
        _ => "no TLS connection to the backend",
    };
    GatewayError::new(code, format!("{what} {label}: {error}"))
}
