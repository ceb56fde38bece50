//! Settings for tests.

use super::settings::{AuthorizerProtocol, ExternalSettings};
use crate::{base::url::HttpUrl, net::tls::client::ClientTls};
use std::time::Duration;

/// An authorizer at this URL that sets `x-user`, which is the claim `sub`.
pub fn settings(url: &str) -> ExternalSettings {
    let is_grpc = url.starts_with("grpc");
    let url = url.replacen("grpc", "http", 1);
    ExternalSettings {
        url: HttpUrl::parse(&url).expect("a URL"),
        protocol: if is_grpc { AuthorizerProtocol::Grpc } else { AuthorizerProtocol::Http("GET") },
        tls: ClientTls::default(),
        request_headers: None,
        response_headers: vec!["x-user".into()],
        client_headers: vec!["x-seen".into()],
        claims: vec![("sub".into(), "x-user".into())],
        timeout: Duration::from_secs(2),
        allow_on_failure: false,
        cache: None,
    }
}
