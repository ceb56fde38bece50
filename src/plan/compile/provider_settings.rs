//! Settings that only some types of registries use, and the trust anchors of connections to registries.

use crate::base::bytes::is_target;
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::net::tls::trust::{TrustAnchors, certificates};
use crate::plan::check::{CheckContext, non_blank};
use crate::plan::document::DiscoveryDocument;
use std::path::PathBuf;

/// The settings of Service Fabric's reverse proxy.
pub const SERVICE_FABRIC_SETTINGS: &[&str] =
    &["Scheme", "Host", "Port", "Token", "PollingInterval", "Namespace"];

/// Reports settings that only other types use. Those that Ocelot knows are tolerated under Ocelot compatibility.
pub fn report_unused(
    scope: &CheckContext,
    document: &DiscoveryDocument,
    kind: &str,
    reads: &[&str],
    diagnostics: &mut Diagnostics,
) {
    let w = document;
    let ocelots = [
        ("Scheme", non_blank(&w.scheme).map(|set| set.span)),
        ("Host", non_blank(&w.host).map(|set| set.span)),
        ("Port", w.port.as_ref().filter(|port| port.value != 0).map(|set| set.span)),
        ("Token", w.token.as_ref().filter(|token| !token.reveal().is_empty()).map(|set| set.span)),
        ("PollingInterval", w.polling_interval.as_ref().filter(|time| time.value != 0).map(|set| set.span)),
        ("Namespace", non_blank(&w.namespace).map(|set| set.span)),
    ];
    let ours = [
        ("CaFile", w.ca_file.as_ref().map(|set| set.span)),
        ("Datacenter", w.datacenter.as_ref().map(|set| set.span)),
        ("Tags", w.tags.as_ref().map(|set| set.span)),
        ("ServiceMetadata", w.service_metadata.as_ref().map(|set| set.span)),
        ("UseNodeName", w.use_node_name.as_ref().map(|set| set.span)),
        ("Stale", w.stale.as_ref().map(|set| set.span)),
        ("EndpointSlices", w.endpoint_slices.as_ref().map(|set| set.span)),
        ("Path", w.path.as_ref().map(|set| set.span)),
        ("File", w.file.as_ref().map(|set| set.span)),
    ];
    let lenient = ocelots.into_iter().map(|setting| (setting, scope.ocelot));
    for ((setting, span), lenient) in lenient.chain(ours.into_iter().map(|setting| (setting, false))) {
        let Some(span) = span.filter(|_| !reads.contains(&setting)) else { continue };
        let message = format!("{setting} has no effect with a {kind} provider");
        diagnostics
            .error_or_ocelot_warning(lenient, codes::USELESS_IN_REGISTRY, span, message)
            .help("remove it");
    }
}

/// The trusted authorities of connections to the registry.
pub fn trust_anchors(
    scope: &CheckContext,
    document: &DiscoveryDocument,
    tls: bool,
    diagnostics: &mut Diagnostics,
) -> TrustAnchors {
    let Some(name) = non_blank(&document.ca_file) else { return TrustAnchors::System };
    if !tls {
        let message = "CaFile has no effect: the registry is used without TLS";
        diagnostics.error(codes::USELESS_IN_REGISTRY, name.span, message).help("add \"Scheme\": \"https\"");
        return TrustAnchors::System;
    }
    let read = scope.attached.map_or(Err("it has not been read"), |attached| attached.get(name.span));
    match read.and_then(|pem| certificates(pem).map(|_| pem)) {
        Ok(pem) => TrustAnchors::Custom(pem.into()),
        Err(why) => {
            let message = format!("invalid CaFile \"{}\": {why}", name.value);
            report(
                diagnostics,
                name.span,
                &message,
                "must contain the certificates of the authorities in PEM",
            );
            TrustAnchors::System
        }
    }
}

/// The base path of the registry's API; empty: the default.
pub fn path(document: &DiscoveryDocument, diagnostics: &mut Diagnostics) -> String {
    let Some(path) = non_blank(&document.path) else { return String::new() };
    let text = path.trim();
    if !text.starts_with('/') || text.contains(['?', '#']) || !is_target(text.as_bytes()) {
        report(
            diagnostics,
            path.span,
            &format!("invalid path \"{text}\""),
            "expected a path such as \"/eureka\"",
        );
    }
    text.to_owned()
}

/// The file of a `File` registry, relative to the configuration.
pub fn file(
    scope: &CheckContext,
    document: &Spanned<DiscoveryDocument>,
    diagnostics: &mut Diagnostics,
) -> PathBuf {
    let Some(name) = non_blank(&document.file) else {
        let help = "set the file that lists services and their instances";
        report(diagnostics, document.span, "File provider without File", help);
        return PathBuf::new();
    };
    let folder = scope.sources.get(name.span.file).and_then(|source| source.path.as_ref()?.parent());
    folder.map_or_else(|| PathBuf::from(name.trim()), |folder| folder.join(name.trim()))
}

fn report(diagnostics: &mut Diagnostics, span: Span, message: &str, help: &str) {
    diagnostics.error(codes::BAD_REGISTRY, span, message).help(help);
}
