//! `ApiKey`: a long random text that one caller got from the operator. The gateway knows its SHA-256 only.

use super::{AuthOutcome, credential_location::Credential, settings::ApiKeySettings};
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

/// The hash of a key, and whose it is.
type KeyOwner = ([u8; 32], Arc<Identity>);

/// The scheme at work.
#[derive(Debug)]
pub struct ApiKeys {
    settings: ApiKeySettings,
    /// Where to look is secret too: the time that a look-up takes says nothing about the hashes.
    locations: RandomState,
    owners: HashMap<u64, Vec<KeyOwner>>,
}

impl ApiKeys {
    pub fn new(name: &str, settings: ApiKeySettings) -> ApiKeys {
        let (scheme, locations): (Arc<str>, _) = (name.into(), RandomState::new());
        let mut owners: HashMap<u64, Vec<KeyOwner>> = HashMap::with_capacity(settings.keys.len());
        for key in &settings.keys {
            let mut user = Identity::new(scheme.clone());
            if !key.claims.iter().any(|(name, _)| name == "sub") {
                user.add("sub", &key.owner);
            }
            key.claims.iter().for_each(|(name, value)| user.add(name, value));
            owners.entry(locations.hash_one(key.sha256)).or_default().push((key.sha256, Arc::new(user)));
        }
        ApiKeys { settings, locations, owners }
    }

    /// Judges the key of a request.
    pub fn authenticate(&self, exchange: &Exchange) -> AuthOutcome {
        let key = match self.settings.places.find(exchange, "ApiKey") {
            Credential::None => return AuthOutcome::NoCredentials,
            Credential::Ambiguous => {
                return AuthOutcome::Rejected(GatewayError::new(
                    ErrorCode::IdentityMalformed,
                    "the header of the key is there twice",
                ));
            }
            Credential::Value(key) => key,
        };
        let hash: [u8; 32] = Sha256::digest(key).into();
        let here = self.owners.get(&self.locations.hash_one(hash)).into_iter().flatten();
        let mut found = here.filter(|(own, _)| bool::from(own.ct_eq(&hash)));
        match found.next() {
            Some((_, user)) => AuthOutcome::Authenticated(user.clone()),
            None => AuthOutcome::Rejected(GatewayError::new(
                ErrorCode::IdentityInvalidCredentials,
                "nobody has this key",
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
        let places =
            CredentialLocations { header: "X-Api-Key".into(), query: Some("key".into()), cookie: None };
        ApiKeys::new("partners", ApiKeySettings { places, keys })
    }

    fn owner(keys: &ApiKeys, key: &str) -> Option<String> {
        match keys.authenticate(&exchange("/", &[("x-api-key", key)])) {
            AuthOutcome::Authenticated(user) => user.claim_value("sub").map(str::to_owned),
            _ => None,
        }
    }

    #[test]
    fn during_a_rotation_the_old_and_the_new_key_of_an_owner_are_good() {
        let scope = [("scope", "orders")];
        let both = keys(vec![key("old", "anna", &scope), key("new", "anna", &scope), key("x", "berta", &[])]);
        assert_eq!(owner(&both, "old").as_deref(), Some("anna"));
        assert_eq!(owner(&both, "new").as_deref(), Some("anna"));
        assert_eq!(owner(&both, "x").as_deref(), Some("berta"));
        let after = keys(vec![key("new", "anna", &scope)]);
        assert_eq!((owner(&after, "old"), owner(&after, "new").as_deref()), (None, Some("anna")));
    }

    #[test]
    fn a_key_in_the_query_is_as_good_and_an_unknown_one_is_refused() {
        let keys = keys(vec![key("k", "anna", &[("sub", "a-1")])]);
        let AuthOutcome::Authenticated(user) = keys.authenticate(&exchange("/?key=k", &[])) else {
            panic!("refused")
        };
        assert_eq!((user.claim_value("sub"), &*user.scheme), (Some("a-1"), "partners"));
        assert!(matches!(keys.authenticate(&exchange("/", &[])), AuthOutcome::NoCredentials));
        assert_eq!(
            why(keys.authenticate(&exchange("/", &[("X-Api-Key", "K")]))),
            "identity.invalid_credentials"
        );
        let twice = [("X-Api-Key", "k"), ("X-Api-Key", "k")];
        assert_eq!(why(keys.authenticate(&exchange("/", &twice))), "identity.malformed");
    }
}
