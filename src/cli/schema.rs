//! `margay schema`: the JSON Schema of the configuration, generated from the types that read it.

use super::args::Schema;
use super::{Exit, output};
use crate::config::schema;
use crate::plan::document::{gateway_schema, policy_schema};

/// Prints the schema.
pub(super) fn run(arguments: &Schema) -> Exit {
    let schema = if arguments.policy { policy_schema() } else { gateway_schema() };
    output::write_stdout(&schema::text(&schema));
    Exit::Done
}
