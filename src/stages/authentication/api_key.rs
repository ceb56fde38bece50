//! `ApiKey`: a long random text that one caller got from the operator. The gateway knows its SHA-256 only.

use super::{Judged, place::Found, settings::ApiKeySettings};
use crate::pipeline::{
    cause::{Cause, Why},
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
type Owner = ([u8; 32], Arc<Identity>);

/// The scheme at work.
#[derive(Debug)]
pub struct ApiKeys {
    settings: ApiKeySettings,
    /// Where to look is secret too: the time that a look-up takes says nothing about the hashes.
    places: RandomState,
    owners: HashMap<u64, Vec<Owner>>,
}

impl ApiKeys {
    pub fn new(name: &str, settings: ApiKeySettings) -> ApiKeys {
        let (scheme, places): (Arc<str>, _) = (name.into(), RandomState::new());
        let mut owners: HashMap<u64, Vec<Owner>> = HashMap::with_capacity(settings.keys.len());
        for key in &settings.keys {
            let mut user = Identity::new(scheme.clone());
            if !key.claims.iter().any(|(name, _)| name == "sub") {
                user.add("sub", &key.owner);
            }
            key.claims.iter().for_each(|(name, value)| user.add(name, value));
            owners.entry(places.hash_one(key.sha256)).or_default().push((key.sha256, Arc::new(user)));
        }
        ApiKeys { settings, places, owners }
    }

    /// Judges the key of a request.
    pub fn judge(&self, x: &Exchange) -> Judged {
        let key = match self.settings.places.find(x, "ApiKey") {
            Found::Nothing => return Judged::Absent,
            Found::Several => {
                return Judged::Bad(Cause::new(
                    Why::IdentityMalformed,
                    "the header of the key is there twice",
                ));
            }
            Found::Text(key) => key,
        };
        let hash: [u8; 32] = Sha256::digest(key).into();
        let here = self.owners.get(&self.places.hash_one(hash)).into_iter().flatten();
        let mut found = here.filter(|(own, _)| bool::from(own.ct_eq(&hash)));
        match found.next() {
            Some((_, user)) => Judged::Good(user.clone()),
            None => Judged::Bad(Cause::new(Why::IdentityUnknown, "nobody has this key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{ApiKey, Places};
    use super::super::testing::{exchange, why};
    use super::*;

    fn key(text: &str, owner: &str, claims: &[(&str, &str)]) -> ApiKey {
        let claims = claims.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        ApiKey { sha256: Sha256::digest(text).into(), owner: owner.into(), claims }
    }

    fn keys(keys: Vec<ApiKey>) -> ApiKeys {
        let places = Places { header: "X-Api-Key".into(), query: Some("key".into()), cookie: None };
        ApiKeys::new("partners", ApiKeySettings { places, keys })
    }

    fn owner(keys: &ApiKeys, key: &str) -> Option<String> {
        match keys.judge(&exchange("/", &[("x-api-key", key)])) {
            Judged::Good(user) => user.first("sub").map(str::to_owned),
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
        let Judged::Good(user) = keys.judge(&exchange("/?key=k", &[])) else { panic!("refused") };
        assert_eq!((user.first("sub"), &*user.scheme), (Some("a-1"), "partners"));
        assert!(matches!(keys.judge(&exchange("/", &[])), Judged::Absent));
        assert_eq!(why(keys.judge(&exchange("/", &[("X-Api-Key", "K")]))), "identity.unknown");
        let twice = [("X-Api-Key", "k"), ("X-Api-Key", "k")];
        assert_eq!(why(keys.judge(&exchange("/", &twice))), "identity.malformed");
    }
}
