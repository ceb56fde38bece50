//! Values whose decisions are known, in a query, a form and a JSON member: a rule set is tried with them before it is used.
//!
//! - Entry point: [`failed_cases`].
//! - Callers: `margay waf rules --check`, `margay waf fetch`, the tests of the built-in rules.

mod sample;

pub use sample::{Sample, evaluate};

use super::policy::compiled::Policy;
use std::sync::Arc;

const ATTACKS: &str = include_str!("attacks.txt");
const BENIGN: &str = include_str!("benign.txt");

/// A value, and what is decided about a request with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionCase {
    /// The built-in rule that matches an attack; none for a value that passes.
    pub rule: Option<u32>,
    /// The value.
    pub value: String,
    /// Whether the OWASP Core Rule Set 4 decides otherwise at level 1.
    pub is_built_in_only: bool,
}

/// A case with another decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCase {
    /// The case.
    pub case: DecisionCase,
    /// Where the value was: `query`, `form` or `json`.
    pub place: &'static str,
}

/// All cases.
pub fn cases() -> Vec<DecisionCase> {
    let attacks = lines(ATTACKS).filter_map(|(line, is_built_in_only)| {
        let (rule, value) = line.split_once('\t')?;
        Some(DecisionCase { rule: rule.parse().ok(), value: value.to_owned(), is_built_in_only })
    });
    let benign =
        lines(BENIGN).map(|(value, is_built_in_only)| DecisionCase { rule: None, value, is_built_in_only });
    attacks.chain(benign).collect()
}

/// The number of decisions, and those that a policy makes otherwise; one with the rules of the binary makes more of them.
pub fn failed_cases(policy: &Arc<Policy>, is_built_in: bool) -> (usize, Vec<FailedCase>) {
    let (mut count, mut failed) = (0, Vec::new());
    for case in cases().into_iter().filter(|case| is_built_in || !case.is_built_in_only) {
        for sample in Sample::places(&case.value) {
            let (_, is_blocked) = evaluate(policy, &sample);
            count += 1;
            if is_blocked != case.rule.is_some() {
                failed.push(FailedCase { case: case.clone(), place: sample.place });
            }
        }
    }
    (count, failed)
}

/// The lines of a list, without comments; `\r`, `\n`, `\t` and `\\` are escapes. A line that begins with `~` is decided so
/// by the built-in rules only.
fn lines(text: &'static str) -> impl Iterator<Item = (String, bool)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| {
        let text = line.strip_prefix('~');
        let unescaped = text
            .unwrap_or(line)
            .replace("\\\\", "\u{1}")
            .replace("\\r", "\r")
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace('\u{1}', "\\");
        (unescaped, text.is_some())
    })
}
