//! `Certificates`: client certificates for services.

use crate::{
    base::hex,
    config::{Diagnostics, Span, Spanned, codes},
    net::tls::{
        certificate::{CertifiedKeyPem, KeyPairError, certificate_info},
        trust,
    },
    plan::{check::CheckContext, document::backends::ServiceCertificateDocument},
    stages::program::backend::ServiceCertificate,
};
use ring::digest::{SHA256, digest};
use std::{collections::HashMap, sync::Arc};

/// The certificates by their ids in lower case.
pub(super) fn certificates(
    scope: &CheckContext,
    diagnostics: &mut Diagnostics,
) -> HashMap<String, Arc<ServiceCertificate>> {
    let entries = scope.document.certificates.iter().flat_map(|map| map.iter());
    let mut all = HashMap::new();
    for (id, document) in entries {
        if let Some(pair) = pair(scope, document, diagnostics) {
            let certificate =
                ServiceCertificate { id: id.value.clone(), thumbprints: thumbprints(&pair), pair };
            all.insert(id.to_lowercase(), Arc::new(certificate));
        }
    }
    all
}

fn pair(
    scope: &CheckContext,
    document: &Spanned<ServiceCertificateDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<CertifiedKeyPem> {
    let mut file = |name: &str, setting: &Option<Spanned<String>>| {
        let Some(set) = setting else {
            diagnostics.error(codes::API_ENTITY, document.span, format!("{name} is missing"));
            return None;
        };
        match scope.attached.map_or(Err("it has not been read"), |attached| attached.get(set.span)) {
            Ok(content) => Some((set.span, content.to_vec())),
            Err(why) => {
                let message = format!("{name}: \"{}\" cannot be read: {why}", set.value);
                diagnostics.error(codes::BAD_CERTIFICATE, set.span, message);
                None
            }
        }
    };
    let chain = file("CertificateFile", &document.certificate_file);
    let key = file("KeyFile", &document.key_file);
    let ((chain_span, chain), (key_span, key)) = (chain?, key?);
    let pair = CertifiedKeyPem { chain: chain.into(), key: key.into() };
    let mut report = |span: Span, name: &str, why: &str| {
        diagnostics.error(codes::BAD_CERTIFICATE, span, format!("{name}: {why}"));
    };
    match pair.read() {
        Ok(_) => return Some(pair),
        Err(KeyPairError::Chain(why)) => report(chain_span, "CertificateFile", &why),
        Err(KeyPairError::Key(why)) => report(key_span, "KeyFile", &why),
    }
    None
}

/// SHA-256 and SHA-1 of the certificate, in hexadecimal digits in lower case.
fn thumbprints(pair: &CertifiedKeyPem) -> Vec<String> {
    let Some(first) = trust::certificates(&pair.chain).ok().and_then(|all| all.into_iter().next()) else {
        return Vec::new();
    };
    let sha256 = hex::encode(digest(&SHA256, &first).as_ref());
    let sha1 = certificate_info(&first).map(|info| info.sha1_thumbprint.to_lowercase());
    [Some(sha256), sha1].into_iter().flatten().collect()
}
