//! The raw corpora: byte streams of hostile clients, and responses of broken or hostile backends.
//!
//! Every check of level MUST holds. What is open of the levels SHOULD and SEC is in `tests/cases/raw-open.toml`,
//! an exact list: a listed id that holds is an error, so is an open one that is not listed. A smuggled request, a
//! desynchronized connection and a wrong Host at the backend are errors at every level.

mod checks;
mod mutations;
mod requests;
mod responses;
mod strict;

use crate::cases::data;
use crate::support::announce;
use serde_json::Value;

fn load(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(data("cases").join(file)).expect("the corpus is in tests/cases");
    text.lines().filter(|l| !l.trim().is_empty()).map(|l| serde_json::from_str(l).expect("JSON")).collect()
}

fn bytes(case: &Value) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(case["raw"].as_str().expect("raw")).expect("base64")
}

fn id(case: &Value) -> &str {
    case["id"].as_str().expect("an id")
}

/// The violations of one stream.
#[derive(Default)]
struct Verdict {
    /// Of the rule of the case.
    open: Vec<String>,
    /// Of the rules of every level.
    fatal: Vec<String>,
}

/// The ids listed under `[section]` in the list of open cases.
fn listed(section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(data("cases/raw-open.toml")).expect("tests/cases/raw-open.toml");
    let mut here = false;
    let mut ids = Vec::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()) {
        if line.starts_with('[') {
            here = line == format!("[{section}]");
        } else if here {
            ids.extend(line.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    ids
}

/// Compares verdicts with the list, prints the counts, and fails with all violations.
fn settle(section: &str, what: &str, cases: &[Value], verdicts: &[Verdict]) {
    let listed = listed(section);
    let filtered = std::env::var("CASE").is_ok();
    let mut wrong = Vec::new();
    let (mut holds, mut open) = (0, 0);
    for (case, verdict) in cases.iter().zip(verdicts) {
        let (id, level) = (id(case), case["level"].as_str().unwrap_or("MUST"));
        let is_listed = listed.iter().any(|l| l == id);
        let note = format!(
            "{id} ({} {level}: {})",
            case["rule"].as_str().unwrap_or(""),
            case["note"].as_str().unwrap_or("")
        );
        if !verdict.fatal.is_empty() {
            wrong.push(format!("{note}\n    {}", verdict.fatal.join("\n    ")));
        } else if verdict.open.is_empty() {
            holds += 1;
            if is_listed {
                wrong.push(format!("{id}: holds, take it out of tests/cases/raw-open.toml"));
            }
        } else if level == "MUST" || !is_listed {
            wrong.push(format!("{note}\n    {}", verdict.open.join("\n    ")));
        } else {
            open += 1;
        }
    }
    for unknown in listed.iter().filter(|l| !filtered && !cases.iter().any(|c| id(c) == *l)) {
        wrong.push(format!("{unknown}: in tests/cases/raw-open.toml, but no such case"));
    }
    announce(&format!("raw {what}: {holds} hold, {open} open (SHOULD and SEC), {} wrong", wrong.len()));
    assert!(wrong.is_empty(), "{} raw {what} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn chosen(cases: Vec<Value>) -> Vec<Value> {
    let Ok(wanted) = std::env::var("CASE") else { return cases };
    cases.into_iter().filter(|c| id(c).starts_with(wanted.trim_end_matches('*'))).collect()
}
