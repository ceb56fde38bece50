//! Forward-auth over HTTP: the contract of nginx's `auth_request` and of the services written for it.

use super::{
    decision::{Allowance, Decision, Denial, FieldAction},
    settings::ExternalSettings,
    subject::AuthorizationSubject,
};
use crate::{
    base::bytes::is_field_value,
    net::http_client::{KeepAliveClient, Request, RequestLimits, Response},
    pipeline::head::KnownHeader,
};

/// Largest response of an authorizer.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Fields of a denying response that describe its connection or its length.
const CONNECTION_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Calls the authorizer; `method` is that of its request.
///
/// # Errors
///
/// The reason why there is no response.
pub async fn check(
    client: &KeepAliveClient,
    settings: &ExternalSettings,
    method: &'static str,
    subject: &AuthorizationSubject,
    worker: usize,
) -> Result<Response, String> {
    let (uri, ip) = (&subject.target, subject.client.ip().to_string());
    let path = uri.strip_prefix('/').map_or_else(String::new, |path| format!("/{path}"));
    let url = format!("{}://{}{path}", subject.scheme, subject.host);
    let mut request = Request::new(method, &settings.url);
    for (name, value) in &subject.headers {
        if is_field_value(value.as_bytes()) {
            request = request.header(name, value);
        }
    }
    let described = [
        ("X-Forwarded-Method", subject.method.as_str()),
        ("X-Forwarded-Proto", subject.scheme),
        ("X-Forwarded-Host", subject.host.as_str()),
        ("X-Forwarded-Uri", uri.as_str()),
        ("X-Forwarded-For", ip.as_str()),
        ("X-Original-Method", subject.method.as_str()),
        ("X-Original-URI", uri.as_str()),
        ("X-Original-URL", url.as_str()),
    ];
    request = described.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let limits = RequestLimits { timeout: settings.timeout, max_body: MAX_RESPONSE_BYTES };
    client.send(&request, limits, worker).await
}

/// The decision of a response: 2xx allows the request, everything else is the response for the client.
pub fn decision(settings: &ExternalSettings, response: Response) -> Decision {
    match response.status() {
        200..=299 => Decision::Allow(allowance(settings, &response)),
        status => Decision::Deny(Denial {
            status,
            headers: client_fields(&response),
            media_type: response.header("content-type").unwrap_or("text/plain; charset=utf-8").to_owned(),
            body: response.body.into(),
        }),
    }
}

fn allowance(settings: &ExternalSettings, response: &Response) -> Allowance {
    let mut allowance = Allowance::default();
    // What the client sent under these names never reaches the backend.
    for name in &settings.response_headers {
        allowance.request.push((FieldAction::Remove, name.clone(), Vec::new()));
        let values = response.head.get_all(name.as_bytes());
        allowance.request.extend(values.map(|value| (FieldAction::Append, name.clone(), value.to_vec())));
    }
    for name in &settings.client_headers {
        let values = response.head.get_all(name.as_bytes());
        allowance.response.extend(values.map(|value| (name.clone(), value.to_vec())));
    }
    for (claim, name) in &settings.claims {
        if let Some(value) = response.header(name) {
            allowance.claims.push((claim.clone(), value.to_owned()));
        }
    }
    allowance
}

fn client_fields(response: &Response) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = response.head.fields().filter(|(known, name, _)| {
        *known == KnownHeader::Other
            && !CONNECTION_FIELDS.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name))
    });
    fields.map(|(_, name, value)| (text(name), text(value))).collect()
}

/// Whether the authorizer permits that its decision is stored.
pub fn is_storable(response: &Response) -> bool {
    let cache_control = response.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    response.status() < 500
        && response.header("set-cookie").is_none()
        && !cache_control.contains("no-store")
        && !cache_control.contains("no-cache")
}
