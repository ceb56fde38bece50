//! A registry that implements the part of Consul's HTTP API that the gateway uses: health and KV, with blocking queries.

use super::origin::{Origin, Seen};
use super::stub_backend::StubResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The longest time that a blocking query waits, whatever it requests: a test must end.
const MAX_BLOCKING_QUERY: Duration = Duration::from_secs(20);

#[derive(Default)]
struct State {
    index: u64,
    services: HashMap<String, Vec<Value>>,
    keys: HashMap<String, String>,
    /// Every query is answered with this status.
    broken: Option<u16>,
    /// The list of all services may not be read.
    hides_catalogue: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The registry; it stops when dropped.
pub struct Consul {
    shared: Arc<Shared>,
    pub origin: Origin,
}

impl Consul {
    pub fn start() -> Consul {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { index: 10, ..State::default() }),
            ..Shared::default()
        });
        let of = shared.clone();
        Consul { shared, origin: Origin::with(move |seen| of.answer(seen)) }
    }

    pub fn port(&self) -> u16 {
        self.origin.port()
    }

    fn change(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.shared.lock();
        what(&mut state);
        state.index += 1;
        self.shared.changed.notify_all();
    }

    /// From now on the service has instances at these ports.
    pub fn set(&self, service: &str, ports: &[u16]) {
        let entry = |port: &u16| {
            json!({ "Node": { "Node": "n1", "Address": "127.0.0.1" },
                "Service": { "ID": format!("{service}-{port}"), "Service": service, "Tags": [], "Address": "127.0.0.1",
                    "Port": port } })
        };
        self.entries(service, ports.iter().map(entry).collect());
    }

    /// The same, as raw JSON.
    pub fn entries(&self, service: &str, entries: Vec<Value>) {
        self.change(|state| drop(state.services.insert(service.to_owned(), entries)));
    }

    pub fn put(&self, key: &str, value: &str) {
        self.change(|state| drop(state.keys.insert(key.to_owned(), value.to_owned())));
    }

    pub fn value(&self, key: &str) -> Option<String> {
        self.shared.lock().keys.get(key).cloned()
    }

    /// From now on every query is answered with this status, or normally.
    pub fn break_down(&self, status: Option<u16>) {
        self.change(|state| state.broken = status);
    }

    /// From now on the list of all services is answered with 403.
    pub fn hide_catalogue(&self) {
        self.change(|state| state.hides_catalogue = true);
    }

    /// How often a path below this one was requested.
    pub fn query_count(&self, path: &str) -> usize {
        self.origin.seen().iter().filter(|seen| seen.path.starts_with(path)).count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn answer(&self, seen: &Seen) -> StubResponse {
        let state = self.held(seen);
        if let Some(status) = state.broken {
            return StubResponse::new(status, "");
        }
        let answer = match (seen.method.as_str(), seen.path.split_once("/v1/")) {
            ("GET", Some(("", path))) => read(&state, path),
            ("PUT", Some(("", path))) => {
                drop(state);
                return self.write(seen, path);
            }
            _ => StubResponse::new(404, ""),
        };
        answer.header("X-Consul-Index", &state.index.to_string())
    }

    /// Holds a query with the current index until the state changes.
    fn held(&self, seen: &Seen) -> MutexGuard<'_, State> {
        let state = self.lock();
        let Some(known) = parameter(seen, "index").and_then(|text| text.parse::<u64>().ok()) else {
            return state;
        };
        let changed =
            self.changed.wait_timeout_while(state, MAX_BLOCKING_QUERY, |state| state.index == known);
        changed.expect("no panic").0
    }

    fn write(&self, seen: &Seen, path: &str) -> StubResponse {
        let Some(key) = path.strip_prefix("kv/") else { return StubResponse::new(404, "") };
        let mut state = self.lock();
        let refused = parameter(seen, "cas").as_deref() == Some("0") && state.keys.contains_key(key);
        if !refused {
            state.keys.insert(key.to_owned(), String::from_utf8_lossy(&seen.body).into_owned());
            state.index += 1;
            self.changed.notify_all();
        }
        StubResponse::new(200, if refused { "false" } else { "true" })
    }
}

fn read(state: &State, path: &str) -> StubResponse {
    if let Some(service) = path.strip_prefix("health/service/") {
        let entries = state.services.get(service).cloned().unwrap_or_default();
        return StubResponse::new(200, Value::Array(entries).to_string());
    }
    match path.strip_prefix("kv/").map(|key| (key, state.keys.get(key))) {
        Some((key, Some(value))) => {
            let entry = json!([{ "Key": key, "Value": STANDARD.encode(value), "ModifyIndex": state.index }]);
            StubResponse::new(200, entry.to_string())
        }
        Some((_, None)) => StubResponse::new(404, ""),
        None if path == "catalog/services" && state.hides_catalogue => StubResponse::new(403, ""),
        None if path == "catalog/services" => {
            let names: serde_json::Map<_, _> =
                state.services.keys().map(|name| (name.clone(), json!([]))).collect();
            StubResponse::new(200, Value::Object(names).to_string())
        }
        None if path == "catalog/nodes" => StubResponse::new(200, "[]"),
        None => StubResponse::new(404, ""),
    }
}

fn parameter(seen: &Seen, name: &str) -> Option<String> {
    let query = seen.query.trim_start_matches('?');
    query.split('&').find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}
