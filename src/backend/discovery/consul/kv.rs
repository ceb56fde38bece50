//! One key of Consul's KV store, for the configuration itself.
//!
//! Source: Consul's HTTP API, "KV Store".

use super::agent::{
    Agent, BlockingQuery, INTERVAL, MAX_PARALLEL_REQUESTS, QueryMode, index, push_wait_params,
    unexpected_status,
};
use crate::{
    backend::discovery::{ProviderSettings, service_watch::jittered},
    net::http_client::Request,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// The largest value that is read, as text; Consul itself stores 512 KiB.
const MAX_VALUE: usize = 4 << 20;
/// How soon a server in trouble is asked again, at first and at last.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// A key in the store.
#[derive(Debug)]
pub struct KvStore {
    agent: Agent,
    key: String,
}

/// What the server sends of a key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    value: Option<String>,
}

impl KvStore {
    pub fn new(settings: &ProviderSettings, key: &str) -> KvStore {
        KvStore { agent: Agent::new(settings), key: key.to_owned() }
    }

    /// For people.
    pub fn name(&self) -> String {
        format!("consul:{}", self.key)
    }

    /// The store, for people and metrics.
    pub fn store(&self) -> &str {
        &self.agent.label
    }

    /// Slashes in a key are slashes in the path.
    fn path(&self) -> String {
        let mut path = "v1/kv".to_owned();
        for part in self.key.split('/') {
            path.push('/');
            push_wait_params(&mut path, part);
        }
        let datacenter = &self.agent.settings.consul.datacenter;
        path.push_str("?dc=");
        push_wait_params(&mut path, datacenter);
        if datacenter.is_empty() {
            path.truncate(path.len() - "dc=".len());
        }
        path
    }

    /// The value; none when there is no such key.
    pub async fn read(&self) -> Result<Option<String>, String> {
        self.get_with_index(&BlockingQuery::default()).await.map(|(value, _)| value)
    }

    async fn get_with_index(&self, turns: &BlockingQuery) -> Result<(Option<String>, Option<u64>), String> {
        let mut path = self.path();
        turns.push_wait_params(&mut path);
        let url = self.agent.url(&path);
        let reply = self.agent.send(Request::get(&url), turns.response_timeout()).await?;
        let value = match reply.status() {
            200 => decode_value(&reply.body).map_err(|why| format!("{url}: {why}"))?,
            404 => None,
            _ => return Err(unexpected_status(&url, &reply)),
        };
        Ok((value, index(&reply)))
    }

    /// Writes the value if there is still no such key; says whether it did.
    pub async fn put_if_absent(&self, text: &str) -> Result<bool, String> {
        let url = self.agent.url(&format!("{}&cas=0", self.path()));
        let request = Request::new("PUT", &url).body(text.as_bytes());
        let reply = self.agent.send(request, MAX_PARALLEL_REQUESTS).await?;
        if reply.status() == 200 {
            Ok(reply.body.trim_ascii() == b"true")
        } else {
            Err(unexpected_status(&url, &reply))
        }
    }

    /// Follows the key from now on.
    pub fn watch(&self) -> KvWatch<'_> {
        KvWatch {
            kv: self,
            query: BlockingQuery::default(),
            response_timeout: MIN_BACKOFF,
            pause: Duration::ZERO,
        }
    }
}

/// A key that is followed.
#[derive(Debug)]
pub struct KvWatch<'k> {
    kv: &'k KvStore,
    query: BlockingQuery,
    /// How long to wait after the next trouble.
    response_timeout: Duration,
    /// How long to wait before the next look.
    pause: Duration,
}

impl KvWatch<'_> {
    /// The next answer, which may be the same again, or trouble; comes when it is time for it.
    pub async fn next(&mut self) -> Result<Option<String>, String> {
        tokio::time::sleep(self.pause).await;
        let asked = Instant::now();
        match self.kv.get_with_index(&self.query).await {
            Ok((value, index)) => {
                self.response_timeout = MIN_BACKOFF;
                self.pause = match self.query.next(index, asked.elapsed()) {
                    QueryMode::Blocking(pause) => pause,
                    QueryMode::Immediate => self.kv.agent.settings.interval.unwrap_or(INTERVAL),
                };
                Ok(value)
            }
            Err(trouble) => {
                self.query.reset_index();
                self.pause = jittered(self.response_timeout);
                self.response_timeout = (self.response_timeout * 2).min(MAX_BACKOFF);
                Err(trouble)
            }
        }
    }
}

/// Reads what the server sends: a list of one entry, its value in Base64.
fn decode_value(body: &[u8]) -> Result<Option<String>, String> {
    let entries: Vec<Entry> =
        serde_json::from_slice(body).map_err(|e| format!("the answer is no entry: {e}"))?;
    let Some(encoded) = entries.into_iter().next().and_then(|entry| entry.value) else { return Ok(None) };
    if encoded.len() > MAX_VALUE / 3 * 4 {
        return Err(format!("the value is larger than {MAX_VALUE} bytes"));
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|e| format!("the value is no Base64: {e}"))?;
    String::from_utf8(bytes).map(Some).map_err(|_| "the value is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kv(key: &str, datacenter: &str) -> KvStore {
        let mut settings = ProviderSettings::default();
        settings.consul.datacenter = datacenter.into();
        KvStore::new(&settings, key)
    }

    #[test]
    fn the_path_holds_the_key_with_its_slashes() {
        assert_eq!(kv("InternalConfiguration", "").path(), "v1/kv/InternalConfiguration?");
        assert_eq!(kv("a b/c?d", "dc1").path(), "v1/kv/a%20b/c%3Fd?dc=dc1");
    }

    #[test]
    fn a_value_is_base64_and_an_entry_without_one_is_none() {
        assert_eq!(decode_value(br#"[{"Key":"k","Value":"e30="}]"#), Ok(Some("{}".into())));
        assert_eq!(decode_value(br#"[{"Key":"k","Value":null}]"#), Ok(None));
        assert_eq!(decode_value(b"[]"), Ok(None));
        for odd in [&b"{}"[..], br#"[{"Value":"%%"}]"#, br#"[{"Value":"/w=="}]"#, b""] {
            assert!(decode_value(odd).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_an_answer(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_value(&body);
        }
    }
}
