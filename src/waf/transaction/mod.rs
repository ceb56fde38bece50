//! The evaluation of one request, and of its response, by the rules of a policy.

pub mod actions;
pub mod evaluation;
pub mod matches;
pub mod operators;
pub mod run;
pub mod scan;
mod sql_words;
pub mod state;
pub mod variables;
