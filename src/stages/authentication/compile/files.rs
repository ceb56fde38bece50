//! Files of API keys and of users. The errors never contain a key or a hash.

use crate::base::hex;
use crate::stages::authentication::check_hash;
use crate::stages::authentication::settings::{ApiKey, User};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeysFile {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeyEntry {
    sha256: String,
    owner: String,
    #[serde(default)]
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UsersFile {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    users: Vec<UserEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UserEntry {
    name: String,
    hash: String,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// Parses a `KeysFile`.
pub fn api_keys(text: &[u8]) -> Result<Vec<ApiKey>, String> {
    let file: KeysFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(file.keys.len());
    for (at, entry) in file.keys.into_iter().enumerate() {
        let error = |what: &str| format!("key {} of \"{}\": {what}", at + 1, entry.owner);
        let sha256 = parse_sha256_hex(&entry.sha256).ok_or_else(|| error("Sha256 must be 64 hex digits"))?;
        if !seen.insert(sha256) {
            return Err(error("duplicate key"));
        }
        if entry.owner.trim().is_empty() {
            return Err(error("missing Owner"));
        }
        let claims =
            claims(&entry.claims).ok_or_else(|| error("a claim must be a string or a list of strings"))?;
        keys.push(ApiKey { sha256, owner: entry.owner, claims });
    }
    Ok(keys)
}

/// Parses a `UsersFile`: JSON, or lines in htpasswd format.
pub fn users(text: &[u8]) -> Result<Vec<User>, String> {
    let entries = match text.trim_ascii_start().first() {
        Some(b'{') => json_users(text)?,
        _ => htpasswd_users(text)?,
    };
    let mut seen = HashSet::new();
    for user in &entries {
        check_hash(&user.hash).map_err(|what| format!("the user \"{}\": {what}", user.name))?;
        if user.name.is_empty() || user.name.contains(':') {
            return Err(format!("invalid user name \"{}\"", user.name));
        }
        if !seen.insert(&user.name) {
            return Err(format!("duplicate user \"{}\"", user.name));
        }
    }
    Ok(entries)
}

fn json_users(text: &[u8]) -> Result<Vec<User>, String> {
    let file: UsersFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let user = |entry: UserEntry| {
        let claims = claims(&entry.claims);
        let error = || format!("the user \"{}\": a claim must be a string or a list of strings", entry.name);
        Ok(User { claims: claims.ok_or_else(error)?, name: entry.name, hash: entry.hash })
    };
    file.users.into_iter().map(user).collect()
}

fn htpasswd_users(text: &[u8]) -> Result<Vec<User>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let user = |(at, line): (usize, &str)| {
        let (name, hash) =
            line.split_once(':').ok_or_else(|| format!("line {}: expected name:hash", at + 1))?;
        Ok(User { name: name.to_owned(), hash: hash.to_owned(), claims: Vec::new() })
    };
    lines.map(user).collect()
}

/// The claims as strings; of a list, one for every item.
fn claims(entries: &Map<String, Value>) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, value) in entries {
        match value {
            Value::Array(items) => {
                for item in items {
                    all.push((name.clone(), file_text(item)?));
                }
            }
            one => all.push((name.clone(), file_text(one)?)),
        }
    }
    Some(all)
}

fn file_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn parse_sha256_hex(text: &str) -> Option<[u8; 32]> {
    hex::decode(text.trim())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$04$0123456789012345678901234567890123456789012345678901.";

    #[test]
    fn keys_have_a_hash_an_owner_and_claims() {
        let hash = "0123456789abcdef".repeat(4);
        let file = format!(
            r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": "anna", "Claims": {{ "scope": ["a", "b"], "n": 1 }} }}] }}"#
        );
        let keys = api_keys(file.as_bytes()).unwrap();
        assert_eq!((keys[0].sha256[..2].to_vec(), keys[0].owner.as_str()), (vec![0x01, 0x23], "anna"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(keys[0].claims, [pair("scope", "a"), pair("scope", "b"), pair("n", "1")]);
    }

    #[test]
    fn invalid_key_files_are_reported() {
        let hash = "a".repeat(64);
        for (file, says) in [
            ("nonsense".to_owned(), "expected"),
            (r#"{ "Keys": [{ "Sha256": "abc", "Owner": "anna" }] }"#.to_owned(), "64 hex digits"),
            (format!(r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": " " }}] }}"#), "missing Owner"),
            (
                format!(r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": "a", "Key": "b" }}] }}"#),
                "unknown field",
            ),
            (
                format!(
                    r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": "a" }}, {{ "Sha256": "{hash}", "Owner": "b" }}] }}"#
                ),
                "duplicate key",
            ),
            (
                format!(
                    r#"{{ "Keys": [{{ "Sha256": "{hash}", "Owner": "a", "Claims": {{ "x": {{}} }} }}] }}"#
                ),
                "claim",
            ),
        ] {
            let error = api_keys(file.as_bytes()).unwrap_err();
            assert!(error.contains(says) && !error.contains(&hash), "{error}");
        }
    }

    #[test]
    fn users_are_json_or_htpasswd_lines() {
        let lines = format!("# staff\nann:{BCRYPT}\n\nben:{BCRYPT}\n");
        let json = format!(
            r#"{{ "Users": [{{ "Name": "ann", "Hash": "{BCRYPT}", "Claims": {{ "role": "x" }} }}] }}"#
        );
        let names = |text: &str| {
            users(text.as_bytes()).map(|all| all.into_iter().map(|u| u.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&lines), Ok(vec!["ann".to_owned(), "ben".to_owned()]));
        assert_eq!(names(&json), Ok(vec!["ann".to_owned()]));
        for (text, says) in [
            ("ann\n".to_owned(), "line 1"),
            ("ann:secret\n".to_owned(), "neither bcrypt's"),
            (format!("ann:{BCRYPT}\nann:{BCRYPT}"), "duplicate user"),
            (format!(":{BCRYPT}"), "invalid user name"),
        ] {
            let error = users(text.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
