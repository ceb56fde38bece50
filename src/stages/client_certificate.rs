//! `ClientCertificates.Forward`: services are told which certificate a client showed, and believe that only of us.

use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};

pub const NAME: &str = "client-certificate";

/// The field that carries it, as a byte sequence (RFC 9440 2.2).
const FIELD: &[u8] = b"X-Client-Certificate";

/// Takes away what a client says of itself, and writes what its connection proved.
#[derive(Debug)]
pub struct ForwardClientCertificate;

impl Stage for ForwardClientCertificate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        exchange.request.remove(FIELD);
        if let Some(certificate) =
            exchange.client.certificate.as_ref().filter(|certificate| !certificate.header_value().is_empty())
        {
            exchange.request.append(FIELD, certificate.header_value().as_bytes());
        }
        Step::Next
    }

    fn describe(&self) -> String {
        "X-Client-Certificate is the gateway's own".to_owned()
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

    fn seen(certificate: Option<&str>) -> Option<Vec<u8>> {
        let nobody = "127.0.0.1:0".parse().unwrap();
        let mut x = Exchange::new(Peer::new(nobody, nobody, true), 0, Instant::now());
        x.request.append(b"x-client-certificate", b":forged:");
        let made =
            |field: &str| ClientCertificate::new(CertificateInfo::default(), String::new(), field.into());
        x.client.certificate = certificate.map(|field| Arc::new(made(field)));
        assert!(matches!(ForwardClientCertificate.on_request(&mut x), Step::Next));
        x.request.get(FIELD).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_client_cannot_say_itself_which_certificate_it_has() {
        assert_eq!(seen(Some(":AA==:")).as_deref(), Some(&b":AA==:"[..]));
        assert_eq!(seen(Some("")), None, "the listener does not tell");
        assert_eq!(seen(None), None);
    }
}
