//! `ApiKey`: a long random text that the operator gave to one caller. The gateway has only its SHA-256.

use super::{credential_location::Credential, outcome::AuthOutcome, settings::ApiKeySettings};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    identity::Identity,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};
use subtle::ConstantTimeEq;

/// The hash of a key and its owner.
type KeyOwner = ([u8; 32], Arc<Identity>);

/// The compiled scheme.
#[derive(Debug)]
pub struct ApiKeys {
    settings: ApiKeySettings,
    /// Keyed hash of the table, so that the time of a look-up reveals nothing about the stored hashes.
    hasher: RandomState,
    owners: HashMap<u64, Vec<KeyOwner>>,
}

impl ApiKeys {
    /// Builds the table of key hashes; the owner becomes the claim `sub` unless the key has one.
    pub fn new(name: &str, settings: ApiKeySettings) -> ApiKeys {
        let (scheme, hasher): (Arc<str>, _) = (name.into(), RandomState::new());
        let mut owners: HashMap<u64, Vec<KeyOwner>> = HashMap::with_capacity(settings.keys.len());
        for key in &settings.keys {
            let mut user = Identity::new(scheme.clone());
            if !key.claims.iter().any(|(name, _)| name == "sub") {
                user.add("sub", &key.owner);
            }
            key.claims.iter().for_each(|(name, value)| user.add(name, value));
            owners.entry(hasher.hash_one(key.sha256)).or_default().push((key.sha256, Arc::new(user)));
        }
        ApiKeys { settings, hasher, owners }
    }

    /// Authenticates a request by its key.
    pub fn authenticate(&self, exchange: &Exchange) -> AuthOutcome {
        let key = match self.settings.locations.find(exchange, "ApiKey") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return AuthOutcome::Rejected(GatewayError::new(
                    ErrorCode::IdentityMalformed,
                    "the request has several API key headers",
                ));
            }
            Credential::Value(key) => key,
        };
        let hash: [u8; 32] = Sha256::digest(key).into();
        let candidates = self.owners.get(&self.hasher.hash_one(hash)).into_iter().flatten();
        let mut owners = candidates.filter(|(sha256, _)| bool::from(sha256.ct_eq(&hash)));
        match owners.next() {
            Some((_, user)) => AuthOutcome::Authenticated(user.clone()),
            None => AuthOutcome::Rejected(GatewayError::new(
                ErrorCode::IdentityInvalidCredentials,
                "the API key is unknown",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{ApiKey, CredentialLocations};
    use super::super::testing::{exchange, why};
    use super::*;

    fn key(text: &str, owner: &str, claims: &[(&str, &str)]) -> ApiKey {
        let claims = claims.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        ApiKey { sha256: Sha256::digest(text).into(), owner: owner.into(), claims }
    }

    fn keys(keys: Vec<ApiKey>) -> ApiKeys {
        let locations = CredentialLocations {
            header: "X-Api-Key".into(),
            query: Some("key".into()),
            ..CredentialLocations::default()
        };
        ApiKeys::new("partners", ApiKeySettings { locations, keys })
    }

    fn owner(keys: &ApiKeys, key: &str) -> Option<String> {
        match keys.authenticate(&exchange("/", &[("x-api-key", key)])) {
            AuthOutcome::Authenticated(user) => user.claim_value("sub").map(str::to_owned),
            _ => None,
        }
    }

    #[test]
    fn during_a_rotation_the_old_and_the_new_key_are_accepted() {
        let scope = [("scope", "orders")];
        let rotation =
            keys(vec![key("old", "anna", &scope), key("new", "anna", &scope), key("x", "berta", &[])]);
        assert_eq!(owner(&rotation, "old").as_deref(), Some("anna"));
        assert_eq!(owner(&rotation, "new").as_deref(), Some("anna"));
        assert_eq!(owner(&rotation, "x").as_deref(), Some("berta"));
        let rotated = keys(vec![key("new", "anna", &scope)]);
        assert_eq!((owner(&rotated, "old"), owner(&rotated, "new").as_deref()), (None, Some("anna")));
    }

    #[test]
    fn a_key_in_the_query_is_accepted_and_an_unknown_one_rejected() {
        let keys = keys(vec![key("k", "anna", &[("sub", "a-1")])]);
        let AuthOutcome::Authenticated(user) = keys.authenticate(&exchange("/?key=k", &[])) else {
            panic!("rejected")
        };
        assert_eq!((user.claim_value("sub"), &*user.scheme), (Some("a-1"), "partners"));
        assert!(matches!(keys.authenticate(&exchange("/", &[])), AuthOutcome::NoCredentials));
        assert_eq!(
            why(keys.authenticate(&exchange("/", &[("X-Api-Key", "K")]))),
            "identity.invalid_credentials"
        );
        let duplicate = [("X-Api-Key", "k"), ("X-Api-Key", "k")];
        assert_eq!(why(keys.authenticate(&exchange("/", &duplicate))), "identity.malformed");
    }
}
