//! `External`, resolved.

use crate::{base::url::HttpUrl, net::tls::client::ClientTls};
use std::time::Duration;

/// How an authorizer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizerProtocol {
    /// A request of this method, as nginx's `auth_request` and forward-auth services expect it.
    Http(&'static str),
    /// Envoy's `ext_authz`, version 3.
    Grpc,
}

/// An authorizer outside of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalSettings {
    pub url: HttpUrl,
    pub protocol: AuthorizerProtocol,
    pub tls: ClientTls,
    /// The fields of the request that the authorizer gets; `None`: all.
    pub request_headers: Option<Vec<String>>,
    /// The fields of an allowing response that the backend gets.
    pub response_headers: Vec<String>,
    /// The fields of an allowing response that the client gets.
    pub client_headers: Vec<String>,
    /// Claims of the caller, by fields of an allowing response.
    pub claims: Vec<(String, String)>,
    pub timeout: Duration,
    /// Whether a request passes if the authorizer does not respond.
    pub allow_on_failure: bool,
    pub cache: Option<DecisionCacheSettings>,
}

/// How long decisions are used again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecisionCacheSettings {
    /// The fields on which a decision depends, in addition to method and URL.
    pub headers: Vec<String>,
    pub ttl: Duration,
}

impl ExternalSettings {
    /// The URL as it is written.
    pub fn display_url(&self) -> String {
        let url = self.url.to_string();
        match (self.protocol, url.split_once("://")) {
            (AuthorizerProtocol::Grpc, Some((scheme, rest))) => {
                format!(
                    "{}://{}",
                    if scheme == "https" { "grpcs" } else { "grpc" },
                    rest.trim_end_matches('/')
                )
            }
            _ => url,
        }
    }
}
