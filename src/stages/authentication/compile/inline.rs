//! API keys and users that are written in the scheme, in the form of their files.

use crate::config::values::{List, ListMap, OneOrMany, Setting, items};
use crate::stages::authentication::scheme_document::{ApiKeyDocument, UserDocument};
use serde_json::{Map, Value, json};

/// The content of a `KeysFile` with these keys.
pub fn keys_file(keys: &List<ApiKeyDocument>) -> Vec<u8> {
    let key = |key: &ApiKeyDocument| json!({ "Sha256": text(&key.sha256), "Owner": text(&key.owner), "Claims": claims(&key.claims) });
    let keys: Vec<Value> = items(keys).iter().map(|entry| key(&entry.value)).collect();
    json!({ "Keys": keys }).to_string().into_bytes()
}

/// The content of a `UsersFile` with these users.
pub fn users_file(users: &List<UserDocument>) -> Vec<u8> {
    let user = |user: &UserDocument| {
        let hash = user.hash.as_ref().map_or("", |hash| hash.value.reveal());
        json!({ "Name": text(&user.name), "Hash": hash, "Claims": claims(&user.claims) })
    };
    let users: Vec<Value> = items(users).iter().map(|entry| user(&entry.value)).collect();
    json!({ "Users": users }).to_string().into_bytes()
}

fn text(setting: &Setting<String>) -> &str {
    setting.as_ref().map_or("", |text| text.value.as_str())
}

fn claims(claims: &ListMap) -> Map<String, Value> {
    let entries = claims.iter().flat_map(|map| map.iter());
    let values = |value: &OneOrMany| value.0.iter().map(|item| item.value.clone()).collect();
    entries.filter_map(|(name, value)| Some((name.value.clone(), values(&value.as_ref()?.value)))).collect()
}
