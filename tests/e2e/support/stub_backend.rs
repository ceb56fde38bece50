//! Stubs: which requests a backend answers, and how; read from the cases or written in a test.

use super::origin::Seen;
use super::websocket::is_opening;
use base64::Engine;
use serde_json::Value;
use std::time::Duration;

/// A response of a backend.
#[derive(Clone, Debug, Default)]
pub struct StubResponse {
    pub status: u16,
    pub reason: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// It accepts a WebSocket and echoes its messages.
    pub echo: bool,
    /// With Transfer-Encoding instead of Content-Length, then these trailers.
    pub chunked: Option<Vec<(String, String)>>,
}

impl StubResponse {
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> StubResponse {
        StubResponse { status, body: body.as_ref().to_vec(), ..StubResponse::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> StubResponse {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn after(mut self, delay: Duration) -> StubResponse {
        self.delay = delay;
        self
    }

    pub fn chunked(mut self, trailers: &[(&str, &str)]) -> StubResponse {
        self.chunked = Some(trailers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        self
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The bytes on the wire for a request of this method.
    pub fn bytes(&self, method: &str) -> Vec<u8> {
        let reason = self.reason.clone().unwrap_or_else(|| reason_of(self.status).to_owned());
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let bodiless = matches!(self.status, 204 | 304);
        let chunked = self.chunked.is_some() && !bodiless;
        if chunked {
            head += "Transfer-Encoding: chunked\r\n";
        } else if !bodiless && !self.has("content-length") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        let mut out = (head + "\r\n").into_bytes();
        if method == "HEAD" || bodiless {
            return out;
        }
        if !chunked {
            out.extend_from_slice(&self.body);
            return out;
        }
        for part in self.body.chunks(16 * 1024) {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        for (name, value) in self.chunked.iter().flatten() {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Reads `respond` of a case.
    fn read(value: &Value) -> StubResponse {
        let mut answer =
            StubResponse::new(u16::try_from(value["status"].as_u64().unwrap_or(200)).expect("a status"), "");
        answer.reason = value["reason"].as_str().map(str::to_owned);
        answer.headers = pairs(&value["headers"]);
        answer.delay = Duration::from_millis(value["delay_ms"].as_u64().unwrap_or(0));
        answer.body = if let Some(n) = value["generate_bytes"].as_u64() {
            vec![b'x'; usize::try_from(n).expect("fits")]
        } else if let Some(json) = value.get("json") {
            if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                answer.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
            spaced_json(json).into_bytes()
        } else if let Some(kv) = value.get("consul_kv_value_json") {
            consul_value(kv).into_bytes()
        } else {
            text_of(&value["body"]).into_bytes()
        };
        answer
    }
}

/// JSON with a space behind each comma and colon, as the cases expect the bytes of a backend.
fn spaced_json(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), spaced_json(value))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(spaced_json).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn consul_value(kv: &Value) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(kv.to_string());
    serde_json::json!([{ "LockIndex": 0, "Key": "InternalConfiguration", "Flags": 0, "Value": text,
        "CreateIndex": 1, "ModifyIndex": 1 }])
    .to_string()
}

/// The text of a JSON value: a token that was replaced by a port number is text again.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A map or a list of pairs, in order.
pub fn pairs(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), text_of(v))).collect(),
        Value::Array(list) => list.iter().map(|p| (text_of(&p[0]), text_of(&p[1]))).collect(),
        _ => Vec::new(),
    }
}

/// The condition under which a stub answers.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestMatch(Value);

impl RequestMatch {
    pub fn matches(&self, seen: &Seen) -> bool {
        let is = |key: &str, found: &str| self.0[key].as_str().is_none_or(|want| want == found);
        let query_is = |want: &str| want.trim_start_matches('?') == seen.query.trim_start_matches('?');
        (self.0["websocket"].is_null() || is_opening(&seen.head))
            && is("method", &seen.method)
            && is("path", &seen.path)
            && self.0["query"].as_str().is_none_or(query_is)
            && pairs(&self.0["headers"]).iter().all(|(n, v)| seen.head.all(n).contains(&v.as_str()))
    }
}

/// One stub and the number of its calls.
#[derive(Clone, Debug)]
pub struct Stub {
    pub when: RequestMatch,
    answers: Vec<StubResponse>,
    calls: usize,
}

impl Stub {
    /// Reads an entry of `downstream` (or a `set_stub`).
    pub fn read(value: &Value) -> Stub {
        let mut when = value["when"].clone();
        let answers = match value["respond_sequence"].as_array() {
            Some(list) => list.iter().map(StubResponse::read).collect(),
            None if value["websocket"] == "echo" => {
                when["websocket"] = true.into();
                vec![StubResponse { echo: true, ..StubResponse::default() }]
            }
            None => vec![StubResponse::read(&value["respond"])],
        };
        Stub { when: RequestMatch(when), answers, calls: 0 }
    }

    /// The response to this call, with its templates filled in.
    pub fn call(&mut self, seen: &Seen) -> StubResponse {
        self.calls += 1;
        let index = (self.calls - 1).min(self.answers.len() - 1);
        let mut answer = self.answers[index].clone();
        if memchr::memmem::find(&answer.body, b"{{").is_some() {
            answer.body = self.filled(&answer.body, seen);
        }
        answer
    }

    fn filled(&self, template: &[u8], seen: &Seen) -> Vec<u8> {
        if template == b"{{ECHO_BODY}}" {
            return seen.body.clone();
        }
        let mut text = String::from_utf8_lossy(template).into_owned();
        text = text.replace("{{ECHO_BODY}}", &String::from_utf8_lossy(&seen.body));
        text = text.replace("{{ECHO_PATH_QUERY}}", &seen.target);
        text = text.replace("{{CALL_COUNT}}", &self.calls.to_string());
        while let Some(start) = text.find("{{ECHO_HEADER:") {
            let end = text[start..].find("}}").map_or(text.len(), |n| start + n + 2);
            let name = text[start + 14..end - 2].to_owned();
            text.replace_range(start..end, &seen.head.all(&name).join(", "));
        }
        text.into_bytes()
    }
}

/// The reason phrase of a status.
pub fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "InvalidHead Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "InvalidHead Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}
