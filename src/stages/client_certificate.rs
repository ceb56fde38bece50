//! Client certificates for backends (`ClientCertificates.Forward`): the field `Client-Cert` of RFC 9440.
//!
//! A backend can trust the field because `pipeline::client_fields` removes it, `Client-Cert-Chain` and `X-Client-Certificate`
//! from every request of a client.

use super::feature::ConfiguredStage;
use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "client-certificate";

/// The certificate as a structured field byte sequence, `:base64(DER):` (RFC 9440 2.2).
const FIELD: &[u8] = b"Client-Cert";

/// Sends the certificate that the client presented. `Client-Cert-Chain` is not sent: the listener does not keep the chain.
#[derive(Clone, Copy, Debug)]
pub struct ForwardClientCertificate;

impl ConfiguredStage for ForwardClientCertificate {}

impl Stage for ForwardClientCertificate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if let Some(certificate) =
            exchange.client.certificate.as_ref().filter(|certificate| !certificate.header_value().is_empty())
        {
            // The request of an aggregate's part may have the field already.
            exchange.request.set(FIELD, certificate.header_value().as_bytes());
        }
        Step::Next
    }

    fn describe(&self) -> String {
        "sends the client certificate in Client-Cert (RFC 9440)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{
        client_certificate::{CertificateInfo, ClientCertificate},
        exchange::Peer,
    };
    use std::{sync::Arc, time::Instant};

    fn sent(header_value: Option<&str>) -> Option<Vec<u8>> {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(address, address, true), 0, Instant::now());
        exchange.client.certificate = header_value.map(|value| {
            Arc::new(ClientCertificate::new(CertificateInfo::default(), String::new(), value.into()))
        });
        for _ in 0..2 {
            assert!(matches!(ForwardClientCertificate.on_request(&mut exchange), Step::Next));
        }
        assert!(exchange.request.get_all(FIELD).count() <= 1);
        exchange.request.get(FIELD).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_certificate_of_the_connection_is_sent_once() {
        assert_eq!(sent(Some(":AA==:")).as_deref(), Some(&b":AA==:"[..]));
        assert_eq!(sent(Some("")), None, "the listener does not forward certificates");
        assert_eq!(sent(None), None);
    }
}
