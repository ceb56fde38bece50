//! One key of Consul's KV store, for the gateway's own configuration.
//!
//! Source: Consul's HTTP API, "KV Store".

use super::{
    agent::{
        Agent, BlockingQuery, INTERVAL, NextQuery, RESPONSE_TIMEOUT, index, push_encoded, unexpected_status,
    },
    settings::ConsulSettings,
};
use crate::{base::backoff::Backoff, net::http_client::Request};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// The maximum size of a value as text; Consul itself stores 512 KiB.
const MAX_VALUE_BYTES: usize = 4 << 20;
/// The backoff after errors.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// A key of the store.
#[derive(Debug)]
pub struct KvStore {
    agent: Agent,
    key: String,
}

/// The entry of a key, as the server sends it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KvEntry {
    value: Option<String>,
}

impl KvStore {
    /// Reads `key` of the KV store; the first read opens the connection.
    pub fn new(settings: &ConsulSettings, key: &str) -> KvStore {
        KvStore { agent: Agent::new(settings), key: key.to_owned() }
    }

    /// The name for operators.
    pub fn name(&self) -> String {
        format!("consul:{}", self.key)
    }

    /// The store, for operators and metrics.
    pub fn store(&self) -> &str {
        &self.agent.label
    }

    /// Slashes of the key stay slashes of the path.
    fn path(&self) -> String {
        let mut path = "v1/kv".to_owned();
        for segment in self.key.split('/') {
            path.push('/');
            push_encoded(&mut path, segment);
        }
        let datacenter = &self.agent.settings.datacenter;
        path.push_str("?dc=");
        push_encoded(&mut path, datacenter);
        if datacenter.is_empty() {
            path.truncate(path.len() - "dc=".len());
        }
        path
    }

    /// The value; `None` if the key does not exist.
    pub async fn read(&self) -> Result<Option<String>, String> {
        self.get_with_index(&BlockingQuery::default()).await.map(|(value, _)| value)
    }

    async fn get_with_index(&self, query: &BlockingQuery) -> Result<(Option<String>, Option<u64>), String> {
        let mut path = self.path();
        query.push_wait_params(&mut path);
        let url = self.agent.url(&path);
        let response = self.agent.send(Request::get(&url), query.response_timeout()).await?;
        let value = match response.status() {
            200 => decode_value(&response.body).map_err(|error| format!("{url}: {error}"))?,
            404 => None,
            _ => return Err(unexpected_status(&url, &response)),
        };
        Ok((value, index(&response)))
    }

    /// Writes the value unless the key exists; returns whether it did.
    pub async fn put_if_absent(&self, text: &str) -> Result<bool, String> {
        let url = self.agent.url(&format!("{}&cas=0", self.path()));
        let request = Request::new("PUT", &url).body(text.as_bytes());
        let response = self.agent.send(request, RESPONSE_TIMEOUT).await?;
        if response.status() == 200 {
            Ok(response.body.trim_ascii() == b"true")
        } else {
            Err(unexpected_status(&url, &response))
        }
    }

    /// Watches the key.
    pub fn watch(&self) -> KvWatch<'_> {
        KvWatch {
            kv: self,
            query: BlockingQuery::default(),
            backoff: Backoff::new(MIN_BACKOFF, MAX_BACKOFF),
            delay: Duration::ZERO,
        }
    }
}

/// A watched key.
#[derive(Debug)]
pub struct KvWatch<'k> {
    kv: &'k KvStore,
    query: BlockingQuery,
    backoff: Backoff,
    /// The delay before the next query.
    delay: Duration,
}

impl KvWatch<'_> {
    /// The next value, which may be unchanged, or an error. Waits until the next query is due.
    pub async fn next(&mut self) -> Result<Option<String>, String> {
        tokio::time::sleep(self.delay).await;
        let started_at = Instant::now();
        match self.kv.get_with_index(&self.query).await {
            Ok((value, index)) => {
                self.backoff.reset();
                self.delay = match self.query.next(index, started_at.elapsed()) {
                    NextQuery::Blocking(delay) => delay,
                    NextQuery::Unsupported => self.kv.agent.settings.interval.unwrap_or(INTERVAL),
                };
                Ok(value)
            }
            Err(error) => {
                self.query.reset_index();
                self.delay = self.backoff.next_delay();
                Err(error)
            }
        }
    }
}

/// Decodes a response: a list of one entry with a Base64 value.
fn decode_value(body: &[u8]) -> Result<Option<String>, String> {
    let entries: Vec<KvEntry> = serde_json::from_slice(body)
        .map_err(|e| format!("invalid response: expected a list of entries: {e}"))?;
    let Some(encoded) = entries.into_iter().next().and_then(|entry| entry.value) else { return Ok(None) };
    if encoded.len() > MAX_VALUE_BYTES / 3 * 4 {
        return Err(format!("the value is larger than {MAX_VALUE_BYTES} bytes"));
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|e| format!("the value is not Base64: {e}"))?;
    String::from_utf8(bytes).map(Some).map_err(|_| "the value is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kv(key: &str, datacenter: &str) -> KvStore {
        let settings = ConsulSettings { datacenter: datacenter.into(), ..ConsulSettings::default() };
        KvStore::new(&settings, key)
    }

    #[test]
    fn the_path_contains_the_key_with_its_slashes() {
        assert_eq!(kv("InternalConfiguration", "").path(), "v1/kv/InternalConfiguration?");
        assert_eq!(kv("a b/c?d", "dc1").path(), "v1/kv/a%20b/c%3Fd?dc=dc1");
    }

    #[test]
    fn a_value_is_base64_and_an_entry_without_value_is_none() {
        assert_eq!(decode_value(br#"[{"Key":"k","Value":"e30="}]"#), Ok(Some("{}".into())));
        assert_eq!(decode_value(br#"[{"Key":"k","Value":null}]"#), Ok(None));
        assert_eq!(decode_value(b"[]"), Ok(None));
        for invalid in [&b"{}"[..], br#"[{"Value":"%%"}]"#, br#"[{"Value":"/w=="}]"#, b""] {
            assert!(decode_value(invalid).is_err(), "{}", String::from_utf8_lossy(invalid));
        }
    }

    proptest! {
        #[test]
        fn any_input_is_a_result(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_value(&body);
        }
    }
}
