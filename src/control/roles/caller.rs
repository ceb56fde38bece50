//! Who calls the directory: an instance of a role, an authenticated caller, or another client.

use super::visibility::Viewer;
use crate::{
    pipeline::{client_certificate::ClientCertificate, identity::Identity},
    plan::roles::{RolesPlan, Source},
    server::internal::ClientInfo,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// What is known of the caller.
#[derive(Clone, Debug)]
pub struct DirectoryCaller {
    certificate: Option<Arc<ClientCertificate>>,
    identity: Option<Arc<Identity>>,
    address: IpAddr,
}

impl DirectoryCaller {
    /// The caller under the roles of a plan.
    pub fn viewer(&self, roles: &RolesPlan) -> Viewer {
        let source = Source {
            certificate: self.certificate.as_deref(),
            subject: self.identity.as_ref().and_then(|identity| identity.claim_value("sub")),
            address: self.address.to_canonical(),
        };
        match roles.source(&source) {
            Some(instance) => Viewer::Instance(instance),
            None if self.identity.is_some() => Viewer::Authenticated,
            None => Viewer::Unknown,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DirectoryCaller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Ok(DirectoryCaller {
            certificate: parts.extensions.get::<Arc<ClientCertificate>>().cloned(),
            identity: parts.extensions.get::<Arc<Identity>>().cloned(),
            address: parts.extensions.get::<ClientInfo>().map_or(nowhere, |client| client.address),
        })
    }
}
