//! `margay waf`: the rules of the firewall, tests of its decisions, and proposals for exclusions from its log.

mod replay;
mod rules;
mod test;

use super::Exit;
use super::args::{Waf, WafCommand};
use crate::stages::custom::StageRegistry;

/// Runs one of the commands.
pub(super) fn run(arguments: &Waf, stages: &StageRegistry) -> Exit {
    match &arguments.command {
        WafCommand::Rules(arguments) => rules::run(arguments),
        WafCommand::Replay(arguments) => replay::run(arguments),
        WafCommand::Test(arguments) => test::run(arguments, stages),
    }
}
