//! The compiled settings of the administration: its addresses, and the credentials of its clients.

use super::document::AdminRole;
use crate::net::{listener::Address, tls::server::ServerTls};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The settings of the administration.
#[derive(Clone, Debug)]
pub struct Administration {
    pub address: Address,
    /// Names that `Host` may contain, in addition to those of the machine.
    pub allowed_hosts: Vec<String>,
    pub tokens: Vec<AdminToken>,
    /// The role of a client with a verified certificate.
    pub certificate_role: AdminRole,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<ServerTls>>,
    /// The value of `Strict-Transport-Security` in responses.
    pub hsts: Option<Box<str>>,
    /// The address of the health pages, if they have their own.
    pub health: Option<Address>,
}

/// A token: the configuration contains its hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    pub name: Arc<str>,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    pub role: AdminRole,
}

impl Administration {
    /// Without credentials: for an address that is local to the machine.
    pub fn local(address: Address) -> Administration {
        Administration {
            address,
            allowed_hosts: Vec::new(),
            tokens: Vec::new(),
            certificate_role: AdminRole::Read,
            tls: None,
            hsts: None,
            health: None,
        }
    }

    /// Whether clients need credentials on an address that is local to the machine; on any other they always do.
    pub fn requires_credentials(&self) -> bool {
        !self.tokens.is_empty() || self.accepts_certificates()
    }

    /// Whether a verified client certificate is a credential.
    pub fn accepts_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some())
    }

    /// The entry of a token. The time does not depend on how much of the token is right, or on which entry it is.
    pub fn find_token(&self, token: &[u8]) -> Option<&AdminToken> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for entry in &self.tokens {
            if bool::from(entry.hash.ct_eq(&hash)) {
                found = Some(entry);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configured_token_is_found_and_no_other() {
        let token = |name: &str, role| AdminToken {
            name: name.into(),
            hash: Sha256::digest(name.as_bytes()).into(),
            role,
        };
        let address = Address::Tcp(([127, 0, 0, 1], 8081).into());
        let tokens = vec![token("old", AdminRole::Read), token("new", AdminRole::Write)];
        let administration = Administration { tokens, ..Administration::local(address) };
        let role = |text: &str| administration.find_token(text.as_bytes()).map(|found| found.role);
        assert_eq!([role("old"), role("new")], [Some(AdminRole::Read), Some(AdminRole::Write)]);
        assert_eq!([role(""), role("ol"), role("old ")], [None; 3]);
        assert!(administration.requires_credentials());
    }
}
