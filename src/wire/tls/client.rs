//! Backends over TLS: a configuration is compiled once for each setting and shared; sessions are resumed by endpoint.

use super::{
    super::{dial::Offer, io::Io},
    certificate::{BadPair, Pair},
    trust::{Trust, believing},
};
use crate::{
    base::keyed::Keyed,
    pipeline::cause::{Cause, Why},
};
use pingora::protocols::l4::stream::Stream;
use std::{fmt, io, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey},
};

/// Sessions that an endpoint keeps to be resumed; TLS 1.3 uses each once.
const SESSIONS: usize = 8;

/// How backends are spoken to over TLS. Connections made under different settings are never mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    pub trust: Trust,
    /// What the backend is shown.
    pub identity: Option<Pair>,
    /// What it is asked for and verified as; none: its host.
    pub name: Option<String>,
}

/// Whether a certificate can be for that name.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Settings, compiled, for as long as an endpoint uses them.
#[derive(Debug, Default)]
pub struct Compiled(Keyed<ClientTls, Result<ClientConfig, String>>);

impl Compiled {
    /// What speaks TLS with that host. Reads files: not for those who serve requests.
    pub fn host(&self, setting: &ClientTls, host: &str) -> SecureHost {
        let compiled = self.0.get(setting.clone(), || setting.compile());
        let host = setting.name.as_deref().unwrap_or(host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let made = (*compiled).clone().and_then(|mut config| {
            let name = ServerName::try_from(bare.to_owned())
                .map_err(|_| format!("\"{bare}\" is no name of a certificate"))?;
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            Ok((offering(&config), name))
        });
        SecureHost { made, _compiled: compiled }
    }
}

impl ClientTls {
    /// Reads what files held: not for those who serve requests.
    pub(in crate::wire) fn compile(&self) -> Result<ClientConfig, String> {
        let builder = believing(&self.trust)?;
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let shown = pair.read().map_err(|(BadPair::Chain(why) | BadPair::Key(why))| why)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
        };
        Ok(config)
    }
}

/// One connector for each [`Offer`], in its order.
type Connectors = [TlsConnector; 3];

fn offering(config: &ClientConfig) -> Connectors {
    let (one, two) = (b"http/1.1".to_vec(), b"h2".to_vec());
    [vec![one.clone()], vec![two.clone()], vec![two, one]].map(|protocols| {
        let mut config = config.clone();
        config.alpn_protocols = protocols;
        TlsConnector::from(Arc::new(config))
    })
}

/// One host, spoken to over TLS under one setting.
pub struct SecureHost {
    made: Result<(Connectors, ServerName<'static>), String>,
    /// Held so that others find it.
    _compiled: Arc<Result<ClientConfig, String>>,
}

impl fmt::Debug for SecureHost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SecureHost({:?})", self.made.as_ref().map(|(_, name)| name))
    }
}

impl SecureHost {
    /// The handshake on a fresh connection; `label` names the backend to people.
    pub(in crate::wire) async fn connect(
        &self,
        stream: Stream,
        label: &str,
        offer: Offer,
    ) -> Result<Io, Cause> {
        let (connectors, name) = match &self.made {
            Ok(made) => made,
            Err(why) => {
                return Err(Cause::new(Why::BackendTls, format!("no TLS with the backend {label}: {why}")));
            }
        };
        match connectors[offer as usize].connect(name.clone(), stream).await {
            Ok(stream) => Ok(Io::secure(stream.into())),
            Err(error) => Err(failed(&error, label)),
        }
    }
}

/// A certificate that is not believed is one thing, everything else that goes wrong another.
fn failed(error: &io::Error, label: &str) -> Cause {
    let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => Why::BackendCertificate,
        _ => Why::BackendTls,
    };
    let what = match why {
        Why::BackendCertificate => "the certificate of the backend",
        _ => "no TLS with the backend",
    };
    Cause::new(why, format!("{what} {label}: {error}"))
}
