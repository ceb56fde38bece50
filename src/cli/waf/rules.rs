//! `margay waf rules`: which managed rules are in force, or those of another directory and their decisions.

use super::args::WafRules;
use crate::cli::{Exit, output};
use crate::stages::waf::compile::default_policy;
use crate::stages::waf::rule_source::{ExtraRules, LoadedRules, find_directory, load};
use crate::waf::decisions::failed_cases;
use std::fmt::Write;
use std::sync::Arc;

/// Prints the rules.
pub(super) fn run(arguments: &WafRules) -> Exit {
    let directory = find_directory(arguments.check.as_deref().or(arguments.rules.as_deref()));
    let loaded = match load(directory.as_deref(), &ExtraRules::default()) {
        Ok(loaded) => loaded,
        Err(error) => return Exit::failed(&format!("rules cannot be loaded: {error}")),
    };
    let mut text = format!("{}\n", loaded.describe());
    for warning in &loaded.library.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    if arguments.list {
        for rule in loaded.library.rules.iter().map(|rule| &rule.rule).filter(|rule| rule.is_logged) {
            let message = rule.message.constant().unwrap_or_default();
            let _ = writeln!(text, "{:>6}  level {}  {message}", rule.id, rule.level().unwrap_or(1));
        }
    }
    let failed = if arguments.check.is_some() { check_decisions(&loaded, &mut text) } else { 0 };
    output::write_stdout(&text);
    if failed == 0 { Exit::Done } else { Exit::Failed }
}

/// Runs the decision cases of the binary; returns the number of those that are decided otherwise, which are listed.
pub(super) fn check_decisions(loaded: &LoadedRules, text: &mut String) -> usize {
    let policy = Arc::new(default_policy(loaded));
    let (count, failed) = failed_cases(&policy, loaded.directory.is_none());
    let _ = writeln!(text, "{count} decisions, {} as expected", count - failed.len());
    for found in &failed {
        let (decision, expected) =
            if found.case.rule.is_some() { ("passes", "blocked") } else { ("is blocked", "pass") };
        let _ = writeln!(text, "{} {:?} {decision}, expected: {expected}", found.place, found.case.value);
    }
    failed.len()
}
