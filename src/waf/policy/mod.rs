//! The rules of one policy: those of its level, with its settings and exclusions.

pub mod classes;
pub mod compile;
pub mod compiled;
pub mod constants;
pub mod exclusion;
pub mod kinds;
pub mod rule_bits;
