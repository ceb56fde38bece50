//! Consumers with their API keys and groups. Keys are imported as hashes.

use crate::cli::import::report::Report;
use crate::cli::import::values::{entries, get, items, text};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A consumer of the file.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub name: String,
    /// Hexadecimal SHA-256 hashes of its keys.
    pub key_hashes: Vec<String>,
    pub groups: Vec<String>,
    /// Whether it has credentials for tokens or passwords.
    pub has_tokens: bool,
    pub has_passwords: bool,
}

/// Reads the consumers.
pub fn read(root: &Value, report: &mut Report) -> Vec<Consumer> {
    let all = entries(get(root, "consumers"), "username");
    all.into_iter().map(|(name, value)| consumer(name, value, report)).collect()
}

fn consumer(name: String, value: &Value, report: &mut Report) -> Consumer {
    let position = format!("consumers.{name}");
    let mut key_hashes = Vec::new();
    for credential in items(get(value, "keyauth_credentials")) {
        match text(credential, "key").filter(|key| !key.starts_with("{vault://")) {
            Some(key) => key_hashes.push(sha256_hex(&key)),
            None => report.skip(&position, "API key whose value the file does not contain"),
        }
    }
    for (setting, what) in [
        ("hmacauth_credentials", "HMAC"),
        ("oauth2_credentials", "OAuth 2"),
        ("mtls_auth_credentials", "mTLS"),
    ] {
        if !items(get(value, setting)).is_empty() {
            report.skip(&position, format!("{what} credentials"));
        }
    }
    for plugin in items(get(value, "plugins")) {
        report.skip(&position, format!("plugin {} of a consumer", text(plugin, "name").unwrap_or_default()));
    }
    let group = |entry: &Value| text(entry, "group").or_else(|| text(entry, "name"));
    let acls = items(get(value, "acls")).into_iter().chain(items(get(value, "groups")));
    Consumer {
        key_hashes,
        groups: acls.filter_map(group).collect(),
        has_tokens: !items(get(value, "jwt_secrets")).is_empty(),
        has_passwords: !items(get(value, "basicauth_credentials")).is_empty(),
        name,
    }
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
