//! `margay waf`: the rules of the firewall, and proposals for exclusions from its log.

mod replay;
mod rules;

use super::Exit;
use super::args::{Waf, WafCommand};

/// Runs one of the commands.
pub(super) fn run(arguments: &Waf) -> Exit {
    match &arguments.command {
        WafCommand::Rules(arguments) => rules::run(arguments),
        WafCommand::Replay(arguments) => replay::run(arguments),
    }
}
