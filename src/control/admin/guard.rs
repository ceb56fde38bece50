//! Who may call a page: credentials, roles, and the defenses against requests of web pages (DNS rebinding, cross-site
//! requests). Every page is behind [`guard`], also paths that do not exist.

use super::{
    access::Access,
    context::AdminContext,
    error::{AdminError, ResponseCode},
    host,
    management::tree_path,
};
use crate::{
    control::gateway_handle::GatewayHandle,
    pipeline::{
        client_certificate::ClientCertificate,
        internal::{Request, Response},
    },
    plan::{administration::Administration, document::AdminRole},
    server::internal::ClientInfo,
};
use axum::{extract::State, middleware::Next, response::IntoResponse};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{sync::Arc, time::Duration};

/// How long the response to a wrong token is delayed.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(500);
/// The pages that probes request, by any name of the machine.
const HEALTH_PATHS: [&str; 3] = ["/live", "/ready", "/metrics"];

/// The client of a call, as an extension of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, or the subject of the certificate; `local` without credentials.
    pub name: Arc<str>,
    pub role: AdminRole,
    pub credential: Credential,
}

/// What a caller was recognized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None: the address is local to the machine.
    None,
    Token,
    Certificate,
}

/// Rejects calls without the right to them, and counts every error.
pub async fn guard(State(context): State<AdminContext>, request: Request, next: Next) -> Response {
    let response = match admit(&context, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    count_error(&response, &context.gateway);
    response
}

/// Counts the error of a response.
fn count_error(response: &Response, gateway: &GatewayHandle) {
    if let (Some(ResponseCode(code)), Some(gateway)) = (response.extensions().get(), gateway.get()) {
        gateway.metrics().record_error(code);
    }
}

/// Counts every error of an internal service that responds like the administration.
pub async fn count_errors(State(gateway): State<GatewayHandle>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    count_error(&response, &gateway);
    response
}

async fn admit(context: &AdminContext, mut request: Request) -> Result<Request, AdminError> {
    if context.access == Access::Health {
        return Ok(request);
    }
    let administration = context.gateway()?.plan.load().administration.clone();
    let requires = context.access == Access::Remote || administration.requires_credentials();
    let caller = match requires {
        true => match authenticate(&administration, &request) {
            Err(error) if is_wrong_token(&request) => {
                tokio::time::sleep(WRONG_TOKEN_DELAY).await;
                return Err(error);
            }
            authenticated => authenticated?,
        },
        false => Caller { name: "local".into(), role: AdminRole::Write, credential: Credential::None },
    };
    if requires || !HEALTH_PATHS.contains(&request.uri().path()) {
        check_site(&request, &caller, context, &administration)?;
    }
    if caller.role < required_role(request.method(), request.uri().path()) {
        let detail = match caller.role {
            AdminRole::Publish => "the role publish may only use GET and HEAD outside of /management",
            _ => "the role read may only use GET and HEAD",
        };
        return Err(AdminError::new(StatusCode::FORBIDDEN, "admin.role", detail));
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// GET changes nothing.
fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn required_role(method: &Method, path: &str) -> AdminRole {
    match reads(method) {
        true => AdminRole::Read,
        false if tree_path(path).is_some() => AdminRole::Publish,
        false => AdminRole::Write,
    }
}

fn authenticate(administration: &Administration, request: &Request) -> Result<Caller, AdminError> {
    let challenge = |detail: &'static str| {
        AdminError::new(StatusCode::UNAUTHORIZED, "admin.token", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"margay\""))
    };
    if let Some(token) = bearer_token(request.headers()) {
        let Some(found) = administration.find_token(token) else {
            let client = request.extensions().get::<ClientInfo>().map(|client| client.address.to_string());
            log::warn!("administration: wrong token from {}", client.unwrap_or_default());
            return Err(challenge("unknown token"));
        };
        return Ok(Caller { name: found.name.clone(), role: found.role, credential: Credential::Token });
    }
    let certificate = request.extensions().get::<Arc<ClientCertificate>>();
    match certificate.filter(|_| administration.accepts_certificates()) {
        Some(certificate) => {
            let (name, role) = (certificate.subject().into(), administration.certificate_role);
            Ok(Caller { name, role, credential: Credential::Certificate })
        }
        None => Err(challenge("expected Authorization: Bearer and a token of Administration.Tokens")),
    }
}

/// A failed authentication with a token was an attempt to guess one.
fn is_wrong_token(request: &Request) -> bool {
    bearer_token(request.headers()).is_some()
}

/// The token of `Authorization: Bearer` (RFC 6750 2.1).
fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Rejects requests of web pages of other sites: a page in a browser of the machine can send requests here, but it can
/// neither hide its origin (RFC 6454) nor use a name of the machine as its own. It does not know a token either.
fn check_site(
    request: &Request,
    caller: &Caller,
    context: &AdminContext,
    administration: &Administration,
) -> Result<(), AdminError> {
    let headers = request.headers();
    let host = host::host(headers);
    let reads = reads(request.method());
    let is_accepted = match host {
        _ if caller.credential == Credential::Token && context.access == Access::Remote => true,
        Some(host) => host::is_accepted(host, context.access, &administration.allowed_hosts),
        None => reads,
    };
    if !is_accepted {
        let detail = "the Host of the request must be a loopback address, localhost or one of \
                      Administration.AllowedHosts";
        return Err(AdminError::new(StatusCode::FORBIDDEN, "admin.host", detail));
    }
    if !host::is_same_site(headers) {
        let detail = "requests of web pages of other sites are rejected: Origin must be absent or the Host";
        return Err(AdminError::new(StatusCode::FORBIDDEN, "admin.origin", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_with_any_spelling_of_the_scheme() {
        let token = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            bearer_token(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(token("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(token("bearer  abc "), Some(b"abc".to_vec()));
        assert_eq!([token("Basic abc"), token("Bearer"), token("")], [None, None, None]);
    }

    #[test]
    fn only_get_and_head_read_and_publishers_write_in_their_tree() {
        let products = "/management/products/a";
        for (method, path, role) in [
            (Method::GET, "/v1/config", AdminRole::Read),
            (Method::HEAD, products, AdminRole::Read),
            (Method::POST, "/v1/config", AdminRole::Write),
            (Method::OPTIONS, "/clusters", AdminRole::Write),
            (Method::DELETE, products, AdminRole::Publish),
            (Method::POST, "/managements/a", AdminRole::Write),
        ] {
            assert_eq!(required_role(&method, path), role, "{method} {path}");
        }
        assert!(AdminRole::Read < AdminRole::Publish && AdminRole::Publish < AdminRole::Write);
    }
}
