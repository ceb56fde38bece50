//! `margay waf rules`: which managed rules are in force, or those of another directory.

use super::args::WafRules;
use crate::cli::{Exit, output};
use crate::stages::waf::rule_source::{ExtraRules, find_directory, load};
use std::fmt::Write;

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
    output::write_stdout(&text);
    Exit::Done
}
