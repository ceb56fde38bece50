//! The black-box cases: what Ocelot is documented, tested and recorded to do, and what margay's own features are specified
//! to do, checked against the real binary.
//!
//! Every case runs. A case must pass, unless `tests/known-failures.toml` lists it with a reason. A case whose
//! configuration the gateway rejects only with "not supported yet" is pending under the names of those capabilities.
//! `CASE=glob` runs some cases only, `CASES=file` those of another file.

mod case;
mod environment;
mod expect;
mod fits;
mod known_failures;
mod margay;
mod own;
mod run;
mod tokens;

use crate::support::announce;
use case::Case;
pub use environment::firewall_rules;
use known_failures::KnownFailures;
use run::Outcome;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const FILES: [&str; 5] = [
    "ocelot.jsonl",
    "ocelot_recorded.jsonl",
    "service_fabric.jsonl",
    "api_management.jsonl",
    "api_management_own.jsonl",
];

/// The start of the names of files with cases of API management.
const API_MANAGEMENT: &str = "api_management";

/// The minimum number of passing cases; it only grows. "Not supported yet" must not hide what once worked.
const MIN_PASSED: usize = 991;

/// Every 40th case of the firewall runs.
const FIREWALL_SAMPLE: usize = 40;

/// Gateways running at the same time.
const MAX_GATEWAYS: usize = 4;

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn load() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut files: Vec<PathBuf> = FILES.iter().map(|file| data("cases").join(file)).collect();
    if let Some(other) = std::env::var_os("CASES") {
        files = vec![other.into()];
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let is_api_management =
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(API_MANAGEMENT));
        cases.extend(
            text.lines().filter(|l| !l.trim().is_empty()).map(|line| Case::read(line, is_api_management)),
        );
    }
    cases
}

#[test]
fn every_supported_case_passes() {
    let filter = std::env::var("CASE").ok();
    let all = filter.is_none() && std::env::var_os("CASES").is_none();
    let known = KnownFailures::load();
    let cases: Vec<Case> =
        load().into_iter().filter(|c| filter.as_deref().is_none_or(|f| glob(f, &c.id))).collect();
    let outcomes = run_all(&cases);
    let mut tally = Tally::default();
    for (case, outcome) in cases.iter().zip(outcomes) {
        tally.add(case, outcome, &known);
    }
    if all {
        tally.check_listed_ids(&cases, &known);
        tally.check_minimum();
    }
    announce(&tally.summary());
    assert!(tally.wrong.is_empty(), "{}", tally.failures());
}

/// The decisions of the firewall with the OWASP Core Rule Set 4.28.0. Each case starts a gateway, so only a sample runs unless
/// `WAF_CASES=all`.
#[test]
fn the_firewall_decides_as_the_core_rule_set() {
    if firewall_rules().is_none() {
        announce("skipped: no rule set at MARGAY_CRS or ../shared/crs-4.28.0");
        return;
    }
    let step = if std::env::var("WAF_CASES").is_ok_and(|cases| cases == "all") { 1 } else { FIREWALL_SAMPLE };
    let known = KnownFailures::load();
    let text = std::fs::read_to_string(data("cases").join("waf.jsonl")).expect("the cases");
    let cases: Vec<Case> = text.lines().step_by(step).map(|line| Case::read(line, false)).collect();
    let mut tally = Tally::default();
    for (case, outcome) in cases.iter().zip(run_all(&cases)) {
        tally.add(case, outcome, &known);
    }
    announce(&tally.summary());
    assert!(tally.wrong.is_empty(), "{}", tally.failures());
}

fn run_all(cases: &[Case]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Outcome>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..MAX_GATEWAYS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let index = cases.iter().position(|c| std::ptr::eq(c, case)).expect("in the list");
                    *done[index].lock().expect("no panic") = Some(run::run(case));
                }
            });
        }
    });
    done.into_iter().map(|d| d.into_inner().expect("no panic").expect("every case was run")).collect()
}

#[derive(Default)]
struct Tally {
    passed: usize,
    skipped: usize,
    known: usize,
    pending: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: &Case, outcome: Outcome, known: &KnownFailures) {
        match outcome {
            Outcome::Passed if known.lists(&case.id) => {
                self.wrong.push(format!("{}: passes, take it out of tests/known-failures.toml", case.id));
            }
            Outcome::Passed => self.passed += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Pending(name) => *self.pending.entry(name).or_default() += 1,
            Outcome::Failed(_) if known.lists(&case.id) => self.known += 1,
            Outcome::Failed(why) => self.wrong.push(format!("{} ({}): {why}", case.id, case.feature)),
        }
    }

    /// Listed failures without a case.
    fn check_listed_ids(&mut self, cases: &[Case], known: &KnownFailures) {
        for id in known.ids().filter(|id| !cases.iter().any(|c| c.id == **id)) {
            self.wrong.push(format!("{id}: in tests/known-failures.toml, but no such case"));
        }
    }

    fn check_minimum(&mut self) {
        if self.passed < MIN_PASSED && self.wrong.is_empty() {
            self.wrong.push(format!("{} cases pass, it were {MIN_PASSED} before", self.passed));
        }
    }

    fn summary(&self) -> String {
        let pending: Vec<String> = self.pending.iter().map(|(name, n)| format!("{name} {n}")).collect();
        format!(
            "black-box cases: {} passed, {} failed, {} known failures, {} not for us, {} pending ({})",
            self.passed,
            self.wrong.len(),
            self.known,
            self.skipped,
            self.pending.values().sum::<usize>(),
            pending.join(", ")
        )
    }

    fn failures(&self) -> String {
        let shown = self.wrong.iter().take(25).cloned().collect::<Vec<_>>().join("\n\n");
        let ids: Vec<&str> = self.wrong.iter().filter_map(|w| w.split([' ', ':']).next()).collect();
        format!("{} cases fail: {}\n\n{shown}", self.wrong.len(), ids.join(" "))
    }
}

/// `*` for any text, the rest literally.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|tail| (0..=tail.len()).any(|i| tail.is_char_boundary(i) && glob(rest, &tail[i..]))),
    }
}
