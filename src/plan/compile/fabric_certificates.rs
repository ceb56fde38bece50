//! `ServiceCertificates` → which certificates of services are accepted.

use crate::config::values::items;
use crate::config::{Code, Diagnostics, Spanned, codes};
use crate::net::tls::{
    client::ClientTls,
    pins::{CertificatePins, Thumbprint},
    trust::TrustAnchors,
};
use crate::plan::document::{CertificatePolicy, ServiceCertificatesDocument};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The TLS settings with other accepted certificates than those that `TlsOptions` trust.
pub(super) fn service_certificates(
    document: &Spanned<ServiceCertificatesDocument>,
    tls: ClientTls,
    diagnostics: &mut Diagnostics,
) -> ClientTls {
    let Some(policy) = &document.policy else {
        diagnostics
            .error(codes::FABRIC_CERTIFICATES, document.span, "ServiceCertificates without Policy")
            .help("expected None, Thumbprints or NameAndIssuer");
        return tls;
    };
    let (has_thumbprints, has_names) = (document.thumbprints.is_some(), document.names.is_some());
    let (trust, is_complete) = match policy.value {
        CertificatePolicy::None => {
            let message = "any certificate of a service is accepted: an attacker on the network can read and change all traffic";
            diagnostics
                .warning(codes::FABRIC_ANY_CERTIFICATE, policy.span, message)
                .help("set \"Policy\": \"Thumbprints\" or \"NameAndIssuer\"");
            (TrustAnchors::DangerousAcceptAny, !has_thumbprints && !has_names)
        }
        CertificatePolicy::Thumbprints => {
            let list = items(&document.thumbprints);
            let pins = thumbprints(list, codes::FABRIC_CERTIFICATES, diagnostics);
            let pins = CertificatePins::Thumbprints(pins.into());
            (TrustAnchors::Pinned(Arc::new(pins)), !list.is_empty() && !has_names)
        }
        CertificatePolicy::NameAndIssuer => {
            (names(document, &tls, diagnostics), has_names && !has_thumbprints)
        }
    };
    if !is_complete {
        let message = "the settings of ServiceCertificates do not fit its Policy";
        diagnostics.error(codes::FABRIC_CERTIFICATES, document.span, message).help(
            "None has no other setting, Thumbprints requires Thumbprints, NameAndIssuer requires Names",
        );
    }
    ClientTls { trust, ..tls }
}

fn names(
    document: &ServiceCertificatesDocument,
    tls: &ClientTls,
    diagnostics: &mut Diagnostics,
) -> TrustAnchors {
    let mut names = BTreeMap::new();
    for (name, issuers) in document.names.iter().flat_map(|map| map.iter()) {
        let issuers = thumbprints(issuers, codes::FABRIC_CERTIFICATES, diagnostics);
        names.insert(name.as_str().into(), issuers.into());
    }
    let authorities = match &tls.trust {
        TrustAnchors::Custom(pem) => Some(pem.clone()),
        _ => None,
    };
    TrustAnchors::Pinned(Arc::new(CertificatePins::Names { names, authorities }))
}

/// Thumbprints; invalid ones are reported.
pub(super) fn thumbprints(
    list: &[Spanned<String>],
    code: Code,
    diagnostics: &mut Diagnostics,
) -> Vec<Thumbprint> {
    let mut all = Vec::new();
    for text in list {
        match Thumbprint::parse(text) {
            Some(thumbprint) => all.push(thumbprint),
            None => {
                let message = format!("invalid thumbprint \"{}\"", text.value);
                diagnostics.error(code, text.span, message).help("must be 40 or 64 hexadecimal digits");
            }
        }
    }
    all
}
