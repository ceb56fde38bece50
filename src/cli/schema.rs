//! `margay schema`: the JSON Schema of the configuration, from the types that read it.

use super::args::Schema;
use super::{Exit, out};
use crate::config::schema;

/// Prints it.
pub fn run(asked: &Schema) -> Exit {
    let schema = if asked.policy { schema::policy() } else { schema::gateway() };
    out::data(&schema::text(&schema));
    Exit::Done
}
