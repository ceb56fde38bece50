//! What a request presents about its caller: token, client certificate, authenticated subject, address.

use crate::{
    net::agents::{
        access::{AccessError, Proof},
        registry::AgentRegistry,
    },
    pipeline::{
        client_certificate::ClientCertificate,
        error::{ErrorCode, GatewayError},
        identity::Identity,
        internal::Request,
        sas::SasToken,
    },
    server::internal::ClientInfo,
};
use http::header;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The time after which an address may try again.
const RETRY_AFTER_SECONDS: &str = "60";

/// The caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub peer: SocketAddr,
    /// The host of the request, without its port.
    pub host: Box<str>,
    pub token: Option<SasToken>,
    certificate: Option<Proof>,
    pub subject: Option<Box<str>>,
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Caller {
    /// The caller of a request; an expired or malformed token is an error.
    pub fn of(request: &Request) -> Result<Caller, AccessError> {
        let extensions = request.extensions();
        let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let client = extensions.get::<ClientInfo>();
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let peer = client.map_or(unknown, |client| match client.address == client.peer.ip() {
            true => client.peer,
            false => SocketAddr::new(client.address, 0),
        });
        let authority = field(header::HOST).unwrap_or_default();
        let proof = field(header::AUTHORIZATION).map(|value| Proof::of_authorization(value, unix_seconds()));
        let identity = extensions.get::<Arc<Identity>>();
        Ok(Caller {
            peer,
            host: host_of(authority).into(),
            token: match proof.transpose()?.flatten() {
                Some(Proof::Sas(token)) => Some(token),
                _ => None,
            },
            certificate: extensions.get::<Arc<ClientCertificate>>().map(|known| Proof::of_certificate(known)),
            subject: identity.and_then(|identity| identity.claim_value("sub")).map(Box::from),
        })
    }

    /// All proofs, in the order in which they are tried.
    pub fn proofs(&self) -> Vec<Proof> {
        let token = self.token.clone().map(Proof::Sas);
        let subject = self.subject.clone().map(Proof::Subject);
        [token, self.certificate.clone(), subject].into_iter().flatten().collect()
    }
}

/// The host of an authority, without brackets.
fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The address that failed proofs are counted for. Processes of this machine share one address, so they are not counted.
fn counted_address(request: &Request) -> Option<IpAddr> {
    let client = request.extensions().get::<ClientInfo>()?;
    Some(client.address).filter(|address| !address.to_canonical().is_loopback())
}

/// Refuses an address with too many failed proofs.
pub fn check_throttle(registry: &AgentRegistry, request: &Request) -> Result<(), GatewayError> {
    match counted_address(request) {
        Some(address) if registry.failed_proofs.is_refused(address, Instant::now()) => {
            let detail = "the address presented too many wrong proofs; try again after a minute";
            Err(GatewayError::new(ErrorCode::LimitProofs, detail).with_details(|details| {
                details.headers.push(("Retry-After".into(), RETRY_AFTER_SECONDS.to_owned()));
            }))
        }
        _ => Ok(()),
    }
}

/// Counts a failed proof.
pub fn count_failure(registry: &AgentRegistry, request: &Request, error: AccessError) {
    if let Some(address) = counted_address(request).filter(|_| error.is_failed_proof()) {
        registry.failed_proofs.record(address, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_has_no_port_and_no_brackets() {
        for (authority, host) in [("gw:8443", "gw"), ("gw", "gw"), ("[::1]:80", "::1"), ("", "")] {
            assert_eq!(host_of(authority), host);
        }
    }
}
