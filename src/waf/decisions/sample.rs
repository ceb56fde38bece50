//! Requests with a value in one place, and the rules that they match.

use crate::waf::bodies::reader::{BodyReader, BodySettings};
use crate::waf::policy::compiled::Policy;
use crate::waf::request::head::RequestHead;
use crate::waf::transaction::run::Transaction;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A browser.
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// The bytes of a body that are inspected.
const INSPECT_LIMIT: usize = 1 << 17;

/// A request.
#[derive(Clone, Debug)]
pub struct Sample<'s> {
    /// Where the value is: `query`, `form` or `json`.
    pub place: &'static str,
    /// The method.
    pub method: &'s str,
    /// Path and query.
    pub target: String,
    /// Header fields, in addition to those of a browser.
    pub headers: Vec<(&'s str, String)>,
    /// The body.
    pub body: String,
}

impl Sample<'static> {
    /// The same argument in a query, a form and a JSON member.
    pub fn places(value: &str) -> [Self; 3] {
        let post = |place, content_type: &str, body: String| Self {
            place,
            method: "POST",
            target: "/api/items".to_owned(),
            headers: vec![
                ("Content-Type", content_type.to_owned()),
                ("Content-Length", body.len().to_string()),
            ],
            body,
        };
        let query = Self {
            place: "query",
            method: "GET",
            target: format!("/search?q={}", escape(value)),
            headers: Vec::new(),
            body: String::new(),
        };
        let json = serde_json::json!({ "a": [{ "q": value }] }).to_string();
        let form = format!("q={}", escape(value));
        [
            query,
            post("form", "application/x-www-form-urlencoded", form),
            post("json", "application/json", json),
        ]
    }
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The rules that a request matches, and whether it is blocked.
pub fn evaluate(policy: &Arc<Policy>, sample: &Sample<'_>) -> (BTreeSet<u32>, bool) {
    let fixed = [("Host", "shop.example"), ("User-Agent", USER_AGENT), ("Accept", "*/*")];
    let own = sample.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let names: BTreeSet<&str> = sample.headers.iter().map(|(name, _)| *name).collect();
    let fixed = fixed.into_iter().filter(|(name, _)| !names.contains(name));
    let headers: Vec<(&[u8], &[u8])> =
        fixed.chain(own).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let head = RequestHead {
        method: sample.method.as_bytes(),
        target: sample.target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        remote_address: [192, 0, 2, 1].into(),
        id: b"1",
    };
    let mut transaction = Transaction::new(policy.clone(), &head, true);
    transaction.run_head();
    let settings = BodySettings { inspect_limit: INSPECT_LIMIT, is_guessing: true };
    let mut reader = BodyReader::new(transaction.request_mut(), settings);
    reader.push(sample.body.as_bytes(), transaction.request_mut());
    let raw = reader.finish(transaction.request_mut());
    transaction.add_raw_body(&raw);
    transaction.run_body();
    let rules = transaction.matches().iter().map(|found| found.rule).collect();
    (rules, transaction.denial().is_some())
}
