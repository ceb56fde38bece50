//! Tests of the engine with whole rule sets.

mod base_rules;
mod crs;
mod rule_set;
