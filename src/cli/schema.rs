//! `margay schema`: the JSON Schema of the configuration, from the types that read it.

use super::args::Schema;
use super::{Exit, output};
use crate::config::schema;
use crate::plan::document::{gateway_schema, policy_schema};

/// Prints it.
pub(super) fn run(asked: &Schema) -> Exit {
    let schema = if asked.policy { policy_schema() } else { gateway_schema() };
    output::write_stdout(&schema::text(&schema));
    Exit::Done
}
