//! The rule language as OWASP CRS 4 uses it: text to rules.

pub mod actions;
pub mod collection;
pub mod lexer;
pub mod macros;
pub mod operator;
pub mod parser;
pub mod pattern;
pub mod rule;
pub mod targets;
pub mod word_list;

#[cfg(test)]
mod tests;
