//! Claims of a token as claims of the caller.

use crate::base::compact_jws::JsonObject;
use crate::pipeline::identity::Identity;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Deepest object whose members become claims.
const MAX_DEPTH: usize = 8;
/// Claims that members of objects add.
const MAX_NESTED_CLAIMS: usize = 256;

/// The claims under their own names: one for each item of a list; objects as JSON text, and their members under a path
/// such as `realm_access.roles`. A claim whose own name is the path comes first.
pub fn identity_from_claims(scheme: Arc<str>, claims: &JsonObject) -> Identity {
    let mut user = Identity::new(scheme);
    for (name, value) in &claims.0 {
        add_items(&mut user, name, value);
    }
    let mut remaining = MAX_NESTED_CLAIMS;
    // A binding must not be lost because other objects are large.
    let (first, others) = claims.0.iter().partition::<Vec<_>, _>(|(name, _)| name == "cnf");
    for (name, value) in first.into_iter().chain(others) {
        if let Value::Object(members) = value {
            add_members(&mut user, claims, name, members, MAX_DEPTH, &mut remaining);
        }
    }
    user
}

fn add_members(
    user: &mut Identity,
    claims: &JsonObject,
    path: &str,
    members: &Map<String, Value>,
    depth: usize,
    remaining: &mut usize,
) {
    for (name, value) in members {
        let path = format!("{path}.{name}");
        let count = value.as_array().map_or(1, Vec::len);
        if count > *remaining {
            return;
        }
        *remaining -= count;
        if claims.get(&path).is_none() {
            add_items(user, &path, value);
        }
        if let (Value::Object(members), true) = (value, depth > 1) {
            add_members(user, claims, &path, members, depth - 1, remaining);
        }
    }
}

fn add_items(user: &mut Identity, name: &str, value: &Value) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| add_claim(user, name, one)),
        one => add_claim(user, name, one),
    }
}

fn add_claim(user: &mut Identity, name: &str, value: &Value) {
    match value {
        Value::String(text) => user.add(name, text),
        Value::Null => user.add(name, ""),
        other => user.add(name, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(claims: Value) -> Identity {
        let Value::Object(claims) = claims else { panic!("an object") };
        identity_from_claims("jwt".into(), &JsonObject(claims.into_iter().collect()))
    }

    #[test]
    fn members_of_objects_are_claims_by_path() {
        let user = identity(json!({
            "realm_access": { "roles": ["offline", "admin"] },
            "resource_access": { "shop": { "roles": ["seller"], "level": 3 } },
        }));
        assert_eq!(user.claim_values("realm_access.roles").collect::<Vec<_>>(), ["offline", "admin"]);
        assert_eq!(user.claim_value("resource_access.shop.roles"), Some("seller"));
        assert_eq!(user.claim_value("resource_access.shop.level"), Some("3"));
        assert_eq!(user.claim_value("realm_access"), Some(r#"{"roles":["offline","admin"]}"#));
        assert_eq!(user.claim_value("roles"), None);
    }

    #[test]
    fn a_claim_whose_own_name_is_the_path_replaces_the_member() {
        let user = identity(json!({ "a": { "b": "nested" }, "a.b": "own" }));
        assert_eq!(user.claim_values("a.b").collect::<Vec<_>>(), ["own"]);
    }

    #[test]
    fn depth_and_number_of_nested_claims_are_bounded() {
        let members: Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
        let user = identity(json!({ "many": members }));
        assert_eq!(user.claims().len(), 1 + MAX_NESTED_CLAIMS);
        let deep = (0..20).fold(json!("end"), |inner, _| json!({ "x": inner }));
        let user = identity(json!({ "top": deep }));
        assert_eq!(user.claims().len(), 1 + MAX_DEPTH);
    }
}
