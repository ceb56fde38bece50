//! Backends over TLS: a configuration is compiled once for each setting and shared; sessions are resumed by endpoint.

use super::{
    super::{connect::AlpnOffer, io::Stream},
    certificate::{CertifiedKeyPem, KeyPairError},
    trust::{TrustAnchors, client_config},
};
use crate::{
    base::weak_map::WeakMap,
    pipeline::error::{ErrorCode, GatewayError},
};
use pingora::protocols::l4::stream::Stream as L4Stream;
use std::{fmt, io, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey},
};

/// Sessions that an endpoint keeps to be resumed; TLS 1.3 uses each once.
const SESSION_CACHE_SIZE: usize = 8;

/// How backends are spoken to over TLS. Connections made under different settings are never mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    pub trust: TrustAnchors,
    /// What the backend is shown.
    pub client_certificate: Option<CertifiedKeyPem>,
    /// What it is asked for and verified as; none: its host.
    pub name: Option<String>,
}

/// Whether a certificate can be for that name.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Settings, compiled, for as long as an endpoint uses them.
#[derive(Debug, Default)]
pub struct TlsConfigCache(WeakMap<ClientTls, Result<ClientConfig, String>>);

impl TlsConfigCache {
    /// What speaks TLS with that host. Reads files: not for those who serve requests.
    pub fn host(&self, setting: &ClientTls, host: &str) -> TlsTarget {
        let compiled = self.0.get_or_insert_with(setting.clone(), || setting.compile());
        let host = setting.name.as_deref().unwrap_or(host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let made = (*compiled).clone().and_then(|mut config| {
            let name = ServerName::try_from(bare.to_owned())
                .map_err(|_| format!("\"{bare}\" is no name of a certificate"))?;
            config.resumption = Resumption::in_memory_sessions(SESSION_CACHE_SIZE);
            Ok((with_alpn(&config), name))
        });
        TlsTarget { config: made, _compiled: compiled }
    }
}

impl ClientTls {
    /// Reads what files held: not for those who serve requests.
    pub(in crate::net) fn compile(&self) -> Result<ClientConfig, String> {
        let builder = client_config(&self.trust)?;
        let config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let shown = pair.read().map_err(|(KeyPairError::Chain(why) | KeyPairError::Key(why))| why)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
        };
        Ok(config)
    }
}

/// One connector for each [`Offer`], in its order.
type ConnectorByAlpn = [TlsConnector; 3];

fn with_alpn(config: &ClientConfig) -> ConnectorByAlpn {
    let (one, two) = (b"http/1.1".to_vec(), b"h2".to_vec());
    [vec![one.clone()], vec![two.clone()], vec![two, one]].map(|protocols| {
        let mut config = config.clone();
        config.alpn_protocols = protocols;
        TlsConnector::from(Arc::new(config))
    })
}

/// One host, spoken to over TLS under one setting.
pub struct TlsTarget {
    config: Result<(ConnectorByAlpn, ServerName<'static>), String>,
    /// Held so that others find it.
    _compiled: Arc<Result<ClientConfig, String>>,
}

impl fmt::Debug for TlsTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SecureHost({:?})", self.config.as_ref().map(|(_, name)| name))
    }
}

impl TlsTarget {
    /// The handshake on a fresh connection; `label` names the backend to people.
    pub(in crate::net) async fn connect(
        &self,
        stream: L4Stream,
        label: &str,
        offer: AlpnOffer,
    ) -> Result<Stream, GatewayError> {
        let (connectors, name) = match &self.config {
            Ok(made) => made,
            Err(why) => {
                return Err(GatewayError::new(
                    ErrorCode::BackendTls,
                    format!("no TLS with the backend {label}: {why}"),
                ));
            }
        };
        match connectors[offer as usize].connect(name.clone(), stream).await {
            Ok(stream) => Ok(Stream::secure(stream.into())),
            Err(error) => Err(tls_error(&error, label)),
        }
    }
}

/// A certificate that is not believed is one thing, everything else that goes wrong another.
fn tls_error(error: &io::Error, label: &str) -> GatewayError {
    let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => ErrorCode::BackendCertificate,
        _ => ErrorCode::BackendTls,
    };
    let what = match why {
        ErrorCode::BackendCertificate => "the certificate of the backend",
        _ => "no TLS with the backend",
    };
    GatewayError::new(why, format!("{what} {label}: {error}"))
}
