//! Abuse protection: a handler must permit the origin of the gateway before it receives events.

use super::{
    cloud_event::{origin, put_common_fields},
    http_call::{HandlerResponse, call},
    sink::EventSource,
    url,
};
use crate::{
    base::{bytes::comma_list, clock::Clock},
    pipeline::head::Head,
    realtime::config::EventHandlerConfig,
};
use bytes::Bytes;
use moka::sync::Cache;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How long a permission is valid.
const PERMITTED_TTL: Duration = Duration::from_secs(3600);
/// How long a refusal or a failure is remembered.
const REFUSED_TTL: Duration = Duration::from_secs(30);
/// Maximum time of a validation.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the response, whose body has no meaning.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How many results are remembered: hubs of the entry `*` may have URLs of their own.
const MAX_ENTRIES: u64 = 10_000;

/// What a result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cluster: Arc<str>,
    target: String,
    origin: String,
}

/// A result and how long it is valid.
#[derive(Clone, Debug)]
struct Validity {
    result: Result<(), Arc<str>>,
    ends_at: Instant,
}

/// The results of validations. One validation of a handler runs at a time; events wait for it.
#[derive(Debug)]
pub struct Validations {
    results: Cache<Key, Arc<Mutex<Option<Validity>>>>,
    clock: Clock,
}

impl Validations {
    /// No results yet.
    pub fn new(clock: Clock) -> Validations {
        let results = Cache::builder().max_capacity(MAX_ENTRIES).time_to_idle(PERMITTED_TTL).build();
        Validations { results, clock }
    }

    /// Whether the handler permits events; asks it if no result is valid. The flag is true if it was asked now.
    pub async fn check(
        &self,
        source: &EventSource,
        handler: &EventHandlerConfig,
    ) -> (Result<(), Arc<str>>, bool) {
        let service = &source.hub.service;
        let Some(backend) = service.backends.get(handler.backend) else {
            return (Err("the event handler has no backend".into()), false);
        };
        let target = url::target(&handler.url_template, &source.hub.name, "", "validate");
        let key = Key { cluster: backend.cluster.key.clone(), target, origin: origin(&service.config) };
        let entry = self.results.get_with_by_ref(&key, Arc::default);
        let mut entry = entry.lock().await;
        if let Some(valid) = entry.as_ref().filter(|valid| self.clock.now() < valid.ends_at) {
            return (valid.result.clone(), false);
        }
        let mut head = Head::request(b"OPTIONS", key.target.as_bytes());
        put_common_fields(&mut head, &service.config, handler);
        let response = call(backend, head, Bytes::new(), VALIDATION_TIMEOUT, MAX_BODY_BYTES).await;
        let result = match response {
            Ok(response) => permission(&response, &key.origin).map_err(Arc::from),
            Err(error) => Err(error.detail().into()),
        };
        if let Err(detail) = &result {
            log::warn!(
                "hub {}: the event handler {} was not validated: {detail}",
                source.hub.name,
                key.target
            );
        }
        let ttl = if result.is_ok() { PERMITTED_TTL } else { REFUSED_TTL };
        *entry = Some(Validity { result: result.clone(), ends_at: self.clock.now() + ttl });
        (result, true)
    }
}

/// Whether the response permits the origin: in one field or in several, with one value or with a list.
fn permission(response: &HandlerResponse, origin: &str) -> Result<(), String> {
    let status = response.status();
    if !(200..300).contains(&status) {
        return Err(format!("the status of the validation response is {status}"));
    }
    let mut allowed = response.head.get_all(b"webhook-allowed-origin").flat_map(comma_list);
    match allowed.any(|value| value == b"*" || value.eq_ignore_ascii_case(origin.as_bytes())) {
        true => Ok(()),
        false => Err(format!("WebHook-Allowed-Origin contains neither * nor {origin}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, allowed: &[&str]) -> HandlerResponse {
        let mut head = Head::response(status, b"");
        allowed.iter().for_each(|value| head.append(b"WebHook-Allowed-Origin", value.as_bytes()));
        HandlerResponse { head, body: Bytes::new() }
    }

    #[test]
    fn a_permission_contains_the_origin_or_a_star() {
        for allowed in [
            &["*"][..],
            &["rt.example:8080"],
            &["other.example", "RT.example:8080"],
            &["other.example, rt.example:8080"],
            &["x,*"],
        ] {
            assert_eq!(permission(&response(200, allowed), "rt.example:8080"), Ok(()), "{allowed:?}");
        }
        for (status, allowed) in [
            (200, &[][..]),
            (200, &["other.example"]),
            (200, &["rt.example"]),
            (200, &["*.example"]),
            (200, &["rt.example:8080.evil.example"]),
            (404, &["*"]),
            (302, &["*"]),
        ] {
            assert!(
                permission(&response(status, allowed), "rt.example:8080").is_err(),
                "{status} {allowed:?}"
            );
        }
        assert!(permission(&response(204, &["*"]), "x").is_ok());
    }
}
