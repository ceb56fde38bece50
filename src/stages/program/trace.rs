//! Traces of requests: the statements that ran, for subscriptions with `AllowTracing`.

use super::section::{Origin, Section};
use crate::base::expr::format_rfc3339;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The header with which a client asks for a trace.
pub const REQUEST_HEADER: &[u8] = b"Ocp-Apim-Trace";
/// The header with the id of the trace.
pub const ID_HEADER: &[u8] = b"Ocp-Apim-Trace-Id";
/// How long traces are kept.
const RETENTION: Duration = Duration::from_secs(300);
/// Maximum number of traces.
const MAX_TRACES: u64 = 1000;
/// Maximum number of entries of a trace.
const MAX_ENTRIES: usize = 1000;
/// Longest text of an entry.
const MAX_TEXT_BYTES: usize = 8 << 10;
/// What is shown in the place of a secret.
pub const MASK: &str = "*****";

/// Ended traces by their ids.
#[derive(Debug)]
pub struct Traces(moka::sync::Cache<String, Arc<Value>>);

impl Default for Traces {
    fn default() -> Traces {
        Traces(moka::sync::Cache::builder().max_capacity(MAX_TRACES).time_to_live(RETENTION).build())
    }
}

impl Traces {
    /// A trace by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Value>> {
        self.0.get(id)
    }

    /// Keeps a trace; secrets in it are masked.
    pub fn keep(&self, id: &str, trace: &Trace, secrets: &[Arc<str>]) {
        let entries: Vec<Value> = trace.0.iter().map(|entry| entry.shown(secrets)).collect();
        self.0.insert(id.to_owned(), Arc::new(json!({ "id": id, "entries": entries })));
    }
}

/// The trace of a request.
#[derive(Debug, Default)]
pub struct Trace(Vec<TraceEntry>);

impl Trace {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a statement waits in a dry run.
    pub fn waits(&self) -> bool {
        self.0.iter().any(|entry| entry.result.0["outcome"] == "waits")
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: TraceEntry) {
        if self.0.len() < MAX_ENTRIES {
            self.0.push(entry);
        }
    }
}

/// A statement that ran, or an entry of a `trace` statement.
#[derive(Debug)]
pub struct TraceEntry {
    pub section: Section,
    pub origin: Arc<Origin>,
    pub at: SystemTime,
    pub took: Duration,
    pub result: TraceData,
}

/// What a statement did.
#[derive(Debug)]
pub struct TraceData(Value);

impl TraceData {
    /// A statement that ended well.
    pub fn done() -> TraceData {
        TraceData(json!({ "outcome": "done" }))
    }

    /// A statement that waits, in a dry run.
    pub fn waiting() -> TraceData {
        TraceData(json!({ "outcome": "waits" }))
    }

    /// A statement that responded.
    pub fn responded(status: u16) -> TraceData {
        TraceData(json!({ "outcome": "responded", "status": status }))
    }

    /// A statement that failed.
    pub fn failed(reason: &str, message: &str, code: &str) -> TraceData {
        TraceData(json!({ "outcome": "failed", "reason": reason, "message": message, "code": code }))
    }

    /// The message of a `trace` statement.
    pub fn message(source: &str, severity: &str, message: &str, metadata: &[(String, String)]) -> TraceData {
        let metadata: serde_json::Map<String, Value> =
            metadata.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        TraceData(json!({ "source": source, "severity": severity, "message": message, "metadata": metadata }))
    }
}

impl TraceEntry {
    fn shown(&self, secrets: &[Arc<str>]) -> Value {
        let at = self.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        json!({
            "section": self.section.name(),
            "scope": self.origin.scope.name(),
            "statement": self.origin.statement,
            "path": self.origin.path,
            "at": format_rfc3339(at),
            "took": self.took.as_secs_f64(),
            "data": masked(&self.result.0, secrets),
        })
    }
}

/// A value without secrets and without long texts.
fn masked(value: &Value, secrets: &[Arc<str>]) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                text = text.replace(&**secret, MASK);
            }
            let end = text.floor_char_boundary(MAX_TEXT_BYTES);
            text.truncate(end);
            text.into()
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), masked(value, secrets)));
            Value::Object(members.collect())
        }
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::program::Scope;

    #[test]
    fn a_kept_trace_has_no_secret() {
        let origin = Origin {
            scope: Scope::Api,
            file: "policies/apis/a.json".into(),
            pointer: "/inbound/0".into(),
            span: Default::default(),
            path: "trace[1]".into(),
            id: String::new(),
            statement: "trace",
        };
        let mut trace = Trace::default();
        let result = TraceData::message("s", "error", "the key is s3cret", &[("k".into(), "s3cret".into())]);
        let (at, took) = (UNIX_EPOCH, Duration::from_millis(5));
        trace.push(TraceEntry { section: Section::Inbound, origin: Arc::new(origin), at, took, result });
        let traces = Traces::default();
        traces.keep("1", &trace, &["s3cret".into()]);
        let kept = traces.get("1").unwrap();
        assert_eq!(kept["entries"][0]["data"]["message"], "the key is *****");
        assert!(!kept.to_string().contains("s3cret") && traces.get("2").is_none());
    }
}
