//! `Otlp` → the collector.

use crate::base::{
    bytes::{is_field_value, is_token},
    url::HttpUrl,
};
use crate::config::{
    Diagnostics, Spanned, codes,
    ranges::RangeChecker,
    values::{StringList, non_blank},
};
use crate::net::tls::trust::certificates;
use crate::plan::{
    check::CheckContext,
    document::{OtlpDocument, OtlpProtocolDocument},
};
use crate::telemetry::otlp::{OtlpConfig, OtlpProtocol};
use std::{sync::Arc, time::Duration};

const DEFAULT_QUEUE_SIZE: u64 = 2048;

/// The collector; `None` if its endpoint is invalid.
pub(super) fn collector(
    scope: &CheckContext,
    document: &Spanned<OtlpDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<OtlpConfig> {
    let endpoint = endpoint(document, diagnostics);
    let headers = pairs(&document.headers);
    check_headers(&document.headers, endpoint.as_ref(), diagnostics);
    let authorities = authorities(scope, document, endpoint.as_ref(), diagnostics);
    let mut range = RangeChecker::for_code(codes::BAD_OTLP, diagnostics);
    let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
    let timeout = range.time("Otlp.Timeout", &document.timeout, 10 * second, 100 * ms, 60 * second);
    let queue_size = range.number("Otlp.QueueSize", &document.queue_size, 64, 1_000_000);
    Some(OtlpConfig {
        endpoint: endpoint?,
        protocol: match document.protocol.as_ref().map(|protocol| protocol.value).unwrap_or_default() {
            OtlpProtocolDocument::HttpProtobuf => OtlpProtocol::HttpProtobuf,
            OtlpProtocolDocument::Grpc => OtlpProtocol::Grpc,
        },
        headers,
        authorities,
        timeout,
        queue_capacity: queue_size.unwrap_or(DEFAULT_QUEUE_SIZE) as usize,
        service_name: non_blank(&document.service_name).map_or("margay", |name| name.trim()).to_owned(),
        resource_attributes: pairs(&document.resource_attributes),
    })
}

fn endpoint(document: &Spanned<OtlpDocument>, diagnostics: &mut Diagnostics) -> Option<HttpUrl> {
    const HELP: &str = "expected a URL such as http://127.0.0.1:4318";
    let Some(text) = non_blank(&document.endpoint) else {
        diagnostics.error(codes::BAD_OTLP, document.span, "Otlp has no Endpoint").help(HELP);
        return None;
    };
    let parsed = HttpUrl::parse(text.trim()).and_then(|url| match url.target.contains('?') {
        true => Err("it has a query"),
        false => Ok(url),
    });
    parsed
        .inspect_err(|reason| {
            let message = format!("invalid Otlp.Endpoint \"{}\": {reason}", text.value);
            diagnostics.error(codes::BAD_OTLP, text.span, message).help(HELP);
        })
        .ok()
}

fn pairs(list: &StringList) -> Vec<(String, String)> {
    let entries = list.iter().flat_map(|map| map.iter());
    entries.filter_map(|(key, value)| Some((key.value.clone(), value.as_ref()?.value.clone()))).collect()
}

fn check_headers(headers: &StringList, endpoint: Option<&HttpUrl>, diagnostics: &mut Diagnostics) {
    let Some(set) = headers.as_ref() else { return };
    for (name, value) in set.iter() {
        let value = value.as_ref().map_or("", |value| value.as_str());
        if !is_token(name.value.as_bytes()) || !is_field_value(value.as_bytes()) {
            diagnostics
                .error(
                    codes::BAD_OTLP,
                    name.span,
                    format!("invalid header \"{}\" in Otlp.Headers", name.value),
                )
                .help("expected a header name and a value without control characters");
        }
    }
    if endpoint.is_some_and(|url| !url.tls && !url.is_loopback()) && set.iter().next().is_some() {
        diagnostics
            .warning(codes::PLAIN_OTLP_HEADERS, set.span, "Otlp.Headers are sent over plain HTTP")
            .help("use an https endpoint");
    }
}

fn authorities(
    scope: &CheckContext,
    document: &OtlpDocument,
    endpoint: Option<&HttpUrl>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<[u8]>> {
    let name = non_blank(&document.ca_file)?;
    if endpoint.is_some_and(|url| !url.tls) {
        let message = "Otlp.CaFile has no effect: the endpoint is used without TLS";
        diagnostics
            .error(codes::BAD_OTLP, name.span, message)
            .help("use an https endpoint, or remove CaFile");
        return None;
    }
    let read = scope.attached.map_or(Err("it has not been read"), |attached| attached.get(name.span));
    match read.and_then(|pem| certificates(pem).map(|_| pem)) {
        Ok(pem) => Some(pem.into()),
        Err(reason) => {
            diagnostics
                .error(
                    codes::BAD_OTLP,
                    name.span,
                    format!("invalid Otlp.CaFile \"{}\": {reason}", name.value),
                )
                .help("must contain the certificates of the authorities in PEM");
            None
        }
    }
}
