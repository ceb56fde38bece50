//! What a transaction found, and what it decided.

use crate::waf::request::parts::{Request, Value};

/// The bytes around a match that are kept.
pub const MAX_SNIPPET_BYTES: usize = 100;

/// A value that a rule matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// The id of the rule.
    pub rule: u32,
    /// The index of the rule in the policy.
    pub index: usize,
    /// The position of the value in the request; none for an internal variable.
    pub value: Option<usize>,
    /// The variable in the terms of the rule language, such as `ARGS:id`.
    pub variable: Vec<u8>,
    /// The text around the match, as the operator read it.
    pub snippet: Vec<u8>,
    /// The matched text within the snippet.
    pub matched: (usize, usize),
    /// What the match added to the anomaly score.
    pub score: i64,
}

impl RuleMatch {
    /// The part in the terms of the configuration.
    pub fn part(&self, request: &Request) -> String {
        match self.value.and_then(|at| request.values().get(at)) {
            Some(value) => request.part(value),
            None => String::from_utf8_lossy(&self.variable).to_ascii_lowercase(),
        }
    }

    /// The value that matched, if it is a part of the request.
    pub fn request_value<'r>(&self, request: &'r Request) -> Option<&'r Value> {
        self.value.and_then(|at| request.values().get(at))
    }
}

/// The part of a text around a match, and where the match is in it.
pub fn snippet(text: &[u8], start: usize, end: usize) -> (Vec<u8>, (usize, usize)) {
    let shown = (end - start).min(MAX_SNIPPET_BYTES);
    let before = (MAX_SNIPPET_BYTES - shown) / 2;
    let first = start.saturating_sub(before);
    let last = (first + MAX_SNIPPET_BYTES).min(text.len()).max(start + shown);
    (text[first..last].to_vec(), (start - first, start - first + shown))
}

/// Why the rules stop a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The id of the rule.
    pub rule: u32,
    /// The status of its `status:`.
    pub status: Option<u16>,
}
