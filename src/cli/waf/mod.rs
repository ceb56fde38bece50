//! `margay waf`: the rules of the firewall, tests of its decisions, and proposals for exclusions from its log.

pub(super) mod args;
mod evaluation;
mod fetch;
mod replay;
mod rules;
mod sessions;
mod test;

use super::Exit;
use crate::stages::custom::StageRegistry;
use args::{Waf, WafCommand};

/// Runs one of the commands.
pub(super) fn run(arguments: &Waf, stages: &StageRegistry) -> Exit {
    match &arguments.command {
        WafCommand::Rules(arguments) => rules::run(arguments),
        WafCommand::Fetch(arguments) => fetch::run(arguments),
        WafCommand::Replay(arguments) => match &arguments.har {
            Some(file) => sessions::run(file, &arguments.configuration, stages),
            None => replay::run(arguments),
        },
        WafCommand::Test(arguments) => test::run(arguments, stages),
    }
}
