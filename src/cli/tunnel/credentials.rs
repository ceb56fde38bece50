//! The proof of identity of an agent or a connector: a key, a connection string, a bearer token.

use super::arguments::GatewayOptions;
use crate::config::files::read_limited;
use crate::pipeline::sas::{self, SasKey};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a token is valid; a new one is made when 80 % of it are over.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// The host in tokens for agents and connectors.
const SAS_HOST: &str = "margay";

/// What `Authorization` contains.
#[derive(Clone, Debug)]
pub enum Credentials {
    Key {
        key: SasKey,
        policy: Option<String>,
    },
    Bearer(String),
    /// Only the client certificate.
    None,
}

/// The parts of a connection string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionString {
    pub device: Option<String>,
    pub policy: Option<String>,
    pub key: String,
}

impl ConnectionString {
    /// Parses `HostName=...;DeviceId=...;SharedAccessKey=...` or with `SharedAccessKeyName`.
    pub fn parse(text: &str) -> Option<ConnectionString> {
        let mut parsed = ConnectionString::default();
        for part in text.trim().split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            match name.to_ascii_lowercase().as_str() {
                "deviceid" => parsed.device = Some(value.to_owned()),
                "sharedaccesskeyname" => parsed.policy = Some(value.to_owned()),
                "sharedaccesskey" => parsed.key = value.to_owned(),
                _ => {}
            }
        }
        (!parsed.key.is_empty()).then_some(parsed)
    }
}

/// A text from a file, without white space around it.
fn read_text(option: &str, path: &Path) -> Result<String, String> {
    let bytes = read_limited(path, MAX_FILE_BYTES)
        .map_err(|error| format!("{option} {}: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{option} {}: not UTF-8", path.display()))?;
    Ok(text.trim().to_owned())
}

/// The id in the connection string, if there is one.
///
/// # Errors
///
/// The file cannot be read.
pub fn device(options: &GatewayOptions) -> Result<Option<String>, String> {
    let Some(path) = &options.connection_string_file else { return Ok(None) };
    let text = read_text("--connection-string-file", path)?;
    Ok(ConnectionString::parse(&text).and_then(|parsed| parsed.device))
}

/// The key in a text: Base64, or a connection string.
fn key(source: &str, text: &str, policy: Option<&str>) -> Result<Credentials, String> {
    let connection = ConnectionString::parse(text).filter(|_| text.contains(';'));
    let (encoded, own_policy) = match &connection {
        Some(connection) => (connection.key.as_str(), connection.policy.clone()),
        None => (text, None),
    };
    let key = SasKey::parse(encoded)
        .ok_or_else(|| format!("{source}: invalid key: must be the Base64 of 32 to 128 bytes"))?;
    Ok(Credentials::Key { key, policy: policy.map(str::to_owned).or(own_policy) })
}

impl Credentials {
    /// The credentials of the options and of `MARGAY_AGENT_KEY`. The error is a usage error.
    pub fn read(options: &GatewayOptions, policy: Option<&str>) -> Result<Credentials, String> {
        if let Some(path) = &options.key_file {
            return key(&format!("--key-file {}", path.display()), &read_text("--key-file", path)?, policy);
        }
        if let Some(path) = &options.connection_string_file {
            let text = read_text("--connection-string-file", path)?;
            return key(&format!("--connection-string-file {}", path.display()), &text, policy);
        }
        if let Some(path) = &options.bearer_file {
            return Ok(Credentials::Bearer(read_text("--bearer-file", path)?));
        }
        match std::env::var("MARGAY_AGENT_KEY") {
            Ok(text) if !text.trim().is_empty() => key("MARGAY_AGENT_KEY", text.trim(), policy),
            _ if options.certificate.is_some() => Ok(Credentials::None),
            _ => Err("no proof of identity: pass --key-file, --connection-string-file, --certificate or --bearer-file, or set \
                      MARGAY_AGENT_KEY"
                .to_owned()),
        }
    }

    /// The value of `Authorization` for an agent.
    pub fn authorization(&self, agent: &str) -> Option<String> {
        match self {
            Credentials::None => None,
            Credentials::Bearer(token) => Some(format!("Bearer {token}")),
            Credentials::Key { key, policy } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let expires_at = (now + TOKEN_LIFETIME).as_secs();
                Some(sas::sign(key, &format!("{SAS_HOST}/devices/{agent}"), expires_at, policy.as_deref()))
            }
        }
    }

    /// After which time a new token is made; `None`: there is nothing to renew.
    pub fn renewal_interval(&self) -> Option<Duration> {
        matches!(self, Credentials::Key { .. }).then(|| TOKEN_LIFETIME.mul_f64(0.8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_name_a_device_or_a_policy() {
        let parsed = ConnectionString::parse("HostName=h;DeviceId=d1;SharedAccessKey=a+b/c=").unwrap();
        assert_eq!((parsed.device.as_deref(), &*parsed.key), (Some("d1"), "a+b/c="));
        let parsed =
            ConnectionString::parse("HostName=h;SharedAccessKeyName=service;SharedAccessKey=k").unwrap();
        assert_eq!(parsed.policy.as_deref(), Some("service"));
        assert_eq!(ConnectionString::parse("HostName=h"), None);
    }
}
