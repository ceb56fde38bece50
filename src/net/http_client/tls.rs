//! Whom the gateway's own requests believe.

use std::{io, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those of these authorities only: PEM text.
    Only(Arc<[u8]>),
}

/// The certificates of a PEM text; an error when there is none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("it holds no certificate"),
        Err(_) => Err("it is not PEM"),
    }
}

/// What opens connections to those who are believed.
pub(super) fn connector(trust: &Trust) -> io::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = builder.with_root_certificates(roots(trust)?).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(trust: &Trust) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs()?);
        }
        Trust::Only(pem) => {
            for certificate in certificates(pem).map_err(super::odd)? {
                store.add(certificate).map_err(io::Error::other)?;
            }
        }
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_certificates_is_no_authority() {
        assert!(certificates(b"nonsense").is_err());
    }
}
